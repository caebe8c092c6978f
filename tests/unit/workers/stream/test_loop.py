"""The loop from poll to commit when things go wrong, on fakes."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.wire.dead_letter import TRUNCATED, read_dead_letter
from schemas.wire.sensor_state import encode_sensor_state
from tests.support.fakes import NO_TIME, FakeStream, HeldScoring, make_stream, places
from tests.support.models import encoded, reading_records, small_detector
from workers.errors import TransactionAbortedError
from workers.kafka.client import CommittedOffset
from workers.kafka.deadline import Deadline
from workers.stream.health import Phase
from workers.stream.loop import MAX_REWINDS
from workers.stream.state.restore import ModelVersion, decode_metadata

VALUES = [record["value"] for record in encoded(reading_records(["a", "b"], 30, spike_at=20))]
WARM_UP = 7
SMALL = {"max_poll_records": 10}
PRESENT = ModelVersion(small_detector().name, small_detector().version)
ALL = set(range(2 * WARM_UP, len(VALUES)))


def scored(stream: FakeStream) -> set[int]:
    return set(places(stream.sink, "vigie.denoised"))


def test_everything_is_scored_and_committed() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.run_to_the_end()
    assert scored(stream) == ALL
    assert stream.loop.health.rewinds == 0


@pytest.mark.parametrize("refusals", [{1}, {2, 3, 5}])
def test_a_refused_commit_is_done_again(refusals: set[int]) -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.sink.refusals = refusals
    stream.run_to_the_end()
    assert scored(stream) == ALL
    assert stream.sink.recorded == recorded_undisturbed()
    assert stream.loop.health.rewinds == len(refusals) == stream.sink.aborts


def recorded_undisturbed() -> dict[bytes, bytes]:
    stream = make_stream(VALUES, stream=SMALL)
    stream.run_to_the_end()
    assert stream.loop.health.recorded_cold_starts == 0
    return stream.sink.recorded


FOREIGN = {b"of another past": encode_sensor_state(3, 0, 3, 0, 0)}


def test_what_was_recorded_and_never_committed_is_removed_before_anything_is_read() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.sink.recorded = dict(FOREIGN)
    stream.turn()
    assert stream.sink.recorded == {}
    assert stream.loop.health.recorded_cold_starts == 1
    stream.run_to_the_end()
    assert stream.sink.recorded == recorded_undisturbed()


def test_recorded_state_begins_anew_where_the_windows_do() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.sink.recorded = dict(FOREIGN)
    stream.source.committed_position = CommittedOffset(next_offset=40, metadata="not ours")
    stream.run_to_the_end()
    assert stream.loop.health.recorded_cold_starts == 1
    assert stream.sink.recorded.keys() == {b"a", b"b"}


def awaiting_generation(*, commit: int, **wanted: Any) -> FakeStream:
    """A stream whose group has moved on at a commit, counted from 1."""
    stream = make_stream(VALUES, stream={**SMALL, **wanted})
    stream.sink.stale = {commit}
    while not stream.sink.aborts:
        stream.turn()
    return stream


@pytest.mark.parametrize("commit", [1, 2, 4, 5])  # the last has nothing behind it
def test_what_the_group_refused_is_sent_again_under_the_next_generation(commit: int) -> None:
    stream = awaiting_generation(commit=commit)
    position, sent = stream.source.committed_position, list(stream.sink.sent)
    for _ in range(10):
        stream.turn()
    assert (stream.source.committed_position, stream.sink.sent) == (position, sent)
    assert stream.loop.has_work  # so that a generation that never comes is a standstill
    stream.source.round += 1
    stream.run_to_the_end()
    assert scored(stream) == ALL
    assert stream.sink.recorded == recorded_undisturbed()
    assert stream.loop.health.rewinds == 0
    assert not any(owned.is_in_doubt for owned in stream.loop._partitions.values())
    assert stream.loop._counts[0].records == len(VALUES)


def test_what_awaited_a_generation_and_was_then_taken_away_is_not_sent() -> None:
    stream = awaiting_generation(commit=3)
    sent = len(stream.sink.sent)
    stream.source.take_away()
    stream.source.round += 1
    stream.sink.away = True  # fails whoever sends
    stream.turn()
    assert len(stream.sink.sent) == sent
    assert stream.loop.health.rewinds == 0
    stream.sink.away = False
    stream.run_to_the_end()
    assert scored(stream) == ALL


def test_nothing_is_read_before_the_group_takes_the_beginning() -> None:
    stream = awaiting_generation(commit=1, start="latest")
    stream.source.values = [*VALUES, *VALUES]
    for _ in range(3):
        stream.turn()
    assert stream.source.position is None
    stream.source.round += 1
    stream.turn()
    assert stream.source.committed_position is not None
    assert stream.source.committed_position.next_offset == len(VALUES)
    stream.run_to_the_end()
    assert stream.loop._counts[0].records == len(VALUES)


def test_a_drain_does_not_wait_for_a_generation() -> None:
    stream = awaiting_generation(commit=3)
    stream.loop.drain(Deadline.after(5.0))
    assert stream.loop.health.phase is Phase.INCOMPLETE


def test_commits_that_always_fail_end_the_loop() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.sink.refusals = set(range(1000))
    with pytest.raises(TransactionAbortedError, match="refused"):
        stream.run_to_the_end()
    assert stream.loop.health.rewinds == MAX_REWINDS


def test_a_rewind_cancels_the_calls_under_way() -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream=SMALL, scoring=scoring, processing={"max_in_flight": 3})
    for _ in range(5):
        stream.turn()
    assert len(scoring.open) == 3
    scoring.release(1)
    stream.sink.refusals = {2}  # the first says where the partition begins
    stream.turn()  # publishes, and asks for more
    stream.turn()  # is refused
    assert (len(scoring.open), scoring.cancelled) == (0, 3)


def test_full_means_paused_and_an_answer_means_resumed() -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream=SMALL, scoring=scoring, processing={"max_in_flight": 2})
    for _ in range(6):
        stream.turn()
    assert len(scoring.open) == 2
    assert stream.source.paused
    scoring.release(1)
    stream.turn()
    assert not stream.source.paused or len(scoring.open) == 2
    position = stream.source.position
    assert position is not None
    assert position <= 30


def test_waiting_for_scorers_is_not_being_busy() -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream=SMALL, scoring=scoring, processing={"max_in_flight": 2})
    scoring.clock = stream.clock
    waited_from_s = stream.clock()
    for _ in range(50):
        stream.loop.step()
    assert stream.clock() - waited_from_s > 1.0
    stream.turn()
    assert stream.loop.health.busy_s == pytest.approx(0.0, abs=0.1)


def test_a_partition_taken_and_given_back_forgets_its_calls() -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream=SMALL, scoring=scoring)
    for _ in range(6):
        stream.turn()
    stream.source.take_away()
    stream.turn()
    before = len(scoring.open)
    scoring.release(before)
    stream.turn()
    assert stream.sink.sent == []
    for _ in range(60):
        scoring.release(10)
        stream.turn()
    assert scored(stream) == ALL


def test_a_sink_that_cannot_begin_waits_for_the_broker() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    while stream.source.position is None:
        stream.turn()
    stream.sink.away = stream.source.unavailable = True
    for _ in range(5):
        stream.turn()
    assert stream.loop.health.rewinds == 1
    assert not stream.loop.has_work
    stream.sink.away = stream.source.unavailable = False
    stream.run_to_the_end()
    assert scored(stream) == ALL


def test_a_drain_finishes_what_is_in_flight() -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream=SMALL, scoring=scoring)
    for _ in range(3):
        stream.turn()
    scoring.release(10)
    stream.loop.drain(Deadline.after(5.0))
    assert stream.loop.health.phase is Phase.STOPPED
    assert stream.source.committed_position is not None
    assert stream.source.committed_position.next_offset == stream.source.position


def test_a_drain_out_of_time_says_so() -> None:
    stream = make_stream(VALUES, stream=SMALL, scoring=HeldScoring())
    for _ in range(3):
        stream.turn()
    stream.loop.drain(NO_TIME)
    assert stream.loop.health.phase is Phase.INCOMPLETE


def test_a_start_at_the_latest_offset_is_kept_before_anything_is_read() -> None:
    """A crash before the first commit must not move the start past what came meanwhile."""
    stream = make_stream(VALUES[:40], stream={"start": "latest"})
    stream.turn()
    stream.turn()
    assert stream.source.committed_position is not None
    assert stream.source.committed_position.next_offset == 40
    again = make_stream(VALUES, stream={"start": "latest"})
    again.source.committed_position = stream.source.committed_position
    again.run_to_the_end()
    assert again.loop._counts[0].records == len(VALUES) - 40


def test_a_large_dead_letter_is_cut_and_says_so() -> None:
    stream = make_stream([b"x" * 5000, *VALUES])
    stream.sink.largest = 3000
    stream.run_to_the_end()
    ((value, headers),) = [
        (value, headers) for topic, value, headers in stream.sink.sent if "dead" in topic
    ]
    assert value == b"x" * 3000
    assert dict(headers)[TRUNCATED] == b"5000"
    assert read_dead_letter(headers).offset == 0


def test_a_long_run_of_one_sensor_is_published_in_frames_of_bounded_size() -> None:
    values = [r["value"] for r in encoded(reading_records(["a"], 6000))]
    stream = make_stream(values)
    stream.run_to_the_end()
    assert max(len(value) for _, value, _ in stream.sink.sent) < 256 * 1024
    assert scored(stream) == set(range(WARM_UP, 6000))


def test_records_ahead_of_the_log_are_dead_letters() -> None:
    stream = make_stream(VALUES, stream={"max_ahead_s": 1.0})
    assert stream.source.values is VALUES
    source_poll = stream.source.poll

    def stamped(*, timeout_s: float, max_records: int) -> Any:
        polled = source_poll(timeout_s=timeout_s, max_records=max_records)
        records = {p: [r._replace(timestamp=0) for r in rs] for p, rs in polled.records.items()}
        return type(polled)(
            records=records,
            generation=polled.generation,
            assigned=polled.assigned,
            revoked=polled.revoked,
        )

    stream.source.poll = stamped  # type: ignore[method-assign]
    stream.run_to_the_end()
    assert stream.loop._counts[0].dead_lettered == len(VALUES)


def committed_by(model: ModelVersion | None) -> CommittedOffset:
    """A commit behind the first 40 records."""
    stream = make_stream(VALUES[:40])
    stream.run_to_the_end()
    assert stream.source.committed_position is not None
    point = decode_metadata(stream.source.committed_position.metadata)
    assert point is not None
    assert point.model == PRESENT
    return CommittedOffset(next_offset=40, metadata=replace(point, model=model).encode())


def test_another_model_than_the_commits_is_reported_once() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.source.committed_position = committed_by(ModelVersion("old", "7"))
    stream.sink.refusals = {1}  # it is opened again, with the same commit
    with capture_logs() as logs:
        stream.run_to_the_end()
    (line,) = [entry for entry in logs if entry["event"] == "model_changed"]
    assert (line["from"], line["to"], line["partition"]) == ("old@7", str(PRESENT), 0)
    assert line["next_offset"] == 40
    stream.loop._note_health(Phase.RUNNING, at_once=True)
    assert stream.loop.health.model_changes == 1
    assert scored(stream) == set(range(40, len(VALUES)))


@pytest.mark.parametrize("model", [None, PRESENT])
def test_the_same_model_and_an_unknown_one_are_no_change(model: ModelVersion | None) -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.source.committed_position = committed_by(model)
    stream.run_to_the_end()
    assert stream.loop.health.model_changes == 0


def test_a_foreign_commit_starts_cold_but_goes_on() -> None:
    stream = make_stream(VALUES, stream=SMALL)
    stream.source.committed_position = CommittedOffset(next_offset=20, metadata="theirs")
    stream.run_to_the_end()
    assert scored(stream) == set(range(20 + 2 * WARM_UP, len(VALUES)))


def test_taking_up_a_partition_is_progress_although_nothing_is_committed() -> None:
    """A worker that takes up many, with much recorded, must not look as if it stood still."""
    stream = make_stream(VALUES[:40])
    stream.source.committed_position = committed_by(PRESENT)
    stream.loop.step()  # the partition is assigned and opened; no record has come yet
    assert stream.loop.progress.count == 1


def test_partitions_wait_for_the_next_turn_when_a_commit_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = make_stream(VALUES[:40])
    stream.source.committed_position = committed_by(PRESENT)
    opened = []
    monkeypatch.setattr(stream.loop, "_open_partition", lambda owned: opened.append(owned.number))
    monkeypatch.setattr(type(stream.loop._checkpoint), "is_due", True)
    stream.loop._partitions = {number: stream.loop._own(number) for number in (0, 1)}
    stream.loop._open_partitions()
    assert opened == []


def test_the_watchdog_may_ask_while_partitions_come_and_go() -> None:
    """It asks from its own thread, and has no other one to replace it."""
    loop = make_stream(VALUES).loop
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for number in range(50):
                loop._partitions[number] = loop._own(number)
            loop._partitions.clear()

    others = threading.Thread(target=come_and_go)
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    others.start()
    try:
        for _ in range(2_000):
            loop.has_work  # noqa: B018 - it must not raise
    finally:
        over.set()
        others.join()
        sys.setswitchinterval(before_s)
