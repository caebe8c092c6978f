"""What goes wrong in the stream, on a real broker: nothing is lost, and it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil
import pytest

from schemas.wire.dead_letter import read_dead_letter
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.models import encoded, reading_records, small_detector
from tests.support.scoring import SlowScoring
from tests.support.streams import (
    drained,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from workers.errors import OutputsLostError
from workers.kafka.client import Connection
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import LocalScoring
from workers.stream.state.partition import PartitionState

pytestmark = pytest.mark.kafka

SENSORS = ["pump-1", "pump-2", "pump-3"]
WARM_UP = 7


def test_bad_records_become_dead_letters_and_the_stream_goes_on(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = make_settings(
        connection, make_topic, group, partitions=1, stream={"max_record_bytes": 2000}
    )
    good = encoded(reading_records(["pump-1"], 20))
    bad: list[dict[str, Any]] = [
        {"key": b"k", "value": b"not json"},
        {"key": b"k", "value": b'{"sensor_id":"pump-1","ts":1,"values":{"flow":"1.5"}}'},
        {"key": b"k", "value": b'{"sensor_id":"pump-1","ts":1,"values":{"flow":1}}'},
        {"key": b"k", "value": good[0]["value"].replace(b'{"flow":', b'{"flow":NaN,"x":')},
        {"key": b"k", "value": b" " * 3000},
        {"key": b"k", "value": b"x", "headers": [("content-type", b"text/plain"), ("trace", b"7")]},
        {"key": b"k", "value": None},
    ]  # fmt: skip
    records = good[:10] + bad + good[10:]
    produce(connection, settings.topics.readings, records)
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(records))
        total = loop._counts[0]
    letters = read_all(connection, settings.topics.dead_letters)
    assert [letter.value or None for letter in letters] == [record["value"] for record in bad]
    assert [letter.key for letter in letters] == [record["key"] for record in bad]
    reasons = [read_dead_letter(letter.headers) for letter in letters]
    assert [reason.offset for reason in reasons] == list(range(10, 10 + len(bad)))
    assert {reason.topic for reason in reasons} == {settings.topics.readings}
    assert [reason.stage for reason in reasons][4:6] == ["size", "content-type"]
    assert ("trace", b"7") in letters[5].headers
    assert (total.dead_lettered, total.scored, total.warming_up) == (len(bad), 13, WARM_UP)
    assert total.reconciled
    assert len(scored_readings(connection, settings)) == total.scored


def test_outputs_that_are_lost_are_made_again(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sink loses its outputs twice: the loop rewinds, replays, and every score comes out."""
    settings = make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 10},
        processing={"commit_interval_s": 0.0001},  # a commit each turn
    )
    records = reading_records(SENSORS, 40)
    produce(connection, settings.topics.readings, encoded(records))
    with open_loop(settings, small_detector()) as loop:
        commit, failures = loop._checkpoint._sink.commit, [2, 4]

        def losing(*arguments: Any, **named: Any) -> None:
            calls[0] += 1
            if calls[0] in failures:
                raise OutputsLostError("the broker did not take one output")
            commit(*arguments, **named)

        calls = [0]
        monkeypatch.setattr(loop._checkpoint._sink, "commit", losing, raising=False)
        step_until(loop, lambda: records_done(loop) == len(records))
        assert loop.health.rewinds == len(failures)
    assert len(scored_readings(connection, settings)) == len(SENSORS) * (40 - WARM_UP)


def test_draining_commits_all_that_was_taken(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    settings = make_settings(connection, make_topic, group)
    records = reading_records(SENSORS, 30)
    produce(connection, settings.topics.readings, encoded(records))
    slow = SlowScoring(LocalScoring(small_detector()), delay_s=1.0)
    with open_loop(settings, small_detector(), scoring=slow) as loop:
        step_until(
            loop, lambda: sum(p.state.next_offset for p in loop._open.values()) == len(records)
        )
        assert records_done(loop) == 0
        drained(loop)
        assert records_done(loop) == len(records)


def test_a_slow_scorer_pauses_the_partitions_and_memory_stays_bounded(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    """While calls are held back, nothing more is read than what may be in flight."""
    settings = make_settings(
        connection,
        make_topic,
        group,
        stream={"max_poll_records": 100},
        processing={"max_in_flight": 2},
    )
    rows = 20_000 // len(SENSORS)
    produce(connection, settings.topics.readings, encoded(reading_records(SENSORS, rows)))
    detector = small_detector()
    slow = SlowScoring(LocalScoring(detector), delay_s=0.3)
    with open_loop(settings, detector, scoring=slow) as loop:
        step_until(loop, lambda: len(loop._calls) == 2)
        before = psutil.Process().memory_info().rss
        seen: list[tuple[int, int]] = []

        def watched() -> bool:
            states = [p.state for p in loop._open.values()]
            waiting = sum(s.open_requests for s in states if isinstance(s, PartitionState))
            seen.append((len(loop._calls), waiting))
            return records_done(loop) >= 1500

        step_until(loop, watched, within=60)
        grown = psutil.Process().memory_info().rss - before
    assert max(flights for flights, _ in seen) == 2
    assert max(requests for _, requests in seen) <= 2 * settings.topics.partitions
    assert grown < 100 * 2**20


def test_two_members_share_the_partitions_and_no_score_changes(
    connection: Connection, make_topic: MakeTopic, group: str
) -> None:
    """A second member comes while the first works: both rebuild what they get, all is scored."""
    settings = make_settings(
        connection,
        make_topic,
        group,
        partitions=4,
        stream={"max_poll_records": 20},
        processing={"commit_interval_s": 0.01},
    )
    sensors = [f"pump-{i}" for i in range(12)]
    records = reading_records(sensors, 40)
    produce(connection, settings.topics.readings, encoded(records))
    detector = small_detector()
    with open_loop(settings, detector) as first:
        step_until(first, lambda: records_done(first) >= 60)
        with open_loop(settings, detector, slot=1) as second:
            step_together([first, second], lambda: bool(second._open and first._open))
            step_together(
                [first, second],
                # Repeats are dropped by their place, and must be equal.
                lambda: len(scored_readings(connection, settings)) == len(sensors) * (40 - WARM_UP),
            )


def step_together(loops: Sequence[IngestLoop], condition: Any) -> None:
    def turn() -> bool:
        for loop in loops[1:]:
            loop.step()
        return bool(condition())

    step_until(loops[0], turn, within=60)
