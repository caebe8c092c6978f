"""When a delivery is tried again: the schedule of Standard Webhooks."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["MAX_RETRY_AFTER_S", "SCHEDULE_S", "next_due_ns", "parse_retry_after"]

SCHEDULE_S: Final = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long before each attempt: 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
MAX_RETRY_AFTER_S: Final = 86_400.0
"""Longest that a receiver may ask us to wait: a day."""
JITTER: Final = 0.1
"""Part of a pause by which it may be longer, so that what failed together does not come together.

Never shorter: a receiver may have asked for the pause.
"""
_MAX_CHARS: Final = 64
"""Longest `Retry-After` that is looked at."""
_SECOND_NS: Final = 10**9


def next_due_ns(
    attempts: int,
    now_ns: int,
    jitter: float,
    retry_after_s: float | None,
    expires_ns: int,
) -> int | None:
    """When a delivery is tried next; None gives up.

    Args:
        attempts: how often it was tried. Behind the end of the schedule its last pause goes on:
            what ends a delivery is its age.
        now_ns: when the last attempt ended.
        jitter: drawn from [0, 1).
        retry_after_s: how long the receiver asked us to wait at least; None if it did not.
        expires_ns: when it is too old to be told. An attempt would be made before this or never.
    """
    if now_ns >= expires_ns:
        return None
    pause_s = float(SCHEDULE_S[min(max(attempts, 0), len(SCHEDULE_S) - 1)])
    if retry_after_s is not None:
        pause_s = max(pause_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    due_ns = now_ns + round(pause_s * (1.0 + JITTER * jitter) * _SECOND_NS)
    return due_ns if due_ns < expires_ns else None


def parse_retry_after(text: str | None, now_ns: int) -> float | None:
    """Seconds that a `Retry-After` asks for, 0 to a day; None if it says nothing that is one.

    Args:
        text: seconds or a date of HTTP, in any of its three forms; None if there was no header.
        now_ns: when the answer came.
    """
    if text is None or len(text) > _MAX_CHARS:
        return None
    text = text.strip(" \t")
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        # A date without a zone is in the old form of asctime, which is always of GMT.
        at_s = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(at_s - now_ns / _SECOND_NS, 0.0), MAX_RETRY_AFTER_S)
