"""The alarm rule's inner loop: one pass over levels in order, state in, state out.

Compiled, because the rule is a fold: what a row does depends on all rows before it. No step reads
beyond its own row, so the result is the same bits however a sensor's rows are cut into calls; only
+, -, *, / and comparisons are used, so they are the same on every machine too.

What the rule does is told in `detector.calibration.alarm_rule`; the same in plain Python, slow and
obvious, is in its tests.
"""

from typing import Any

import numpy as np

from detector.calibration.alarm_records import (
    ENDED,
    ENDING,
    FAULT,
    FORGOTTEN,
    FREE,
    HELD,
    LONG,
    MAXIMUM_DURATION,
    NEW_NORMAL,
    OFF,
    OPEN,
    OPENED,
    OWN,
    PENDING,
    QUIET,
    RAISED,
    RAISED_ONLY,
    RECOVERED,
    RULE,
    SHORT,
    SWITCHED_OFF,
)
from detector.compiled import compiled

LEARNS_OVER = 2_000.0
"""Rows in which centre and spread forget, outside of an incident."""
ANEW = -1.0
"""Rows learnt of a view whose next level becomes its centre."""
STEP = 4.0
"""The longest step, in spreads, that a row can pull centre or spread by."""
LEAST_SPREAD = 0.1
"""The spread never falls below this share of the calibrated one."""
FEEDBACK = 6.0
"""Tail slopes by which a weak incident lifts the bar."""
FREE_SHARE = 0.85
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
def _adopt(s: Any, long: float, short: float, ruling: int) -> None:
    """Where a reference begins anew, its centre is the first level."""
    if ruling & (RAISED | FORGOTTEN):
        return
    if s.learnt_long == ANEW and not np.isnan(long):
        s.centre_long = long
        s.learnt_long = 0.0
    if s.learnt_short == ANEW:
        s.centre_short = short
        s.learnt_short = 0.0


@compiled
def _learn_outside(s: Any, n: Any, long: float, short: float) -> None:
    """Learn a row outside of incidents: the centre as a running mean until it is old enough."""
    by_long = by_short = rate = 1.0 / LEARNS_OVER
    if 0.0 <= s.learnt_long < LEARNS_OVER and not np.isnan(long):
        s.learnt_long += 1.0
        by_long = 1.0 / s.learnt_long
    if 0.0 <= s.learnt_short < LEARNS_OVER:
        s.learnt_short += 1.0
        by_short = 1.0 / s.learnt_short
    _learn(s, n, long, short, by_long, by_short, rate)


@compiled
def _learn(  # noqa: PLR0917 - compiled functions take no keywords
    s: Any, n: Any, long: float, short: float, by_long: float, by_short: float, rate: float
) -> None:
    """Move centres and (at `rate`) spreads; a row far off pulls by `STEP` spreads at most."""
    if not np.isnan(long):
        step = min(max(long - s.centre_long, -STEP * s.spread_long), STEP * s.spread_long)
        s.centre_long += by_long * step
        spread = s.spread_long + rate * (abs(step) - s.spread_long)
        s.spread_long = max(spread, LEAST_SPREAD * n.spread_long)
    step = min(max(short - s.centre_short, -STEP * s.spread_short), STEP * s.spread_short)
    s.centre_short += by_short * step
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
def _open(s: Any, n: Any, strength: float, fired: float, cost: float) -> None:
    """Begin an incident, or take up the one that just ended."""
    if s.phase == QUIET:
        s.first = s.rows
        s.opened = np.nan
        s.peak = s.strength = max(0.0, strength)
        s.fired = fired
        s.cost = cost
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
    s.height_short = np.nan


@compiled
def _measure(s: Any, long: float, short: float) -> None:
    """The height of an incident: running means, over its first row to its last `HEIGHT_OVER`."""
    s.age += 1.0
    if np.isnan(s.height_short):
        s.height_short = short
    s.height_short += (short - s.height_short) / min(s.age, HEIGHT_OVER)
    if not np.isnan(long):
        if np.isnan(s.height_long):
            s.height_long = long
        s.height_long += (long - s.height_long) / min(s.age, HEIGHT_OVER)


