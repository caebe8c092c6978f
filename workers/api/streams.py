"""How many streams there are at once: of all, and of one who asks.

A stream takes a place for a quarter of an hour. One token that takes them all, as a program does
that connects again without ending what it had, must not leave the others without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from workers.api.problems import ProblemError
from workers.gateway.principals import ANYONE, Principal

__all__ = ["MOST_OF_ONE", "StreamPlaces"]

MOST_OF_ONE: Final = 20
"""Streams of one kind of one token: pages and programs that go by the same one."""
_RETRY_AFTER: Final = {"Retry-After": "10"}


class StreamPlaces:
    """The places of one kind of stream; for the loop of the server alone."""

    def __init__(self, most: int) -> None:
        """So many of all."""
        self._most = most
        self._taken = Counter[str]()

    def check(self, principal: Principal) -> None:
        """Let somebody come if there is a place for them.

        Raises:
            ProblemError: there is none at all (503), or they have all that one may have (429).
        """
        if self._taken.total() >= self._most:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "As many clients as may be are listening already (gateway.max_streams).",
                _RETRY_AFTER,
            )
        if principal is not ANYONE and self._taken[principal.id] >= MOST_OF_ONE:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"This token has {MOST_OF_ONE} streams already: end one, or take another token.",
                _RETRY_AFTER,
            )

    @contextmanager
    def held(self, principal: Principal) -> Iterator[None]:
        """A place of somebody, while their stream goes on."""
        self._taken[principal.id] += 1
        try:
            yield
        finally:
            self._taken[principal.id] -= 1
            if not self._taken[principal.id]:
                del self._taken[principal.id]
