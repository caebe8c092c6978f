"""What people say to the alarm rule of a sensor: a new normal, a fault, a false start, forget it.

Pure operations on states, between two calls of the fold; what they do to incidents, the next row
says. All take states of many sensors and leave them as they are.
"""

import numpy as np
from jaxtyping import Float, Float64, Int

from detector.calibration.alarm_fold import ANEW
from detector.calibration.alarm_records import (
    ENDING,
    FAULT,
    NEW_NORMAL,
    OPEN,
    PENDING,
    QUIET,
    STATE,
)
from detector.calibration.alarm_rule import START_OFFSET, AlarmRule, States

Reference = Float64[np.ndarray, "sensors 6"]
"""What a sensor's levels are compared to: centre, spread and rows learnt, each long and short."""

_VIEWS = ("long", "short")


def begin_anew(
    states: States, rule: AlarmRule, groups: Int[np.ndarray, " sensors"]
) -> tuple[States, Reference]:
    """New normal: the reference begins anew with the next level of each view.

    The centre is that level, then a running mean, and after 2,000 rows it follows as ever; the
    bar still stands on no centre below the calibrated one. The spread and the height of the bar
    are those of a sensor's first day. An open incident ends at the next row, as a new normal and
    without a charge. Forgotten and raised rows are no beginning.

    Args:
        states: of sensors.
        rule: theirs.
        groups: calibration group of each sensor.

    Returns:
        the states, and what `revert` takes to undo it.
    """
    after, table = _copied(states)
    reference = _reference(table)
    start = rule.start(groups).view(STATE)[:, 0]
    for view in _VIEWS:
        table[f"spread_{view}"] = start[f"spread_{view}"]
        table[f"learnt_{view}"] = ANEW
    table["offset"] = START_OFFSET
    table["over"] = 0.0
    is_open, reported = table["phase"] == OPEN, ~np.isnan(table["opened"])
    table["reason"][is_open] = NEW_NORMAL
    table["phase"] = np.where(
        is_open & ~reported, QUIET, np.where(table["phase"] == QUIET, QUIET, ENDING)
    )
    return after, reference


def revert(states: States, reference: Reference) -> States:
    """The reference is what it was before `begin_anew`; the bar's height stays."""
    after, table = _copied(states)
    for view, name in enumerate(_VIEWS):
        for column, what in enumerate(("centre", "spread", "learnt")):
            table[f"{what}_{name}"] = reference[:, 2 * column + view]
        table[f"before_spread_{name}"] = table[f"spread_{name}"]
    return after


def forget(states: States, rule: AlarmRule, groups: Int[np.ndarray, " sensors"]) -> States:
    """Centre, spread and the height of the bar are those of the first day; incidents stay."""
    after, table = _copied(states)
    start = rule.start(groups).view(STATE)[:, 0]
    for view in _VIEWS:
        for what in ("centre", "spread", "learnt"):
            table[f"{what}_{view}"] = start[f"{what}_{view}"]
        # Or an incident that recovers would give back what was forgotten.
        table[f"before_spread_{view}"] = start[f"spread_{view}"]
    table["offset"] = START_OFFSET
    return after


def forgive(states: States, rule: AlarmRule, charge: Float[np.ndarray, " sensors"]) -> States:
    """Take back what an incident lifted the bar by: it was a fault, no false alarm.

    Args:
        states: of sensors.
        rule: theirs; its lowest bar holds, since rows may have let the bar sink in between.
        charge: `Incident.charge` of each sensor's incident, 0 of none, tail slopes.
    """
    after, table = _copied(states)
    lower = np.maximum(table["offset"] - charge, rule.dials.lowest)
    table["offset"] = np.where(charge > 0.0, lower, table["offset"])
    return after


def mark_fault(states: States, rule: AlarmRule) -> States:
    """The incident that goes on is a fault: it costs nothing, and from now on teaches nothing.

    So it is not accepted as the new normal either. Charged already (it had ended, and was taken
    up again, or may be), it is forgiven. Sensors without one stay as they are.
    """
    after, table = _copied(states)
    goes_on = (table["phase"] == OPEN) | (table["phase"] == PENDING)
    after = forgive(after, rule, np.where(goes_on, table["charged"], 0.0))
    table = after.view(STATE)[:, 0]
    table["charged"][goes_on] = 0.0
    table["cost"][goes_on] = FAULT
    return after


def _copied(states: States) -> tuple[States, np.ndarray]:
    """The states once more, and their columns."""
    after = np.array(states, dtype=np.float64, order="C")
    return after, after.view(STATE)[:, 0]


def _reference(table: np.ndarray) -> Reference:
    """What `revert` puts back; of a sensor in alarm, the spread that a recovery would give back."""
    is_open = table["phase"] == OPEN
    spreads = [
        np.where(is_open, table[f"before_spread_{view}"], table[f"spread_{view}"])
        for view in _VIEWS
    ]
    centres = [table[f"centre_{view}"] for view in _VIEWS]
    return np.stack([*centres, *spreads, *(table[f"learnt_{view}"] for view in _VIEWS)], axis=1)
