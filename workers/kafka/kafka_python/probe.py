"""Does a broker answer? One admin call, bounded in time."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from workers.kafka.kafka_python.border import refusal
from workers.kafka.kafka_python.options import Connection

__all__ = ["broker_answers"]


def broker_answers(connection: Connection, *, timeout_s: float) -> bool:
    """True if a broker answers a metadata request within about ``timeout_s``.

    Raises:
        SettingsError: one answers, and refuses us (authentication).
    """
    try:
        admin = KafkaAdminClient(**connection.admin_options(timeout_s=timeout_s))
        try:
            admin.describe_cluster()
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        if (refused := refusal(error)) is not None:
            raise refused from error
        return False
    return True
