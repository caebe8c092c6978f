"""Listens to what people wish, beside the readings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from workers.kafka.client import TableTail
from workers.stream.state.wishes import WishBoard

_EVERY_S: Final = 0.2
"""Between two looks at the topic: a person does not notice, and it costs half a millisecond."""


class WishListener:
    """Keeps a board up to date; the worker's own, and its thread's.

    Attributes:
        board: what stands, for the partitions of the worker.
    """

    def __init__(self, tail: TableTail | None, monotonic_s: Callable[[], float]) -> None:
        """Listen to `tail`; None says nothing."""
        self.board = WishBoard()
        self._tail, self._monotonic_s = tail, monotonic_s
        self._next_s = float("-inf")
        self._unreadable: dict[str, str] = {}
        self._log = structlog.get_logger("vigie.wishes")

    @property
    def is_ready(self) -> bool:
        """Whether the board holds all that stood when the worker began.

        Before that, what it lacks must not be taken for withdrawn.
        """
        return self._tail is None or self._tail.caught_up

    def listen(self) -> None:
        """Take what has come, now and then; at every call as long as the board is not ready.

        Raises:
            CorruptLogError, SettingsError, BrokerUnavailableError: see `TableTail.poll`.
        """
        now_s = self._monotonic_s()
        if self._tail is None or (self.is_ready and now_s < self._next_s):
            return
        self._next_s = now_s + _EVERY_S
        for key, value in self._tail.poll():
            self.board.take(key, value)
        unreadable = self.board.unreadable
        for name, reason in unreadable.items():
            if self._unreadable.get(name) != reason:
                self._log.warning("wishes_unreadable", sensor=name, reason=reason)
        self._unreadable = unreadable
