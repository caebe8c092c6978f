"""Does a broker answer? One admin call, bounded in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

__all__ = ["broker_answers"]


def broker_answers(
    bootstrap: str, *, timeout_s: float, client: Mapping[str, Any] | None = None
) -> bool:
    """True if a broker at ``bootstrap`` answers a metadata request within ``timeout_s``."""
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(timeout_s * 1000),
            request_timeout_ms=int(timeout_s * 1000),
            **(client or {}),
        )
    except (KafkaError, OSError):
        return False
    try:
        admin.describe_cluster()
    except (KafkaError, OSError):
        return False
    finally:
        admin.close()
    return True
