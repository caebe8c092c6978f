"""What the alarm rule's fold reads and writes, by name: numbers, dials, states, events.

Plain float64 columns, so that a state is stored, copied and compared as an array.
"""

from typing import Any

import numpy as np

LONG, SHORT, RULE = 0, 1, 2
"""Columns of a sample's levels, and what fired."""
HELD, RAISED, OFF, FORGOTTEN = 1, 2, 4, 8
"""Bits of a row's ruling; see `alarm_rule.Ruling`."""
QUIET, OPEN, PENDING, ENDING = 0.0, 1.0, 2.0, 3.0
"""No incident; one in alarm; one that ended, as long as it may still be taken up again; one that
a wish ended, and that the next row says so of."""
RECOVERED, NEW_NORMAL, MAXIMUM_DURATION, SWITCHED_OFF = 0.0, 1.0, 2.0, 3.0
"""Why an incident ended."""
RAISED_ONLY, OWN, FREE, FAULT = 0.0, 1.0, 2.0, 3.0
"""What an incident costs: nothing unless the model alone would have opened it; by its peak; nothing
(it opened in a forgotten period); nothing, and nothing is learnt in it (a confirmed fault)."""
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
    "accept_after",
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
    *("first", "opened", "last", "peak", "strength", "fired", "cost", "charged", "reason"),
    *("learnt_long", "learnt_short"),
)
"""What is recorded of a sensor. `learnt`: rows since its reference began anew, up to `LEARNS_OVER`
(a calibrated reference begins there)."""

EVENT = _record(
    *("sensor", "what", "opened", "first", "last", "ended"),
    *("peak", "strength", "fired", "charged", "reason"),
)
"""One thing that happened to an incident; rows count from the sensor's first ever."""
