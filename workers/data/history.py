"""What was recorded of sensors: their rows by time, and what became of those that are not in it.

A history has no order of arrival: rows are sorted by time. Where two files tell of one sensor at
the same time, neither is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from workers.data.errors import FileFormatError, listed
from workers.data.file.rows import LeftOut, Reason
from workers.data.finding import Finding, Kind
from workers.data.nice import resampled

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ASKED_FOR = (
    Reason.QUALITY,
    Reason.TAG,
    Reason.LABELLED,
    Reason.FAULT,
    Reason.FORGOTTEN,
    Reason.NOT_ASKED,
)
"""Reasons that the user gave."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorRows:
    """The rows of one sensor.

    Attributes:
        ts_ns: strictly ascending, [n].
        values: NaN = missing, [n, C].
        labels: True where the row is called anomalous, [n].
    """

    sensor: str
    ts_ns: IntArray
    values: FloatArray
    labels: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRows:
    """Rows of several sensors, in the order of time: `codes` [n] points into `sensors`."""

    sensors: tuple[str, ...]
    sensor_codes: npt.NDArray[np.int32]
    ts_ns: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, kw_only=True)
class History:
    """Rows of sensors.

    Attributes:
        channels: names of the columns of the values.
        sensors: one each, in order of appearance.
        read: rows that were read, all of them.
        left_out: how many rows are in none of the sensors.
        units: of the channels.
        told_missing: how many values of a channel are missing because the user says so.
        poor_values: how many values of a channel its quality took.
        notes: what was found and may surprise.
        unordered: how many rows of a sensor came after a later one.
        findings: what looks wrong with the files, as far as their rows tell it no more.
    """

    channels: tuple[str, ...]
    sensors: tuple[SensorRows, ...]
    read: int
    left_out: LeftOut
    units: Mapping[str, str]
    told_missing: Counter[str]
    poor_values: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    unordered: Counter[str]
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.sensors))

    @property
    def unusable(self) -> LeftOut:
        """What is left out though nobody asked for it."""
        return Counter({key: n for key, n in self.left_out.items() if key[0] not in ASKED_FOR})

    @property
    def by_reason(self) -> Counter[str]:
        """How many rows are left out, by the reason alone."""
        return _by_reason(self.left_out)

    @property
    def repeating_step_ns(self) -> float:
        """Usual step of the sensors whose times repeat; 0 where there is none."""
        repeating = {sensor for reason, sensor in self.left_out if reason == Reason.REPEATED}
        steps = [
            np.median(np.diff(one.ts_ns))
            for one in self.sensors
            if one.sensor in repeating and len(one) > 1
        ]
        return float(np.median(steps)) if steps else 0.0

    def without_labelled(self) -> History:
        """The same without the rows that are called anomalous."""
        left_out, sensors = self.left_out.copy(), []
        for one in self.sensors:
            if one.labels is not None and one.labels.any():
                left_out[Reason.LABELLED, one.sensor] += int(one.labels.sum())
                keep = ~one.labels
                sensors.append(
                    replace(one, ts_ns=one.ts_ns[keep], values=one.values[keep], labels=None)
                )
            else:
                sensors.append(replace(one, labels=None))
        return replace(self, sensors=tuple(sensors), left_out=left_out)

    def only(self, names: Sequence[str]) -> History:
        """The same with these sensors alone; with all of them if none is named.

        Raises:
            FileFormatError: there is no such sensor.
        """
        if not names:
            return self
        known = {one.sensor for one in self.sensors}
        if missing := [name for name in names if name not in known]:
            raise FileFormatError(
                f"--only: there is no sensor {missing[0]!r}; there are {listed(sorted(known))}"
            )
        others = [one for one in self.sensors if one.sensor not in names]
        gone: LeftOut = Counter({(Reason.NOT_ASKED, one.sensor): len(one) for one in others})
        return replace(
            self,
            sensors=tuple(one for one in self.sensors if one.sensor in names),
            left_out=self.left_out + gone,
        )

    def in_time(self, *, rows: int = 65_536) -> Iterator[TimedRows]:
        """All rows in the order of time, so many at once."""
        if not self.sensors:
            return
        ts_ns = np.concatenate([one.ts_ns for one in self.sensors])
        codes = np.repeat(np.arange(len(self.sensors)), [len(one) for one in self.sensors])
        starts = np.cumsum([0] + [len(one) for one in self.sensors])
        order = np.argsort(ts_ns, kind="stable")
        names = tuple(one.sensor for one in self.sensors)
        for start in range(0, len(order), rows):
            part = order[start : start + rows]
            values = np.empty((len(part), len(self.channels)))
            by_sensor = np.argsort(codes[part], kind="stable")
            present, cuts = np.unique(codes[part][by_sensor], return_index=True)
            for code, mine in zip(present, np.split(by_sensor, cuts[1:]), strict=True):
                values[mine] = self.sensors[code].values[part[mine] - starts[code]]
            yield TimedRows(
                sensors=names,
                sensor_codes=codes[part].astype(np.int32),
                ts_ns=ts_ns[part],
                values=values,
            )


