"""The documents of a partition depend on the log alone: not on polls, not on crashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.settings import Guarantee
from schemas.wire.sensor_state import SensorState
from tests.support.partitions import flags
from tests.support.recorded import Fated, recorded_by_definition
from workers.stream.state.recorded import Met, RecordedState

CUTS = st.sets(st.integers(1, 80), max_size=10)
POLLS = st.lists(st.integers(0, 40), max_size=10)


@st.composite
def logs(draw: st.DrawFn) -> list[Fated]:
    noise = draw(st.binary(max_size=80))
    log, offset = [], 0
    for who, what in zip(noise[::2], noise[1::2], strict=False):
        fates = "".join("ssfdw"[what // 5**i % 5] for i in range(1 + what % 3))
        log.append(Fated(offset, "aaabbcdé"[who % 8], fates))
        offset += (1, 1, 1, 3)[who // 8 % 4]
    return log


def met(records: Sequence[Fated], kept_from: int) -> tuple[Met, np.ndarray]:
    """What a partition makes of the records of one window, and the flags of the scored ones."""
    sensors = sorted({record.sensor for record in records})
    own = [[r for r in records if r.sensor == sensor] for sensor in sensors]
    fates = "".join(record.fates for group in own for record in group)
    offsets = [record.offset for group in own for record in group for _ in record.fates]
    letters = np.array(list(fates), "U1")
    scored = np.isin(letters, ["s", "f"])
    piece = Met(
        kept_from=kept_from,
        sensors=sensors,
        sizes=np.array([sum(len(r.fates) for r in group) for group in own], np.int64),
        offsets=np.array(offsets, np.int64),
        scored=scored,
        dropped=letters == "d",
    )
    return piece, letters[scored] == "f"


def feed(state: RecordedState, records: Sequence[Fated], cuts: set[int]) -> None:
    """One poll, window by window."""
    edges = sorted({0, 10**9} | cuts)
    for at, (low, high) in enumerate(pairwise(edges)):
        piece = [record for record in records if low <= record.offset < high]
        if piece:
            pieces, flagged = met(piece, edges[max(at - 1, 0)])
            state.judge([pieces], flags(len(flagged), np.flatnonzero(flagged)), clock_ms=-1)


@dataclass
class Topic:
    """A compacted partition, and the offset committed."""

    documents: dict[bytes, bytes] = field(default_factory=dict)
    next_offset: int = 0
    recorded: int = 0

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in changes:
            if value is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = value

    def commit(self, state: RecordedState, next_offset: int) -> None:
        self.write(list(state.changes()))
        state.committed()
        self.next_offset, self.recorded = next_offset, state.sensors

    def restored(self, guarantee: Guarantee) -> RecordedState:
        return RecordedState.restored(
            self.documents,
            next_offset=self.next_offset,
            recorded=self.recorded,
            cold="",
            guarantee=guarantee,
        )

    def read(self) -> dict[str, SensorState]:
        return {
            key.decode(): SensorState.model_validate_json(value)
            for key, value in self.documents.items()
        }


def live(
    topic: Topic, log: Sequence[Fated], cuts: set[int], polls: Sequence[int], guarantee: Guarantee
) -> RecordedState:
    """One process: takes the partition up, polls, commits after every second poll."""
    state = topic.restored(guarantee)
    left = [record for record in log if record.offset >= topic.next_offset]
    for nth, size in enumerate([*polls, len(log)]):
        polled, left = left[:size], left[size:]
        if not polled:
            continue
        feed(state, polled, cuts)
        if nth % 2 or not left:
            topic.commit(state, polled[-1].offset + 1)
    return state


@given(log=logs(), cuts=CUTS, polls=POLLS)
@settings(deadline=None)
def test_polls_do_not_matter(log: list[Fated], cuts: set[int], polls: list[int]) -> None:
    topic = Topic()
    state = live(topic, log, cuts, polls, Guarantee.EXACTLY_ONCE)
    due = {cut for cut in cuts if log and cut <= log[-1].offset}
    assert topic.read() == recorded_by_definition(log, due)
    assert state.sensors == len(topic.documents) == topic.recorded


LIVES = st.lists(st.tuples(POLLS, st.integers(0, 40), st.integers(0, 8)), max_size=4)


@given(log=logs(), cuts=CUTS, lives=LIVES, guarantee=st.sampled_from(Guarantee))
@example(
    log=[Fated(0, "b", "s"), Fated(3, "a", "s")],
    cuts={1, 2},
    lives=[([], 2, 0)],
    guarantee=Guarantee.AT_LEAST_ONCE,
)
@settings(deadline=None, max_examples=300)
def test_crashes_do_not_matter(
    log: list[Fated],
    cuts: set[int],
    lives: list[tuple[list[int], int, int]],
    guarantee: Guarantee,
) -> None:
    """Each life reads on and is killed in its last commit; the last one reads to the end.

    It finds one more record there: at least once, what was forgotten in the commit before a kill
    lies in the topic until somebody reads on.
    """
    topic = Topic()
    for polls, reach, written in lives:
        live(topic, log[:reach], cuts, polls, guarantee)
        doomed = topic.restored(guarantee)
        feed(doomed, [r for r in log if r.offset >= topic.next_offset][:6], cuts)
        if guarantee is Guarantee.AT_LEAST_ONCE:  # some of its documents are there
            topic.write(list(doomed.changes())[:written])
    log = [*log, Fated(log[-1].offset + 1 if log else 0, "z", "w")]
    last = live(topic, log, cuts, [], guarantee)
    assert not last.cold or guarantee is Guarantee.AT_LEAST_ONCE
    due = {cut for cut in cuts if cut <= log[-1].offset}
    topic.write(list(last.changes()))  # at least once, what is forgotten goes one commit later
    assert topic.read() == recorded_by_definition(log, due)
