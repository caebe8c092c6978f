"""What looks wrong with the times of a history. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.signal.series import GAP_INTERVALS
from schemas.wire.time_form import SPREADSHEET_DAYS
from workers.data.errors import listed
from workers.data.file.rows import Reason
from workers.data.finding import Finding, Kind
from workers.data.history import History, SensorRows, unusable_rows
from workers.data.layout import Layout
from workers.data.nice import resampled

_Y2000_NS = 946_684_800 * 10**9
_AHEAD_NS = 5 * 60 * 10**9
_ZONES_NS = 14 * 3600 * 10**9
_IRREGULAR_SHARE = 0.2
_FEW_ROWS = 20
_HALF = 0.5
_TELL_REPEATS = {Kind.SENSOR_COLUMN, Kind.CLOCK_COLUMN, Kind.CLOCK_BACK}
_NEWEST_FIRST = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """The steps of time of one sensor.

    Attributes:
        typical_ns: the median step.
        shortest_ns, longest_ns: the extremes.
        irregular: share of the steps that are less than half or more than one and a half of it.
    """

    typical_ns: int
    shortest_ns: int
    longest_ns: int
    irregular: float


def interval_of(one: SensorRows) -> Interval | None:
    """Of a sensor; None with fewer than two rows."""
    if len(one) <= 1:
        return None
    steps = np.diff(one.ts_ns)
    typical = int(np.median(steps))
    odd = np.abs(steps - typical) > typical // 2
    return Interval(
        typical_ns=typical,
        shortest_ns=int(steps.min()),
        longest_ns=int(steps.max()),
        irregular=float(np.count_nonzero(odd) / len(steps)),
    )


def time_findings(history: History, layout: Layout, *, now_ns: int) -> list[Finding]:
    """What looks wrong with the times.

    Args:
        history: sensors with their rows by time.
        layout: how it was read.
        now_ns: what the clock says.
    """
    sensors = [one for one in history.sensors if len(one)]
    intervals = {one.sensor: found for one in sensors if (found := interval_of(one))}
    return [
        *_repeated(history, layout),
        *_left_out(history, layout),
        *_unordered(history),
        *_early(sensors),
        *_future(sensors, layout, now_ns),
        *_rates(sensors, intervals),
        *_irregular(sensors, intervals),
        *_sparse(sensors),
    ]


def _repeated(history: History, layout: Layout) -> Iterator[Finding]:
    repeated = {s: n for (why, s), n in history.left_out.items() if why == Reason.REPEATED}
    count = sum(repeated.values())
    if not count:
        return
    # A long file's rows are values; those that are left belong to fewer rows.
    kept = max(history.read - history.left_out.total(), 1)
    share = count / max(history.read, 1)
    text = f"{count:,} of {history.read:,} rows ({share:.0%}) repeat a time and were left out"
    if len(repeated) < len(history.sensors):
        text += f", of {len(repeated):,} sensors: {listed(repeated)}"
    elif (each := (kept + count) / kept) > 1 + _HALF:
        text += f": about {each:.0f} rows to each time"
    usual = history.repeating_step_ns
    # They say what else the rows of one time may be: to average them could mix machines.
    suspected = any(one.kind in _TELL_REPEATS for one in history.findings)
    keys = resampled(usual) if usual and not suspected else {}
    yield Finding(
        kind=Kind.REPEATED_TIMES,
        text=text,
        keys=keys,
        # Without it the files are refused.
        certain=bool(keys) and share > layout.max_left_out,
    )


def _left_out(history: History, layout: Layout) -> Iterator[Finding]:
    """Rows of which so many are unusable that training refuses them, for other reasons."""
    if not history.read:
        yield Finding(kind=Kind.LEFT_OUT, text="there is no row in it")
        return
    said = unusable_rows(history, layout.max_left_out)
    if said and history.by_reason[Reason.REPEATED] * 2 < history.unusable.total():
        keys = {"max_left_out": 1} if len(history) else {}
        yield Finding(kind=Kind.LEFT_OUT, text=said.rstrip("."), keys=keys)


def _unordered(history: History) -> Iterator[Finding]:
    count = history.unordered.total()
    if not count or any(one.kind is Kind.SENSOR_COLUMN for one in history.findings):
        return
    reverse = count >= _NEWEST_FIRST * (len(history) + history.by_reason[Reason.REPEATED])
    yield Finding(
        kind=Kind.OUT_OF_ORDER,
        text="the newest row comes first: rows were sorted by time"
        if reverse
        else f"{count:,} rows come after later ones: they were sorted by time",
    )


def _early(sensors: Sequence[SensorRows]) -> Iterator[Finding]:
    count = sum(int(np.searchsorted(one.ts_ns, _Y2000_NS)) for one in sensors)
    if not count:
        return
    first, rows = min(int(one.ts_ns[0]) for one in sensors), sum(map(len, sensors))
    text = f"{count:,} of {rows:,} rows lie before 2000, the first at {_when(first)}: "
    if count == rows and first // 10**9 in SPREADSHEET_DAYS:
        text += "are they day numbers of a spreadsheet?"
        yield Finding(kind=Kind.EARLY_TIMES, text=text, keys={"epoch": "excel"})
    elif count == rows:
        text += "is the unit of the times right (--epoch), or their form (--time-format)?"
        yield Finding(kind=Kind.EARLY_TIMES, text=text)
    else:
        text += "was a clock not set? All between them and the others is a gap"
        yield Finding(kind=Kind.EARLY_TIMES, text=text)


def _future(sensors: Sequence[SensorRows], layout: Layout, now_ns: int) -> Iterator[Finding]:
    limit = now_ns + _AHEAD_NS
    count = sum(len(one) - int(np.searchsorted(one.ts_ns, limit, side="right")) for one in sensors)
    if not count:
        return
    last = max(int(one.ts_ns[-1]) for one in sensors)
    text = f"{count:,} rows lie in the future, the last at {_when(last)}: "
    swapped = tuple(_swapped(form) for form in layout.time_format)
    if last - now_ns <= _ZONES_NS:
        text += "are times without a zone of another one than they were read in (--timezone)?"
        yield Finding(kind=Kind.FUTURE_TIMES, text=text)
    elif swapped and swapped != layout.time_format:
        text += "are day and month the other way round?"
        yield Finding(kind=Kind.FUTURE_TIMES, text=text, keys={"time_format": swapped})
    else:
        text += "is the unit of the times right (--epoch), or their form (--time-format)?"
        yield Finding(kind=Kind.FUTURE_TIMES, text=text)


def _swapped(form: str) -> str:
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _rates(sensors: Sequence[SensorRows], intervals: dict[str, Interval]) -> Iterator[Finding]:
    typical = np.array([one.typical_ns for one in intervals.values()])
    if len(typical) <= 1 or typical.max() < 2 * typical.min():
        return
    weights = np.array([len(one) - 1 for one in sensors if one.sensor in intervals])
    order = np.argsort(typical)
    reach = np.cumsum(weights[order])
    pooled = int(typical[order][np.searchsorted(reach, reach[-1] / 2)])
    slow = [name for name, one in intervals.items() if one.typical_ns > GAP_INTERVALS * pooled]
    if slow:
        longest = max(intervals[name].typical_ns for name in slow)
        yield Finding(
            kind=Kind.RATES,
            text=f"the rows of {listed(slow)} are {shown_ns(longest)} apart, those of the others "
            f"{shown_ns(pooled)}: to a model of all every such step is a gap (longer than "
            f"{GAP_INTERVALS} intervals), so they are never scored. Train them apart, or make rows "
            "at one interval of all",
            keys=resampled(longest),
        )


def _irregular(sensors: Sequence[SensorRows], intervals: dict[str, Interval]) -> Iterator[Finding]:
    long = {one.sensor: len(one) for one in sensors if len(one) > _FEW_ROWS}
    odd = {
        name: one
        for name, one in intervals.items()
        if name in long and one.irregular > _IRREGULAR_SHARE
    }
    if not odd:
        return
    name, worst = max(odd.items(), key=lambda item: item[1].irregular)
    where = "" if len(sensors) == 1 else f" in {len(odd):,} of {len(sensors):,} sensors"
    yield Finding(
        kind=Kind.IRREGULAR,
        text=f"the rows come at irregular times{where}: {worst.irregular:.0%} of the steps"
        f"{'' if len(sensors) == 1 else f' of {name!r}'} are far from the typical "
        f"{shown_ns(worst.typical_ns)} (from {shown_ns(worst.shortest_ns)} to "
        f"{shown_ns(worst.longest_ns)})",
        keys=resampled(float(np.median([one.typical_ns for one in odd.values()]))),
    )


def _sparse(sensors: Sequence[SensorRows]) -> Iterator[Finding]:
    """Tags that come at different times leave a row with few of its values."""
    for one in sensors:
        if len(one) <= _FEW_ROWS:
            continue
        present = np.isfinite(one.values[:100_000])
        used = present.any(axis=0)
        if used.sum() <= 1 or present[:, used].mean() > _HALF:
            continue
        # Rows that hold next to nothing, not a channel or two that are seldom measured.
        if np.median(present[:, used].mean(axis=1)) > _HALF:
            continue
        gaps = [
            float(np.median(np.diff(one.ts_ns[: len(present)][column])))
            for column in present[:, used].T
            if np.count_nonzero(column) > 1
        ]
        if gaps:
            yield Finding(
                kind=Kind.SPARSE,
                text=f"the channels of {one.sensor!r} have their values at different times: a row "
                f"holds {present[:, used].mean():.0%} of them. Make rows at one interval of all",
                keys=resampled(max(gaps)),
            )
            return


def shown_ns(ns: float) -> str:
    """A length of time, for people."""
    seconds = ns / 1e9
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{ns:.4g} ns"


def _when(ns: int) -> str:
    return f"{np.datetime64(ns, 'ns').astype('datetime64[s]')}Z"
