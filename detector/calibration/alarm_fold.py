"""The alarm rule's inner loop: one pass over levels in order, state in, state out.

Compiled, because the rule is a fold: what a row does depends on all rows before it. No step reads
beyond its own row, so the result is the same bits however a sensor's rows are cut into calls; only
+, -, *, / and comparisons are used, so they are the same on every machine too.

What the rule does is told in `detector.calibration.alarm_rule`; the same in plain Python, slow and
obvious, is in its tests.
"""

from typing import Any

import numpy as np

from detector.compiled import compiled

LONG, SHORT = 0, 1
"""Columns of a sample's levels, and what fired."""
QUIET, OPEN, PENDING = 0.0, 1.0, 2.0
"""No incident; one in alarm; one that ended, as long as it may still be taken up again."""
RECOVERED, NEW_NORMAL, MAXIMUM_DURATION = 0.0, 1.0, 2.0
"""Why an incident ended."""
OPENED, ENDED = 0.0, 1.0
"""What an event says of an incident."""


def _record(*names: str) -> np.dtype[Any]:
    """Named float64 columns: a row of a plain float64 array, read by name."""
    return np.dtype([(name, np.float64) for name in names])


NUMBERS = _record(
    *(f"{what}_{view}" for view in ("long", "short") for what in ("centre", "spread", "slope")),
    "bar_long",
    "bar_short",
    "memory",
)
"""Start numbers of a calibration group: centre and spread in levels, slope and bar in spreads,
memory in rows."""

DIALS = _record(
    "rate",
    "opens_at",
    "opens_within",
    "closes_after",
    "merge_gap",
    "shortest",
    "longest",
    "accept",
    "learning",
    "lowest",
)
"""The budget as false incidents a row, and the dials of `AlarmDials`."""

STATE = _record(
    "rows",
    *("centre_long", "spread_long", "centre_short", "spread_short"),
    "offset",
    *("over", "phase", "since"),
    *("smooth_long", "smooth_short"),
    *("age", "height_long", "height_short", "armed", "calm"),
    *("before_spread_long", "before_spread_short"),
    *("from_long", "half_long", "from_short", "half_short"),
    *("first", "opened", "last", "peak", "strength", "fired", "charged", "reason"),
)
"""What is recorded of a sensor; see `start_states`."""

EVENT = _record(
    *("sensor", "what", "opened", "first", "last", "ended", "peak", "strength", "fired", "reason")
)
"""One thing that happened to an incident; rows count from the sensor's first ever."""

LEARNS_OVER = 2_000.0
"""Rows in which centre and spread forget, outside of an incident."""
STEP = 4.0
"""The longest step, in spreads, that a row can pull centre or spread by."""
LEAST_SPREAD = 0.1
"""The spread never falls below this share of the calibrated one."""
FEEDBACK = 6.0
"""Tail slopes by which a weak incident lifts the bar."""
FREE = 0.85
"""Share of that lift from which a strong incident, likely an event, is freed."""
STRONG = 5.0
"""Tail slopes beyond the bar at which that lift is down to a quarter of its weak part."""
SMOOTH = 0.25
"""Weight of a row in the levels that decide on closing."""
HEIGHT_OVER = 64.0
"""Rows over which the height of an incident is a mean."""
ARMED_AFTER = 8.0
"""Rows that the short view must have seen of an incident before it may end it."""


@compiled
def _forgiving(peak: float) -> float:
    """1 for an incident that barely opened, falling towards 0 with its strength."""
    x = 1.0 + max(peak, 0.0) / STRONG
    return 1.0 / (x * x)


@compiled
def _learn(s: Any, n: Any, long: float, short: float, rate: float) -> None:
    """Move centre and spread by one row; a row far off pulls no further than `STEP` spreads."""
    if not np.isnan(long):
        step = min(max(long - s.centre_long, -STEP * s.spread_long), STEP * s.spread_long)
        s.centre_long += rate * step
        spread = s.spread_long + rate * (abs(step) - s.spread_long)
        s.spread_long = max(spread, LEAST_SPREAD * n.spread_long)
    step = min(max(short - s.centre_short, -STEP * s.spread_short), STEP * s.spread_short)
    s.centre_short += rate * step
    spread = s.spread_short + rate * (abs(step) - s.spread_short)
    s.spread_short = max(spread, LEAST_SPREAD * n.spread_short)


@compiled
def _smooth(s: Any, long: float, short: float) -> None:
    """Levels that a single row does not throw; the long one starts anew after a gap."""
    if np.isnan(s.smooth_short):
        s.smooth_short = short
    s.smooth_short += SMOOTH * (short - s.smooth_short)
    if np.isnan(long) or np.isnan(s.smooth_long):
        s.smooth_long = long
    else:
        s.smooth_long += SMOOTH * (long - s.smooth_long)


