"""Was it right? Incidents against the injected faults, cleaned values against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.evaluation import EARLY_ROWS
from schemas.wire.incident import Incident, IncidentKind
from workers.demo.ledger import Ledger
from workers.plant.faults import Fault

FloatArray = npt.NDArray[np.float64]


class FoundFault(NamedTuple):
    """A fault, with rows of the show, and the readings from its start to its first incident.

    The delay is that to the opening; None when it was missed.
    """

    fault: Fault
    delay_rows: int | None


@dataclass(frozen=True, kw_only=True)
class SeenIncident:
    """An incident as the topic tells it, with rows of the show."""

    told: Incident
    machine: int
    opened_row: int
    end_row: int  # at which its end was certain; the end of the show while it goes on
    fault: Fault | None  # None of a false one


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Incidents against faults."""

    faults: tuple[FoundFault, ...]  # in order of start
    incidents: tuple[SeenIncident, ...]  # that an operator was told of, in order of opening
    held_back: int  # incidents that look like a confirmed false alarm: no operator was told
    drifts: int  # incidents that say that normal operation has changed
    healthy_rows: int  # scored readings without a fault
    healthy_alarm_rows: int  # of these, in an incident
    allowed: float  # false incidents that the budget allows on them

    @property
    def found(self) -> int:
        """Faults found."""
        return sum(fault.delay_rows is not None for fault in self.faults)

    @property
    def recall(self) -> float:
        """Share of faults for which an incident opened; NaN without faults."""
        return self.found / len(self.faults) if self.faults else float("nan")

    @property
    def false(self) -> int:
        """Incidents that touch no fault."""
        return sum(incident.fault is None for incident in self.incidents)

    @property
    def precision(self) -> float:
        """Share of incidents that touch a fault; NaN without incidents."""
        return 1 - self.false / len(self.incidents) if self.incidents else float("nan")

    @property
    def median_delay_rows(self) -> float:
        """Of the faults found; NaN when none was."""
        delays = [fault.delay_rows for fault in self.faults if fault.delay_rows is not None]
        return float(np.median(delays)) if delays else float("nan")

    @property
    def healthy_alarm_share(self) -> float:
        """Share of the healthy readings that lie in an incident; 0 without any."""
        return self.healthy_alarm_rows / max(self.healthy_rows, 1)


def judge(
    ledger: Ledger, faults: Sequence[Fault], *, rows: int, warm_up: int, rate: float
) -> Verdict:
    """Compare the incidents of the topic with faults.

    An incident is a fault's that opens in it, fewer than `EARLY_ROWS` before it, or before the last
    short window (of `warm_up` readings) that holds one of its readings has passed. A fault that
    began less than such a window before the end is not judged: there was no time to see it.

    Args:
        ledger: with the incidents.
        faults: of the show; their rows count from its beginning.
        rows: of the show.
        warm_up: the first reading that is scored is of this number, from 1 on.
        rate: false incidents that the budget allows for each healthy reading.
    """
    healthy = np.ones((rows, len(ledger.machines)), np.bool_)
    healthy[: warm_up - 1] = False
    for fault in faults:
        healthy[fault.start_row : fault.end_row + warm_up - 1, fault.machine] = False
    told = [event.data for event in ledger.incidents.values()]
    anomalies = [one for one in told if one.kind is IncidentKind.ANOMALY]
    shown = [one for one in anomalies if one.suppressed is None]
    seen = sorted(_seen(shown, ledger, faults, rows, warm_up), key=lambda one: one.opened_row)
    alarm = np.zeros_like(healthy)
    for one in seen:
        alarm[one.opened_row : one.end_row, one.machine] = True
    first_openings: dict[Fault, int] = {}
    for one in seen:
        if one.fault is not None:
            first_openings.setdefault(one.fault, one.opened_row)
    return Verdict(
        faults=tuple(
            FoundFault(
                fault,
                max(first_openings[fault] - fault.start_row, 0)
                if fault in first_openings
                else None,
            )
            for fault in faults
            if fault.start_row <= rows - warm_up
        ),
        incidents=tuple(seen),
        held_back=len(anomalies) - len(shown),
        drifts=len(told) - len(anomalies),
        healthy_rows=int(np.count_nonzero(healthy)),
        healthy_alarm_rows=int(np.count_nonzero(healthy & alarm)),
        allowed=rate * int(np.count_nonzero(healthy)),
    )


def fault_behind(
    faults: Iterable[Fault], machine: int, opened_row: int, *, warm_up: int
) -> Fault | None:
    """The fault for which an incident opened; None if it is false, see `judge`."""
    own = (
        fault
        for fault in faults
        if fault.machine == machine
        and fault.start_row - EARLY_ROWS < opened_row < fault.end_row + warm_up - 1
    )
    return next(own, None)


def in_words(fault: Fault) -> str:
    """What the simulator broke."""
    return f"{fault.kind.name.lower()} of {' and '.join(fault.channels)}".replace("_", " ")


def _seen(
    incidents: Iterable[Incident],
    ledger: Ledger,
    faults: Sequence[Fault],
    rows: int,
    warm_up: int,
) -> Iterable[SeenIncident]:
    for one in incidents:
        machine = ledger.machines.index(one.sensor_id)
        opened_row = ledger.row(one.opened_ns)
        yield SeenIncident(
            told=one,
            machine=machine,
            opened_row=opened_row,
            end_row=rows if one.end_ns is None else ledger.row(one.end_ns),
            fault=fault_behind(faults, machine, opened_row, warm_up=warm_up),
        )


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
