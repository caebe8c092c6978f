"""Partitions without an owner, found by looking.

A round of cooperative sharing takes a partition from its owner and gives it to no other: the owner
sees that, lets go and joins again, and the next round gives it away. If the owner is killed in
between, its successor of the same name is handed the share as it was stored, no round follows,
and the partition has no reader until a member comes or goes. So every member looks, a
while after it joined, and joins again when a partition is missing: that is a round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from workers.errors import BrokerUnavailableError, SettingsError
from workers.kafka.admin import Group

log = logging.getLogger(__name__)

_LOOK_AFTER_S: Final = 3.0  # longer than the rounds of members that are all alive


class Unassigned:
    """Says when a round is needed; see the module."""

    def __init__(
        self, look: Callable[[], Group], *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._monotonic_s = look, monotonic_s
        self._due_s = float("inf")

    def joined(self) -> None:
        """Look again in a while."""
        self._due_s = self._monotonic_s() + _LOOK_AFTER_S

    def are_there(self, partitions: Collection[int]) -> bool:
        """Whether some of these, all of the topic, have no owner; asks only when a look is due."""
        if self._monotonic_s() < self._due_s:
            return False
        self._due_s = float("inf")
        try:
            group = self._look()
        except BrokerUnavailableError:
            self.joined()
            return False
        except SettingsError as error:
            log.warning("whether each partition has an owner is not looked after: %s", error)
            return False
        owned = {partition for member in group.members for partition in member.partitions}
        missing = sorted(set(partitions) - owned)
        if group.state != "Stable":  # a round is under way
            self.joined()
            return False
        if missing:
            log.warning("partitions %s have no owner; joining again", missing)
            self.joined()
        return bool(missing)