@compiled
def _bars(s: Any, n: Any) -> tuple[float, float, float, float]:
    """Centres that no longer fall below the calibrated ones, and heights of the bars over them."""
    bar_long = (n.bar_long + s.offset * n.slope_long) * s.spread_long
    bar_short = n.bar_short * s.spread_short
    return (
        max(s.centre_long, n.centre_long),
        bar_long,
        max(s.centre_short, n.centre_short),
        bar_short,
    )


@compiled
def _judge(s: Any, n: Any, long: float, short: float) -> tuple[float, float, float]:
    """Level that opens, tail slopes beyond it, and the view that is further beyond its bar."""
    centre_long, bar_long, centre_short, bar_short = _bars(s, n)
    unit = s.spread_short * n.slope_short
    if np.isnan(long):
        alone = centre_short + bar_short + s.offset * unit
        return alone, (short - alone) / unit, SHORT
    at = centre_long + bar_long
    by_short = (short - centre_short - 0.5 * bar_short) / unit
    unit = s.spread_long * n.slope_long
    by_long = (long - at) / unit
    if by_long <= by_short:
        return at, by_long, SHORT
    return long - by_short * unit, by_short, LONG


@compiled
def _is_over(s: Any, long: float, half_long: float, short: float, half_short: float) -> bool:
    """Whether the smoothed levels are back near the centres `long` and `short`."""
    low: float = short + max(0.5 * (s.height_short - short), half_short)
    if np.isnan(s.smooth_long):
        return bool(s.smooth_short < low)
    if s.smooth_short < low and s.armed >= ARMED_AFTER:
        return True
    low = long + max(0.5 * (s.height_long - long), half_long)
    return bool(s.smooth_long < low and s.smooth_short < short + 2.0 * half_short)


@compiled
def _opens(s: Any, d: Any, strength: float) -> bool:
    """Take one row into the last few; whether enough of them, this one included, are over."""
    over = int(s.over) * 2 + (1 if strength > 0.0 else 0)
    over &= (1 << int(d.opens_within)) - 1
    s.over = over
    count = 0
    while over:
        count += over & 1
        over >>= 1
    return strength > 0.0 and count >= d.opens_at


@compiled
def _open(s: Any, n: Any, strength: float, fired: float) -> None:
    """Begin an incident, or take up the one that just ended."""
    if s.phase == QUIET:
        s.first = s.rows
        s.opened = np.nan
        s.peak = strength
        s.strength = strength
        s.fired = fired
        s.charged = 0.0
        s.before_spread_long, s.before_spread_short = s.spread_long, s.spread_short
        centre_long, bar_long, centre_short, bar_short = _bars(s, n)
        s.from_long, s.half_long = centre_long, 0.5 * bar_long
        s.from_short, s.half_short = centre_short, 0.5 * bar_short
    s.phase = OPEN
    s.age = 0.0
    s.armed = 0.0
    s.calm = 0.0
    s.height_long = np.nan


@compiled
def _measure(s: Any, long: float, short: float) -> None:
    """The height of an incident: running means, over its first row to its last `HEIGHT_OVER`."""
    s.age += 1.0
    if s.age == 1.0:
        s.height_short = short
    s.height_short += (short - s.height_short) / min(s.age, HEIGHT_OVER)
    if not np.isnan(long):
        if np.isnan(s.height_long):
            s.height_long = long
        s.height_long += (long - s.height_long) / min(s.age, HEIGHT_OVER)


@compiled
def _in_alarm(  # noqa: PLR0917 - compiled functions take no keywords
    s: Any, n: Any, d: Any, long: float, short: float, strength: float
) -> float:
    """One row of an open incident; the reason if it ends here, else NaN."""
    _measure(s, long, short)
    s.last = s.rows
    s.peak = max(s.peak, strength)
    centre_long, bar_long, centre_short, bar_short = _bars(s, n)
    if s.smooth_short > centre_short + 0.5 * bar_short:
        s.armed += 1.0
    calm = _is_over(s, centre_long, 0.5 * bar_long, centre_short, 0.5 * bar_short)
    s.calm = s.calm + 1.0 if calm else 0.0
    if s.calm >= d.closes_after:
        # Calm beside centres that have learnt the incident is not calm beside those before it.
        before = _is_over(s, s.from_long, s.half_long, s.from_short, s.half_short)
        return RECOVERED if before else NEW_NORMAL
    if d.accept > 0.0 and s.age >= d.accept * n.memory:
        if not np.isnan(s.smooth_long):
            s.centre_long = max(s.centre_long, s.smooth_long)
        s.centre_short = max(s.centre_short, s.smooth_short)
        return NEW_NORMAL
    return MAXIMUM_DURATION if s.rows - s.first + 1.0 >= d.longest else np.nan


