"""From the answer of a receiver to what to do next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from workers.gateway.sinks.guarded import Answer, HttpFailureError, RefusedTargetError
from workers.gateway.sinks.outcome import Outcome, Verdict

__all__ = ["USER_AGENT", "deadline_in", "outcome_of", "retry_after_s"]

USER_AGENT: Final = "Vigie"
_ASKS_TO_WAIT: Final = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_S: Final = 86_400.0


async def outcome_of(posted: Awaitable[Answer]) -> Outcome:
    """What came of a post: only 2xx is success, 410 wants no more, the rest is tried again."""
    try:
        answer = await posted
    except RefusedTargetError as error:
        return Outcome.failed(str(error), Verdict.REJECTED)
    except HttpFailureError as error:
        return Outcome.failed(str(error))
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(verdict=Verdict.DELIVERED, status=answer.status, response=answer.text)
    return Outcome(
        verdict=Verdict.GONE if answer.status == HTTPStatus.GONE else Verdict.RETRY,
        status=answer.status,
        error=_reason(answer.status),
        response=answer.text,
        retry_after_s=(
            retry_after_s(answer.headers.get("retry-after", ""), now_s=time.time())
            if answer.status in _ASKS_TO_WAIT
            else None
        ),
    )


def retry_after_s(text: str, *, now_s: float) -> float | None:
    """Seconds that a Retry-After header asks for, a day at most; None if it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(text)
        wait_s = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def deadline_in(seconds: float) -> float:
    """A deadline by the clock of the loop."""
    return asyncio.get_running_loop().time() + seconds


def _reason(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"HTTP {status}: redirects are not followed, give the address that it leads to"
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
