"""What is said about outputs that did not reach the broker."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata

from workers.errors import SettingsError
from workers.kafka.kafka_python.producer.base import _reject_too_large

TOO_LARGE = MessageSizeTooLargeError()


def failed(topic: str, value_bytes: int, error: KafkaError = TOO_LARGE) -> FutureRecordMetadata:
    """An output with a key of 10 bytes and no headers (the client says -1)."""
    produced = FutureProduceResult(TopicPartition(topic, 0))
    future = FutureRecordMetadata(produced, 0, None, None, 10, value_bytes, -1)
    produced.success((-1, -1, lambda _: error))
    return future


def test_of_the_outputs_with_the_error_the_largest_is_named():
    """The client gives it to all that it had not sent yet: two bytes were not too large."""
    with pytest.raises(SettingsError) as caught:
        _reject_too_large([failed("a", 2), failed("a", 5000), failed("a", 300)])

    assert str(caught.value).startswith("a rejects an output of 5010 bytes as too large: raise its")
    assert "max.message.bytes" in str(caught.value)
    assert caught.value.__cause__ is TOO_LARGE


def test_each_topic_that_it_can_be_is_named_the_likeliest_first():
    with pytest.raises(SettingsError, match=r"^b rejects .* 5010 bytes, or a rejects .* 12 bytes"):
        _reject_too_large([failed("a", 2), failed("b", 5000), failed("a", 1)])


def test_an_output_lost_for_another_reason_is_not_suspected():
    other = failed("a", 9000, KafkaTimeoutError())
    with pytest.raises(SettingsError, match=r"^b rejects an output of 5010 bytes as"):
        _reject_too_large([other, failed("b", 5000)])

    _reject_too_large([other])  # nothing to refuse
