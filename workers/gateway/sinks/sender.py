"""Sending a notification to any sink, within the time allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from schemas.api.sinks import Sink
from schemas.settings import Settings
from workers.alerts.message import Message
from workers.gateway.sinks.outcome import Outcome

__all__ = ["Senders"]


class Senders:
    """One for a gateway: it holds the connections that are used again."""

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Open what all sinks share; close it at the end."""
        yield cls()

    async def send(self, sink: Sink, signing: Sequence[str], message: Message) -> Outcome:
        """Send once; never raises for a fault of the receiver, nor takes longer than allowed.

        Args:
            sink: where to.
            signing: secrets (whsec_...) that sign, the newest first; webhooks only.
            message: what.
        """
        raise NotImplementedError
