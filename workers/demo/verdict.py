"""Was it right? Flagged segments against the injected faults, cleaned values against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.signal.series import true_runs
from workers.plant.faults import Fault

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


class FoundFault(NamedTuple):
    """A fault, with rows of the show, and the readings from its start to the first flagged one.

    The delay is None when it was missed.
    """

    fault: Fault
    delay_rows: int | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Segments against faults."""

    faults: tuple[FoundFault, ...]  # in order of start
    segments: int  # runs of flagged readings of one machine, less than a window apart
    false: int  # how many of them touch no fault
    watched_rows: int  # readings judged

    @property
    def found(self) -> int:
        """Faults found."""
        return sum(fault.delay_rows is not None for fault in self.faults)

    @property
    def recall(self) -> float:
        """Share of faults found; NaN without faults."""
        return self.found / len(self.faults) if self.faults else float("nan")

    @property
    def precision(self) -> float:
        """Share of segments that touch a fault; NaN without segments."""
        return 1 - self.false / self.segments if self.segments else float("nan")

    @property
    def median_delay_rows(self) -> float:
        """Of the faults found; NaN when none was."""
        delays = [fault.delay_rows for fault in self.faults if fault.delay_rows is not None]
        return float(np.median(delays)) if delays else float("nan")


def judge(flags: BoolArray, faults: Sequence[Fault], *, receptive_field: int) -> Verdict:
    """Compare flags with faults.

    Flagged readings less than R apart are one segment: their windows share readings. A fault
    counts as present until the last window that holds one of its readings has passed. A fault
    that began less than R readings before the end is not judged: there was no time to see it.

    Args:
        flags: [rows, M] True where the score is 1 or more.
        faults: rows as those of `flags`.
        receptive_field: R.
    """
    segments = [
        (machine, start, end)
        for machine in range(flags.shape[1])
        for start, end in merged(flags[:, machine], gap=receptive_field)
    ]
    return Verdict(
        faults=tuple(
            FoundFault(fault, _delay(flags, fault, receptive_field))
            for fault in faults
            if fault.start_row <= len(flags) - receptive_field
        ),
        segments=len(segments),
        # A fault that is not judged excuses a segment all the same.
        false=sum(
            not any(
                machine == fault.machine
                and start < fault.end_row + receptive_field - 1
                and end > fault.start_row
                for fault in faults
            )
            for machine, start, end in segments
        ),
        watched_rows=flags.size,
    )


def merged(flags: BoolArray, *, gap: int) -> list[tuple[int, int]]:
    """Runs of True as half-open ranges, joined where fewer than `gap` rows lie between."""
    joined: list[tuple[int, int]] = []
    for start, end in true_runs(flags).tolist():
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def gain_db(truth: FloatArray, noisy: FloatArray, denoised: FloatArray) -> FloatArray:
    """How much smaller the error of the denoised values is, in decibels of power, per channel.

    All are [n, C], where NaN does not count; the gains are [C], NaN where nothing can be compared.
    """
    gains = np.full(truth.shape[1], np.nan)
    for channel in range(truth.shape[1]):
        before, after = (
            (values[:, channel] - truth[:, channel]) ** 2 for values in (noisy, denoised)
        )
        known = np.isfinite(before) & np.isfinite(after)
        if known.any() and after[known].mean() > 0:
            gains[channel] = 10 * np.log10(before[known].mean() / after[known].mean())
    return gains


def _delay(flags: BoolArray, fault: Fault, receptive_field: int) -> int | None:
    seen = flags[fault.start_row : fault.end_row + receptive_field - 1, fault.machine]
    return int(np.argmax(seen)) if seen.any() else None
