"""The options of kafka-python's clients: ours, the user's, and the ones that stay as they are."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from workers.errors import SettingsError
from workers.kafka.client import LARGEST_OUTPUT_BYTES, Connection
from workers.kafka.kafka_python.oauth import OAUTH_OPTIONS, TokenProvider
from workers.kafka.kafka_python.option_checks import check_files, check_values
from workers.kafka.kafka_python.workarounds import hear_last_words

_OWNED: Final = {
    "bootstrap_servers": "kafka.bootstrap says it",
    "group_id": "kafka.group says it",
    "enable_auto_commit": "Vigie commits after the outputs only",
    "isolation_level": "aborted records must stay unseen",
    "auto_offset_reset": "stream.start says it",
    "acks": "an output must be with all replicas",
    "enable_idempotence": "outputs must keep their order",
    "transactional_id": "Vigie names its transactions",
    "transaction_timeout_ms": "processing.transaction_timeout_s says it",
    "group_instance_id": "Vigie names its workers (kafka.instance)",
    "partitioner": "the outputs of a sensor must keep their partition",
    "key_deserializer": "Vigie decodes",
    "value_deserializer": "Vigie decodes",
    "key_serializer": "Vigie encodes",
    "value_serializer": "Vigie encodes",
    "max_poll_records": "stream.max_poll_records says it",
    "partition_assignment_strategy": "Vigie shares out the partitions",
    "default_offset_commit_callback": "Vigie commits by itself",
    "consumer_timeout_ms": "Vigie polls",
    "metric_group_prefix": "it is not a setting",
    "kafka_client": "it is not a setting",
    "selector": "it is not a setting",
    "metric_reporters": "it is not a setting",
}
_SHARED: Final[dict[str, Any]] = {
    "bootstrap_timeout_ms": 10_000,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 60_000,
}
_CONSUMER: Final[dict[str, Any]] = {
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    # Out of range only: the caller always names the offset to start at.
    "auto_offset_reset": "earliest",
    "allow_auto_create_topics": False,
    "metrics_enabled": False,  # 23 % of a poll
    "max_partition_fetch_bytes": 4 * 2**20,
    # One fetch is in flight per broker, so a resumed partition waits for the previous one.
    "fetch_max_wait_ms": 100,
    "retry_backoff_ms": 20,  # also the nap of a poll whose partitions are all paused
    "request_timeout_ms": 15_000,
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 2_000,
}
_PRODUCER: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
    # Idempotence allows one batch in flight a partition: large ones, or each waits a round trip.
    "batch_size": 256 * 1024,
    "linger_ms": 5,
    "max_request_size": LARGEST_OUTPUT_BYTES,
    "retry_backoff_ms": 20,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "max_block_ms": 10_000,
}


def check_options(options: Mapping[str, Any]) -> None:
    """Reject what no client knows or can use and what is not the user's to choose.

    Raises:
        SettingsError: names the key and what to do; never its value.
    """
    clients = {*KafkaConsumer.DEFAULT_CONFIG, *KafkaProducer.DEFAULT_CONFIG}
    known = {*clients, *OAUTH_OPTIONS} - set(_OWNED)
    for key in options:
        if key in _OWNED:
            raise SettingsError(f"kafka.client.{key} cannot be set: {_OWNED[key]}.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise SettingsError(
                f"kafka.client.{key} is not an option of kafka-python's clients.{hint}"
            )
    check_values(options)


def quiet_client_logs() -> None:
    """Silence kafka-python's loggers in this process, unless their level is set.

    It logs each attempt to reach a broker that is away, at ERROR, several times a second. We say
    once what matters (`admin.probe`, `consumer.outage`).
    """
    logger = logging.getLogger("kafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)


def session_timeout_ms(connection: Connection) -> int:
    """After how long without a sign of life the group gives a member up."""
    return int(connection.options.get("session_timeout_ms", _CONSUMER["session_timeout_ms"]))


def consumer_options(connection: Connection, **more: Any) -> dict[str, Any]:
    """Everything for ``KafkaConsumer``; ``more`` is the caller's, where the user says nothing.

    Raises:
        SettingsError: an option or a file that cannot be used; also from the two below.
    """
    return _merged(connection, KafkaConsumer.DEFAULT_CONFIG, _CONSUMER | more)


def producer_options(connection: Connection, **more: Any) -> dict[str, Any]:
    """Everything for ``KafkaProducer``; ``more`` as above."""
    return _merged(connection, KafkaProducer.DEFAULT_CONFIG, _PRODUCER | more)


def admin_options(connection: Connection, *, timeout_s: float | None = None) -> dict[str, Any]:
    """Everything for ``KafkaAdminClient``, bounded in time."""
    timeout_ms = int((timeout_s or connection.call_timeout_s) * 1000)
    ours = {"bootstrap_timeout_ms": timeout_ms, "request_timeout_ms": timeout_ms}
    return _merged(connection, KafkaAdminClient.DEFAULT_CONFIG, {}) | ours


def _merged(
    connection: Connection, known: Mapping[str, Any], ours: Mapping[str, Any]
) -> dict[str, Any]:
    check_options(connection.options)
    check_files(connection.options)
    quiet_client_logs()
    hear_last_words()
    merged = {
        **_SHARED,
        **ours,
        **connection.options,
        "bootstrap_servers": connection.bootstrap.split(","),
    }
    if "sasl_oauthbearer_client_id" in merged and "sasl_oauth_token_provider" not in merged:
        merged["sasl_oauth_token_provider"] = TokenProvider(merged)
    if isinstance(merged.get("api_version"), list):  # a settings file has no tuples
        merged["api_version"] = tuple(merged["api_version"])
    return {key: value for key, value in merged.items() if key in known}
