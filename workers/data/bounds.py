"""Values too large to be measurements, told before anything is learned from them."""

from __future__ import annotations

import numpy as np

from schemas.wire.timestamp import short_ns
from workers.data.errors import FileFormatError
from workers.data.history import History


def check_range(history: History, largest: float) -> None:
    """Reject values that are no measurements, such as the largest number that there is.

    Raises:
        FileFormatError: names the channel, one such value and the ways out.
    """
    for one in history.sensors:
        beyond = np.abs(one.values) > largest
        if beyond.any():
            row, number = np.argwhere(beyond)[0]
            channel, value = history.channels[number], float(one.values[row, number])
            raise FileFormatError(
                f"channel {channel!r} of sensor {one.sensor!r} holds {value:g} at "
                f"{short_ns(int(one.ts_ns[row]))}, and {int(beyond[:, number].sum()) - 1:,} more "
                f"values beyond {largest:g}: read them as missing (--missing {value!r}), or leave "
                f"the column out (--ignore)"
            )
