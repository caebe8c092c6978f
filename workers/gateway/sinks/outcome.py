"""What became of one attempt to deliver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

__all__ = ["MAX_RESPONSE_BYTES", "Outcome", "Verdict"]

MAX_RESPONSE_BYTES: Final = 1024
"""How much of an answer is read and kept."""
_MAX_ERROR_CHARS: Final = 500


class Verdict(StrEnum):
    """What to do next."""

    DELIVERED = "delivered"
    """Nothing: the receiver has it."""
    RETRY = "retry"
    """Try again: later it may work."""
    GONE = "gone"
    """Disable the subscription: the receiver wants no more (HTTP 410)."""
    REJECTED = "rejected"
    """Give this one up: no attempt will ever work unless somebody changes something."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    verdict: Verdict
    """What to do next."""
    status: int | None = None
    """Of HTTP or SMTP; None if there was no answer."""
    error: str = ""
    """What went wrong, without secrets; empty if nothing did."""
    response: str = ""
    """Beginning of the answer, at most 1 KiB."""
    retry_after_s: float | None = None
    """How long the receiver asked to wait."""

    def __post_init__(self) -> None:
        """Cut to what is kept; a NUL is nothing that PostgreSQL keeps."""
        response = self.response.encode(errors="replace")[:MAX_RESPONSE_BYTES]
        object.__setattr__(self, "error", self.error[:_MAX_ERROR_CHARS].replace("\0", "�"))
        object.__setattr__(self, "response", response.decode(errors="ignore").replace("\0", "�"))

    @classmethod
    def failed(cls, error: str, verdict: Verdict = Verdict.RETRY) -> Self:
        """An attempt without an answer."""
        return cls(verdict=verdict, error=error)

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.verdict is Verdict.DELIVERED
