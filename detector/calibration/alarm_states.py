"""What can be done to the alarm rule's states between two rows."""

import numpy as np

from detector.calibration import alarm_records as records
from detector.calibration.alarm_rule import States


def end_incidents(states: States) -> States:
    """Leave an incident that is open, without a word and without charge; the rest goes on."""
    after = np.array(states, dtype=np.float64, order="C")
    table = after.view(records.STATE)[:, 0]
    is_open = table["phase"] != records.QUIET
    for name, value in (
        ("phase", records.QUIET),
        ("over", 0.0),
        ("since", 0.0),
        ("calm", 0.0),
        ("opened", np.nan),
        ("smooth_long", np.nan),
        ("smooth_short", np.nan),
    ):
        table[name][is_open] = value
    return after
