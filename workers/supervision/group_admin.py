"""The group of the ingest workers as the supervisor sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GroupAdmin:
    """What only the broker can do or say. Both calls may block, and may raise a `VigieError`.

    Attributes:
        partitions: how many the readings have now.
        remove: takes the members of these slots off the group: a static member stays in it, with
            its partitions, until its session times out.
    """

    partitions: Callable[[], int]
    remove: Callable[[Sequence[int]], None]
