"""A history cut in time: what trains, and what judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detector.signal.noise import noise_level
from detector.signal.series import Series
from workers.compare.errors import Part
from workers.data.history import History, SensorRows
from workers.errors import VigieError


class ComparisonError(VigieError):
    """The readings are too few to learn from some of them and judge by the others."""


@dataclass(frozen=True, kw_only=True)
class TimeSplit:
    """A history, cut in time.

    Attributes:
        training: without labelled rows.
        held_out: with them.
    """

    training: History
    held_out: History

    @property
    def labelled(self) -> bool:
        """Whether the held-out time has a labelled row."""
        return any(
            one.labels is not None and bool(one.labels.any()) for one in self.held_out.sensors
        )

    def series(self) -> list[Series]:
        """The training rows as `train` takes them."""
        return [
            Series(sensor=one.sensor, ts_ns=one.ts_ns, values=one.values)
            for one in self.training.sensors
        ]


def cut(history: History, held_out: float) -> TimeSplit:
    """The first readings of each sensor, and the last.

    Args:
        history: readings.
        held_out: share of each sensor's readings, the last in time, that judge.

    Raises:
        ComparisonError: nothing is left on a side.
    """
    borders = [round(len(one) * (1.0 - held_out)) for one in history.sensors]
    pairs = list(zip(history.sensors, borders, strict=True))
    training = replace(history, sensors=tuple(rows_of(one, 0, end) for one, end in pairs))
    last = replace(history, sensors=tuple(rows_of(one, end, len(one)) for one, end in pairs))
    training = training.without_labelled()
    if not len(training) or not len(last):
        raise ComparisonError(
            f"{len(training):,} rows to learn from and {len(last):,} to judge by: a longer "
            "history, or another --held-out"
        )
    return TimeSplit(training=training, held_out=last)


def rows_of(one: SensorRows, start: int, end: int) -> SensorRows:
    """Consecutive rows of a sensor."""
    return replace(
        one,
        ts_ns=one.ts_ns[start:end],
        values=one.values[start:end],
        labels=None if one.labels is None else one.labels[start:end],
    )


def parts_of(
    sensors: Sequence[SensorRows],
    training: Sequence[SensorRows],
    group_of: Callable[[str], int],
) -> list[Part]:
    """Rows to measure, with the noise level of the sensor's training rows."""
    levels = {one.sensor: noise_level(one.values) for one in training}
    return [
        Part(
            rows=one.values,
            ts_ns=one.ts_ns,
            group=group_of(one.sensor),
            sigma=levels[one.sensor],
        )
        for one in sensors
        if len(one)
    ]
