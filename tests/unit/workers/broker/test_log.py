"""From the broker's log to advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.broker.log import explain


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("java.io.IOException: No space left on device", "The disk of /data is full"),
        ("KafkaException: Failed to acquire lock on file .lock in /data", "Another broker uses"),
        ("Error: Could not reserve enough space for object heap", "smaller --heap"),
        ("java.nio.file.AccessDeniedException: /data/log", "may not write to /data"),
        ("java.lang.UnsupportedClassVersionError: kafka/Kafka", "17 or newer"),
        ("java.lang.NoClassDefFoundError: org/apache/kafka/X", "remove the cache folder"),
    ],
)
def test_a_known_cause_becomes_advice_and_the_log_is_quoted(line, advice):
    said = explain(f"before\n{line}\nafter", data=Path("/data"))

    assert advice in said
    assert line in said


def test_an_unknown_cause_quotes_the_end_of_the_log():
    said = explain("\n".join(f"line {n}" for n in range(100)), data=Path("/data"))

    assert "line 99" in said
    assert "line 50" not in said