@compiled
def _close(s: Any, reason: float) -> None:
    """Leave the alarm, and lift the bar by what the incident costs, once."""
    s.reason = reason
    if reason == RECOVERED:
        # What it taught was the event's. Kept, it would hide the next one behind a wide spread.
        s.spread_long = s.before_spread_long
        s.spread_short = s.before_spread_short
    s.since = 0.0
    s.over = 0.0
    s.phase = QUIET if np.isnan(s.opened) else PENDING
    if s.phase == PENDING and s.charged == 0.0:
        s.offset += FEEDBACK * (1.0 - FREE + FREE * _forgiving(s.peak))
        s.charged = 1.0


@compiled
def _write(s: Any, event: Any, sensor: int, what: float) -> None:
    event.sensor = sensor
    event.what = what
    event.opened = s.opened
    event.first = s.first
    event.last = s.last
    event.ended = np.nan if what == OPENED else s.rows
    event.peak = s.peak
    event.strength = s.strength
    event.fired = s.fired
    event.reason = np.nan if what == OPENED else s.reason


@compiled
def _outside(s: Any, d: Any, events: Any, count: int, sensor: int) -> int:
    """One row without an alarm; an incident that nothing took up again is over now."""
    s.since += 1.0
    if s.phase == PENDING and s.since > d.merge_gap:
        s.phase = QUIET
        _write(s, events[count], sensor, ENDED)
        return count + 1
    return count


@compiled
def _inside(  # noqa: PLR0917
    s: Any,
    n: Any,
    d: Any,
    long: float,
    short: float,
    strength: float,
    events: Any,
    count: int,
    sensor: int,
) -> int:
    """One row of an alarm."""
    reason = _in_alarm(s, n, d, long, short, strength)
    if np.isnan(s.opened) and s.age >= d.shortest:
        s.opened = s.rows
        _write(s, events[count], sensor, OPENED)
        count += 1
    if not np.isnan(reason):
        _close(s, reason)
        # Only what recovered may be taken up again: the other ends are decisions.
        if s.phase == PENDING and reason != RECOVERED:
            s.phase = QUIET
            _write(s, events[count], sensor, ENDED)
            count += 1
    return count


@compiled
def fold(  # noqa: PLR0917
    levels: Any,
    sizes: Any,
    groups: Any,
    numbers: Any,
    dials: Any,
    states: Any,
    threshold: Any,
    strengths: Any,
    alarm: Any,
    events: Any,
) -> int:
    """Advance `states` over `levels` in place, fill the outputs, give the number of events.

    Args:
        levels: [rows, 2 or more], sensor behind sensor; long and short.
        sizes: rows of each sensor.
        groups: calibration group of each sensor.
        numbers: `NUMBERS` of each group.
        dials: one `DIALS`.
        states: `STATE` of each sensor, overwritten.
        threshold: out, level that opens; of the long view, or of the short where it is alone.
        strengths: out, tail slopes beyond all bars that the row must be over.
        alarm: out.
        events: out, `EVENT`, room for all.
    """
    d = dials[0]
    row = 0
    count = 0
    for sensor in range(len(sizes)):
        s = states[sensor]
        n = numbers[groups[sensor]]
        for _ in range(sizes[sensor]):
            long, short = levels[row, LONG], levels[row, SHORT]
            if not np.isfinite(long):
                long = np.nan
            if not np.isfinite(short):
                threshold[row], strengths[row], alarm[row] = np.nan, np.nan, False
                s.over = 0.0
                s.calm = 0.0
                s.smooth_long = np.nan
            else:
                _smooth(s, long, short)
                if s.phase != OPEN:
                    count = _outside(s, d, events, count, sensor)
                threshold[row], strengths[row], fired = _judge(s, n, long, short)
                if _opens(s, d, strengths[row]) and s.phase != OPEN:
                    _open(s, n, strengths[row], fired)
                rate = 1.0 / LEARNS_OVER
                alarm[row] = s.phase == OPEN
                if s.phase == OPEN:
                    count = _inside(s, n, d, long, short, strengths[row], events, count, sensor)
                    rate = d.learning / n.memory if d.accept > 0.0 else 0.0
                    alarm[row] = not np.isnan(s.opened)
                _learn(s, n, long, short, rate)
                s.offset = max(s.offset - FEEDBACK * d.rate, d.lowest)
            s.rows += 1.0
            row += 1
    return count


@compiled
def in_spreads(levels: Any, centre: float, spread: float) -> Any:
    """Levels over a centre and a spread that learn as those of the rule outside of incidents."""
    z = np.empty(len(levels))
    m, s = centre, spread
    for row in range(len(levels)):
        z[row] = (levels[row] - max(m, centre)) / s
        step = min(max(levels[row] - m, -STEP * s), STEP * s)
        m += step / LEARNS_OVER
        s = max(s + (abs(step) - s) / LEARNS_OVER, LEAST_SPREAD * spread)
    return z
