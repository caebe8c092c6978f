"""Deadlines instead of sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.02


def wait_until(condition: Callable[[], T], *, within: float, what: str = "the condition") -> T:
    """Return the first true value of ``condition``; fail with the last one seen.

    Let ``condition`` return what it looked at (a list, a count, a tuple), so that a failure shows
    it. It may take its own time, for instance a poll of a consumer.

    Args:
        condition: asked again and again; truth ends the wait.
        within: seconds.
        what: named in the failure.

    Raises:
        AssertionError: not true within the time; shows the last value.
    """
    deadline = time.monotonic() + within
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not hold within {within:g} s; last seen: {seen!r}")
        time.sleep(_POLL_S)