@compiled
def _in_alarm(  # noqa: PLR0917
    s: Any, n: Any, d: Any, long: float, short: float, strength: float, ruling: int
) -> float:
    """One row of an open incident; the reason if it ends here, else NaN."""
    _measure(s, long, short)
    s.last = s.rows
    if not ruling & HELD:
        s.peak = max(s.peak, strength)
    centre_long, bar_long, centre_short, bar_short = _bars(s, n)
    if s.smooth_short > centre_short + 0.5 * bar_short:
        s.armed += 1.0
    calm = _is_over(s, centre_long, 0.5 * bar_long, centre_short, 0.5 * bar_short)
    calm = (calm or ruling & HELD != 0) and ruling & RAISED == 0
    s.calm = s.calm + 1.0 if calm else 0.0
    if s.calm >= d.closes_after:
        if ruling & HELD:  # what is left of it does not matter
            return RECOVERED
        # Calm beside centres that have learnt the incident is not calm beside those before it.
        before = _is_over(s, s.from_long, s.half_long, s.from_short, s.half_short)
        return RECOVERED if before else NEW_NORMAL
    accepts = d.accept > 0.0 and s.cost != FAULT and not ruling & (RAISED | FORGOTTEN)
    if accepts and s.age >= max(d.accept * n.memory, d.accept_after):
        if not np.isnan(s.smooth_long):
            s.centre_long = max(s.centre_long, s.smooth_long)
        s.centre_short = max(s.centre_short, s.smooth_short)
        return NEW_NORMAL
    return MAXIMUM_DURATION if s.rows - s.first + 1.0 >= d.longest else np.nan


@compiled
def _in_alarm_unscored(s: Any, d: Any) -> float:
    """One raised row without levels; the reason if the incident ends here, else NaN."""
    s.age += 1.0
    s.last = s.rows
    return MAXIMUM_DURATION if s.rows - s.first + 1.0 >= d.longest else np.nan


@compiled
def _close(s: Any, reason: float) -> None:
    """Leave the alarm, and lift the bar by what the incident costs, once."""
    s.reason = reason
    if reason in (RECOVERED, SWITCHED_OFF):
        # What it taught was the event's. Kept, it would hide the next one behind a wide spread.
        s.spread_long = s.before_spread_long
        s.spread_short = s.before_spread_short
    s.since = 0.0
    s.over = 0.0
    s.phase = QUIET if np.isnan(s.opened) else PENDING
    if s.phase == PENDING and s.cost == OWN and s.charged == 0.0 and reason != SWITCHED_OFF:
        s.charged = FEEDBACK * (1.0 - FREE_SHARE + FREE_SHARE * _forgiving(s.peak))
        s.offset += s.charged


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
    event.charged = s.charged
    event.reason = np.nan if what == OPENED else s.reason


@compiled
def _end(s: Any, events: Any, count: int, sensor: int) -> int:
    """The incident is over now; the number of events after it."""
    s.phase = QUIET
    _write(s, events[count], sensor, ENDED)
    return count + 1


@compiled
def _switch_off(s: Any, events: Any, count: int, sensor: int) -> int:
    """One row that is not judged: whatever goes on ends here."""
    if s.phase == OPEN:
        _close(s, SWITCHED_OFF)
    if s.phase != QUIET:
        s.reason = SWITCHED_OFF
        count = _end(s, events, count, sensor)
    return count


@compiled
def _outside(s: Any, d: Any, events: Any, count: int, sensor: int) -> int:
    """One row without an alarm; an incident that nothing took up again is over now."""
    if s.phase == OPEN:
        return count
    s.since += 1.0
    if s.phase == PENDING and s.since > d.merge_gap:
        count = _end(s, events, count, sensor)
    return count