def check_usable(history: History, max_left_out: float) -> None:
    """Reject a history of which too much cannot be used, or in which nothing is left.

    Raises:
        FileFormatError: says how many rows are missing, why, of which sensors, and the ways out.
    """
    if said := unusable_rows(history, max_left_out):
        raise FileFormatError(
            f"{said} `vigie inspect` shows more. To go on without these rows: --max-left-out 1"
        )
    if not len(history):
        why = "; ".join(f"{count:,}: {reason}" for reason, count in history.by_reason.most_common())
        raise FileFormatError(
            f"no row is left of {history.read:,} ({why})" if why else "what was read holds no row"
        )


def unusable_rows(history: History, max_left_out: float) -> str:
    """What to say where too much cannot be used; nothing where it is no more than that share."""
    unusable = history.unusable
    lost = sum(unusable.values())
    if not history.read or lost <= max_left_out * history.read:
        return ""
    reasons = _by_reason(unusable)
    said = [f"{count:,} {_verb(reason)} {reason}" for reason, count in reasons.most_common()]
    worst = ", ".join(
        f"{sensor!r} {count:,}" for (_, sensor), count in unusable.most_common(3) if sensor
    )
    ways = [
        _way_out_of_repeats(history) if reason == Reason.REPEATED else _WAYS_OUT[reason]
        for reason in reasons
        if reason == Reason.REPEATED or reason in _WAYS_OUT
    ]
    return (
        f"{lost:,} of {history.read:,} rows cannot be used: {'; '.join(said)}"
        + (f" (sensor {worst})" if worst else "")
        + ". "
        + " ".join(ways)
    ).rstrip()


def _verb(reason: str) -> str:
    return "were" if reason.startswith("rejected") else "have"


def _way_out_of_repeats(history: History) -> str:
    suspects = [one.option for one in history.findings if one.kind is Kind.SENSOR_COLUMN]
    if suspects:
        return f"A column looks like the sensor of each row: {' or '.join(suspects)}."
    for one in history.findings:
        if one.kind is Kind.CLOCK_COLUMN:
            return f"{one.text}: {one.option}."
        if one.kind is Kind.CLOCK_BACK:
            return f"{one.text}."
    every = resampled(history.repeating_step_ns or 1e9)["resample"]
    return (
        "If another column says of which sensor a row is, name it with --sensor; if there are "
        f"several readings at one time, make rows of them with --resample {every}."
    )


def _by_reason(left_out: LeftOut) -> Counter[str]:
    reasons = Counter[str]()
    for (reason, _), count in left_out.items():
        reasons[reason] += count
    return reasons


_WAYS_OUT: Mapping[str, str] = {
    Reason.FIELDS: "Is the delimiter right (--delimiter)?",
    Reason.NO_TIME: "Is it the right column (--time)?",
    Reason.NO_SENSOR: "Is it the right column (--sensor)?",
}
