"""What looks wrong with the values of a channel, over all sensors. Pure.

The rules rest on what holds in every sensor, so that what one machine does for an hour accuses no
channel: a counter rises in all of them, a constant changes in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from workers.data.errors import listed
from workers.data.finding import Finding, Kind
from workers.data.findings.sentinels import (
    EDGES,
    Sentinel,
    find_sentinels,
    may_hold_sentinels,
    same_state,
)
from workers.data.findings.stats import ChannelStats, channel_stats
from workers.data.history import History, SensorRows
from workers.data.layout import Layout

FloatArray = npt.NDArray[np.float64]

HUGE = 1e15
_MIN_ROWS = 20
"""Fewer say nothing of a channel."""
_MIN_RISES = 30
_RISES_PER_FALL = 20
_PARTS, _RISING_PARTS = 10, 8
_MOST_SENSORS = 0.9
_LATE_SHARE, _LATE_ROWS = 0.1, 100
_FEW = 3
_CLOCK_UNITS_S = (1e-9, 1e-6, 1e-3, 1, 60, 3_600, 86_400)
_CLOCK_SLIP = 1e-3


def channel_findings(history: History, layout: Layout) -> list[Finding]:
    """What looks wrong with each channel, in the order of the channels."""
    sensors = [one for one in history.sensors if len(one)]
    if not sensors:
        return []
    stats = [channel_stats(one.values) for one in sensors]
    found: list[Finding] = []
    # The difference of two of the largest floats is none, and then is no counter's step either.
    with np.errstate(over="ignore", invalid="ignore"):
        for number in range(len(history.channels)):
            found += _Channel(history, layout, sensors, stats, number).findings()
    return found


@dataclass(frozen=True)
class _Channel:
    """One channel of all sensors."""

    history: History
    layout: Layout
    sensors: list[SensorRows]
    stats: list[ChannelStats]
    number: int

    def findings(self) -> Iterator[Finding]:
        at = {
            one.name: np.array([getattr(stats, one.name)[self.number] for stats in self.stats])
            for one in fields(ChannelStats)
        }
        some = at["count"] > 0
        if not some.any():
            yield self._finding(Kind.EMPTY, "has no value at all", self._ignored, certain=True)
            return
        if not some.all() and len(self.sensors) > 1:
            lacking = [one.sensor for one, has in zip(self.sensors, some, strict=True) if not has]
            yield self._finding(
                Kind.EMPTY,
                f"has no value in {len(lacking):,} of {len(self.sensors):,} sensors: "
                f"{listed(lacking)}",
            )
        low, high = at["low"][some], at["high"][some]
        if (low == high).all() and at["count"].sum() >= _MIN_ROWS:
            what = f"is {_shown(low[0])}" if low.min() == low.max() else "is constant per sensor"
            yield self._finding(Kind.CONSTANT, f"never changes: it {what}", self._ignored)
            return
        if counts := self._counts_rows(at):
            yield self._finding(Kind.ROW_NUMBER, counts, self._ignored, certain=True)
            return
        counter = list(self._counter(at))
        sentinels = [] if counter else list(self._sentinels(at))
        yield from counter or sentinels
        if not counter and not sentinels:
            yield from self._huge(max(abs(low.min()), abs(high.max())))
        yield from self._late_and_early(at)

    # -- how it is said ------------------------------------------------------------------------

    @property
    def _channel(self) -> str:
        return self.history.channels[self.number]

    @property
    def _column(self) -> str:
        # A rate has another name than the column of the counter.
        counter = self._channel.removesuffix("_per_s")
        column = counter if counter in self.layout.rate else self._channel
        return self.layout.channels.get(self._channel, column)

    @property
    def _ignored(self) -> dict[str, object]:
        """Keys that leave it out; channels that are named one by one are left out by nobody."""
        return {} if self.layout.channels else {"ignore": (self._column,)}

    def _finding(
        self, kind: Kind, text: str, keys: dict[str, object] | None = None, *, certain: bool = False
    ) -> Finding:
        return Finding(
            kind=kind,
            text=f"{self._channel!r} {text}",
            keys=keys or {},
            certain=certain and bool(keys),
            channel=self._channel,
        )

    def _values(self, sensor: int) -> FloatArray:
        """The values of a sensor that are there."""
        column = self.sensors[sensor].values[:, self.number]
        return np.asarray(column[np.isfinite(column)])

    # -- rules ---------------------------------------------------------------------------------

    def _counts_rows(self, at: dict[str, FloatArray]) -> str:
        """What to say where it is a number of the row, or rises in step with time."""
        judged = np.flatnonzero(at["count"] >= _MIN_ROWS).tolist()
        steps = at["count"] - 1
        if not judged or not all(
            steps[one] in {at["rises"][one], at["falls"][one]} for one in judged
        ):
            return ""
        columns = [self._values(one) for one in judged]
        if all((column == np.rint(column)).all() for column in columns):
            unit = all((np.abs(np.diff(column)) == 1).all() for column in columns)
            together = np.unique(np.concatenate(columns))
            dense = together[-1] - together[0] + 1 <= 1.05 * len(together)
            if unit or (dense and len(together) == sum(map(len, columns))):
                return "is a row number: it counts one by one"
        if all(self._keeps_time(one) for one in judged):
            return "is a time: it rises with the clock"
        return ""

    def _keeps_time(self, sensor: int) -> bool:
        rows, column = self.sensors[sensor], self.sensors[sensor].values[:, self.number]
        known = np.flatnonzero(np.isfinite(column))
        time, value = (rows.ts_ns[known] - rows.ts_ns[known[0]]) / 1e9, column[known]
        slope = (value[-1] / 2 - value[0] / 2) / (time[-1] / 2)
        # A counter may rise as evenly; it is no clock, and its rate tells something.
        if not any(abs(slope * one - 1) < _CLOCK_SLIP for one in _CLOCK_UNITS_S):
            return False
        off = np.abs(value - (value[0] + slope * time)).max()
        return bool(off <= 1e-6 * abs(value[-1] / 2 - value[0] / 2) * 2)

    def _counter(self, at: dict[str, FloatArray]) -> Iterator[Finding]:
        if self._column in self.layout.rate:
            return
        moves = at["rises"] + at["falls"]
        judged = np.flatnonzero(moves >= _MIN_RISES).tolist()
        rising = [one for one in judged if at["falls"][one] * _RISES_PER_FALL <= at["rises"][one]]
        if not judged or sum(map(self._only_rises, rising)) < _MOST_SENSORS * len(judged):
            return
        resets = int(at["falls"][rising].sum())
        low, high = at["low"][rising].min(), at["high"][rising].max()
        text = f"only rises, from {_shown(low)} to {_shown(high)}" + (
            f", and was set back {resets:,} times" if resets else ""
        )
        yield self._finding(
            Kind.COUNTER,
            f"{text}: a model of it knows no later value. If it is a counter, read its rate",
            {"rate": (self._column,)},
            certain=not resets,
        )

    def _only_rises(self, sensor: int) -> bool:
        """Whether every fall sets it back, and it goes on rising to the end."""
        known = self._values(sensor)
        before, after = known[:-1], known[1:]
        fell = np.flatnonzero(after < before)
        # Not by a little, as a trend with noise does: back to near where it began.
        set_back = after[fell] - known.min() <= 0.2 * (before[fell] - known.min())
        parts = np.linspace(0, len(known) - 1, _PARTS + 1).astype(int)
        rising = sum(
            bool((after[one:other] > before[one:other]).any()) for one, other in pairwise(parts)
        )
        return bool(set_back.all()) and rising >= _RISING_PARTS

    def _sentinels(self, at: dict[str, FloatArray]) -> Iterator[Finding]:
        counts = Counter[float]()
        spans: dict[float, tuple[float, float]] = {}
        sure: dict[float, bool] = {}
        for one in np.flatnonzero(at["count"] >= _MIN_ROWS):
            if not may_hold_sentinels(**{name: at[name][one] for name in EDGES}):
                continue
            for found in find_sentinels(self._values(int(one))):
                if self._may_rest(self.sensors[one].values, found):
                    continue
                counts[found.value] += found.count
                low, high = spans.get(found.value, (found.low, found.high))
                spans[found.value] = (min(low, found.low), max(high, found.high))
                sure[found.value] = found.sure and sure.get(found.value, True)
        total = int(at["count"].sum())
        for value, count in counts.items():
            low, high = spans[value]
            also = self._elsewhere(value)
            text = (
                f"is {_shown(value)} {count:,} times ({count / total:.1%}), while everything else "
                f"lies between {_shown(low)} and {_shown(high)}: if it means that no value was "
                "measured, read it as missing"
            )
            if also:
                counted = ", ".join(f"{name!r} {n:,}" for name, n in also.most_common(_FEW))
                text += f" (that takes it from other channels, too: {counted} times)"
            yield self._finding(
                Kind.SENTINEL,
                text,
                {"missing": (_shown(value),)},
                certain=sure[value] and not also,
            )

    def _may_rest(self, values: FloatArray, found: Sentinel) -> bool:
        """Whether the machine may have rested where one of its sensors has a value."""
        if found.near and values.shape[1] == 1:
            return True
        return (found.value == 0 or found.near) and same_state(values, self.number, found.value)

    def _elsewhere(self, value: float) -> Counter[str]:
        """How often other channels hold a value amid their others."""
        found = Counter[str]()
        for stats, sensor in zip(self.stats, self.sensors, strict=True):
            inside = (stats.low < value) & (value < stats.high)
            for other in np.flatnonzero(inside):
                if other != self.number:
                    count = np.count_nonzero(sensor.values[:, other] == value)
                    found[self.history.channels[other]] += int(count)
        return +found

    def _huge(self, size: float) -> Iterator[Finding]:
        if size <= HUGE:
            return
        values = np.unique(
            np.concatenate(
                [
                    one.values[np.abs(one.values[:, self.number]) > HUGE, self.number]
                    for one in self.sensors
                ]
            )
        )
        few: dict[str, object] = {"missing": tuple(map(_shown, values))}
        keys = few if len(values) <= _FEW else self._ignored
        yield self._finding(
            Kind.HUGE,
            f"holds values of huge size, such as {_shown(values[np.argmax(np.abs(values))])}: next "
            "to them nothing else is seen",
            keys,
        )

    def _late_and_early(self, at: dict[str, FloatArray]) -> Iterator[Finding]:
        late: dict[str, tuple[float, str]] = {}
        early: dict[str, tuple[float, str]] = {}
        for one in np.flatnonzero(at["count"] > 0):
            rows, first, last = self.sensors[one], int(at["first"][one]), int(at["last"][one])
            usual = (last - first + 1) / at["count"][one]
            enough = max(_LATE_SHARE * len(rows), _LATE_ROWS, 10 * usual)
            if first > enough:
                late[rows.sensor] = (first / len(rows), _when(rows.ts_ns[first]))
            if len(rows) - 1 - last > enough:
                early[rows.sensor] = (1 - (last + 1) / len(rows), _when(rows.ts_ns[last]))
        for kind, found, said in (
            (Kind.STARTS_LATE, late, "has no value in the first {:.0%} of the rows, until {}"),
            (Kind.ENDS_EARLY, early, "has no value in the last {:.0%} of the rows, after {}"),
        ):
            if found:
                sensor, what = max(found.items(), key=lambda item: item[1])
                of_all = len(self.sensors) == 1
                where = "" if of_all else f" (sensor {sensor!r}; so {len(found):,} sensors)"
                yield self._finding(kind, said.format(*what) + where, self._ignored)


def _shown(value: float) -> str:
    """A number as one types it, and so that it is read as the same."""
    value = float(value)
    whole = value == round(value) and abs(value) < HUGE
    return f"{value:.0f}" if whole else repr(value)


def _when(ns: int) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[s]")) + "Z"