@compiled
def _inside(s: Any, d: Any, reason: float, events: Any, count: int, sensor: int) -> int:  # noqa: PLR0917
    """One row of an alarm, which ends here for a reason or goes on (NaN)."""
    if np.isnan(s.opened) and s.age >= d.shortest:
        s.opened = s.rows
        _write(s, events[count], sensor, OPENED)
        count += 1
    if not np.isnan(reason):
        _close(s, reason)
        # Only what recovered may be taken up again: the other ends are decisions.
        if s.phase == PENDING and reason != RECOVERED:
            count = _end(s, events, count, sensor)
    return count


@compiled
def _take_up(  # noqa: PLR0917
    s: Any, n: Any, d: Any, strength: float, fired: float, ruling: int
) -> bool:
    """Whether a judged row is in an incident, which it opens if it has to."""
    own = _opens(s, d, 0.0 if ruling & HELD else strength)
    if s.phase != OPEN and (own or ruling & RAISED):
        cost = FREE if ruling & FORGOTTEN else RAISED_ONLY
        _open(s, n, strength, fired if own else RULE, cost)
    if own and s.cost == RAISED_ONLY:
        s.cost = OWN
    return bool(s.phase == OPEN)


@compiled
def _learn_inside(  # noqa: PLR0917
    s: Any, n: Any, d: Any, long: float, short: float, ruling: int
) -> None:
    """Learn a row of an incident."""
    if ruling & HELD and s.cost != FAULT:
        _learn_outside(s, n, long, short)
    else:
        learns = d.accept > 0.0 and s.cost != FAULT and not ruling & RAISED
        rate = d.learning / n.memory if learns else 0.0
        _learn(s, n, long, short, rate, rate, rate)


@compiled
def _ruled(s: Any, ruling: int, events: Any, count: int, sensor: int) -> tuple[int, int]:
    """What wishes and rulings end before a row; the number of events, and what is left to rule."""
    if s.phase == ENDING:
        count = _end(s, events, count, sensor)
    if ruling & OFF:
        return _switch_off(s, events, count, sensor), OFF
    return count, ruling & ~HELD if ruling & RAISED else ruling


@compiled
def _unscored(  # noqa: PLR0917
    s: Any, n: Any, d: Any, ruling: int, events: Any, count: int, sensor: int
) -> tuple[int, bool]:
    """One row without levels; events, and whether it is in a reported alarm."""
    s.over = 0.0
    s.calm = 0.0
    s.smooth_long = np.nan
    if not ruling & RAISED:
        return count, False
    if s.phase != OPEN:
        _open(s, n, 0.0, RULE, FREE if ruling & FORGOTTEN else RAISED_ONLY)
    count = _inside(s, d, _in_alarm_unscored(s, d), events, count, sensor)
    return count, not np.isnan(s.opened)


@compiled
def fold(  # noqa: PLR0917
    levels: Any,
    rulings: Any,
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
        rulings: int8 of each row.
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
            long, short, ruling = levels[row, LONG], levels[row, SHORT], int(rulings[row])
            if not np.isfinite(long):
                long = np.nan
            if ruling or s.phase == ENDING:
                count, ruling = _ruled(s, ruling, events, count, sensor)
            if np.isfinite(short) and ruling != OFF:
                _smooth(s, long, short)
                count = _outside(s, d, events, count, sensor)
                _adopt(s, long, short, ruling)
                threshold[row], strength, fired = _judge(s, n, long, short)
                strengths[row], alarm[row] = strength, False
                if _take_up(s, n, d, strength, fired, ruling):
                    reason = _in_alarm(s, n, d, long, short, strength, ruling)
                    count = _inside(s, d, reason, events, count, sensor)
                    alarm[row] = not np.isnan(s.opened)
                    if not ruling & FORGOTTEN:
                        _learn_inside(s, n, d, long, short, ruling)
                elif not ruling & FORGOTTEN:
                    _learn_outside(s, n, long, short)
                if not ruling & FORGOTTEN:
                    s.offset = max(s.offset - FEEDBACK * d.rate, d.lowest)
            else:
                threshold[row], strengths[row] = np.nan, np.nan
                count, alarm[row] = _unscored(s, n, d, ruling, events, count, sensor)
            s.rows += 1.0
            row += 1
    return count
