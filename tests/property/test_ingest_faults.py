"""Whatever order of answers, refusals, rebalances and crashes: every score comes out, the same."""

from __future__ import annotations

from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeSink, FakeStream, HeldScoring, make_stream, places
from tests.support.models import encoded, reading_records

VALUES = [record["value"] for record in encoded(reading_records(["a", "b", "c"], 25, spike_at=15))]
VALUES[11:11] = [b"not a reading"]

EVENTS = st.lists(
    st.sampled_from(["turn", "turn", "turn", "answer", "refuse", "take away", "crash"]),
    max_size=60,
)


@cache
def undisturbed() -> dict[int, tuple[float | None, ...]]:
    stream = make_stream(VALUES)
    stream.run_to_the_end()
    return places(stream.sink, "vigie.denoised")


def crashed(old: FakeStream, scoring: HeldScoring, poll: int) -> FakeStream:
    """A new process on the same log and commits; what was sent stays sent."""
    new = make_stream(VALUES, stream={"max_poll_records": poll}, scoring=scoring)
    new.source.committed_position = old.source.committed_position
    new.sink.sent, new.sink.recorded = old.sink.sent, old.sink.recorded
    return new


@given(events=EVENTS, poll=st.integers(1, 30))
# What is recorded has to be there after the crash: without it the thresholds begin anew.
@example(events=[*["turn"] * 4, "answer", "turn", "answer", "answer", "turn", "crash"], poll=11)
@settings(deadline=None, max_examples=60)
def test_faults_change_no_score(events: list[str], poll: int) -> None:
    scoring = HeldScoring()
    stream = make_stream(VALUES, stream={"max_poll_records": poll}, scoring=scoring)
    for event in events:
        if event == "answer":
            scoring.release(1)
        elif event == "refuse":
            stream.sink.refusals = {stream.sink.commits + 1}
        elif event == "take away":
            stream.source.take_away()
        elif event == "crash":
            scoring = HeldScoring()
            stream = crashed(stream, scoring, poll)
        else:
            stream.turn()
    stream.sink.refusals = set()
    for _ in range(200):
        scoring.release(1000)
        stream.turn()
    position = stream.source.committed_position
    assert position is not None
    assert position.next_offset == len(VALUES)
    assert places(stream.sink, "vigie.denoised") == undisturbed()
    assert len(dead_letters(stream.sink)) == 1


def dead_letters(sink: FakeSink) -> set[bytes]:
    return {value for topic, value, _ in sink.sent if topic == "vigie.dead-letters"}
