"""CloudEvents in the structured mode: one, or the batch of a group."""

from __future__ import annotations

from typing import Final

from schemas.codec.content_type import CLOUD_EVENT
from workers.alerts.bodies.text import encoded
from workers.alerts.message import Message

__all__ = ["BATCH", "body"]

BATCH: Final = "application/cloudevents-batch+json"


def body(message: Message) -> tuple[bytes, str]:
    """The body and its content type."""
    if message.group is None and len(message.events) == 1:
        return encoded(message.events[0]), CLOUD_EVENT
    return encoded(list(message.events)), BATCH
