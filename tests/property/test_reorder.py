"""The order of `vigie repartition` is a function of the log; within the bound, of the source alone.

Held records are restored by reading again, so a kill after any commit changes nothing; and as long
as no source holds a reading back longer than the bound, neither does who read what when.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import close
from tests.support.repartition import (
    BYTES_A_RECORD,
    SOURCES,
    Sent,
    reorder_state,
    shuffled_batch,
    shuffled_log,
)
from workers.stream.state import reorder
from workers.stream.state.counts import Counts
from workers.stream.state.reorder import Bound, ReorderState
from workers.stream.state.shuffled import Arrival, ClockMark

BOUNDS = st.builds(Bound, max_disorder_ms=st.integers(1, 20), max_held=st.integers(1, 60))


@dataclass
class Fed:
    """What came out, in order; and what was committed last."""

    released: list[Sent] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    committed: tuple[int, str] | None = None


def feed(state: ReorderState, log: Sequence[Sent], cuts: Sequence[int], into: Fed) -> Fed:
    edges = sorted({0, len(log), *(cut for cut in cuts if 0 < cut < len(log))})
    by_offset = {sent.offset: sent for sent in log}
    for low, high in pairwise(edges):
        request = state.polled(shuffled_batch(log[low:high]))
        if request is None:
            continue
        close(state, request.number)
        into.released += [by_offset[record.offset] for record in request.released]
        into.counts += request.counts
        into.committed = (request.next_offset, request.restore_point.encode())
    return into


def undisturbed(log: Sequence[Sent], bound: Bound) -> Fed:
    return feed(reorder_state(bound=bound)[0], log, (), Fed())


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short log meets many."""
    monkeypatch.setattr(reorder, "WINDOW", 3)


NOISE = st.integers(0, 150).flatmap(
    lambda records: st.binary(min_size=records * BYTES_A_RECORD, max_size=records * BYTES_A_RECORD)
)
CUTS = st.lists(st.integers(1, 150), max_size=8)


@given(noise=NOISE, cuts=CUTS, bound=BOUNDS)
def test_the_batches_do_not_matter(noise: bytes, cuts: list[int], bound: Bound) -> None:
    log = shuffled_log(noise)

    fed = feed(reorder_state(bound=bound)[0], log, cuts, Fed())

    assert fed == undisturbed(log, bound)


@given(noise=NOISE, kills=st.lists(st.integers(1, 150), max_size=5), cuts=CUTS, bound=BOUNDS)
def test_a_kill_after_any_record_changes_no_output(
    noise: bytes, kills: list[int], cuts: list[int], bound: Bound
) -> None:
    """Each time everything is forgotten but what the commit says, and the log."""
    log, fed = shuffled_log(noise), Fed()
    for edge in sorted({*(kill for kill in kills if kill < len(log)), len(log)}):
        state, read_from = reorder_state(bound=bound, committed=fed.committed)
        read = [sent for sent in log[:edge] if sent.offset >= read_from]
        feed(state, read, [cut - len(log) + len(read) for cut in cuts], fed)

    expected = undisturbed(log, bound)
    assert fed.released == expected.released
    assert fed.counts.written == expected.counts.written
    assert fed.counts.late == expected.counts.late
    assert fed.counts.early == expected.counts.early


def arrival_of(sent: Sent) -> Arrival:
    assert isinstance(sent.header, Arrival)
    return sent.header


def in_order(arrival: Arrival) -> tuple[int, int, int]:
    return arrival.ts_ns, arrival.partition, arrival.offset


def by_definition(log: Sequence[Sent], bound: Bound) -> list[Sent]:
    """The rule, record by record, with all that was ever read in mind."""
    clocks, watermark = [reorder.NEVER] * SOURCES, reorder.NEVER
    read: list[tuple[Sent, int]] = []
    held: dict[str, list[Sent]] = defaultdict(list)
    released: list[Sent] = []
    for sent in log:
        if isinstance(sent.header, Arrival):
            clock_ms = max(sent.header.clock_ms, clocks[sent.header.partition])
            read.append((sent, clock_ms))
            held[sent.sensor].append(sent)
        if sent.header is not None:
            at = sent.header.partition
            clocks[at] = max(clocks[at], sent.header.clock_ms)
            watermark = max(watermark, min(clocks))
        newest = {
            sensor: max(
                (
                    arrival_of(one).ts_ns
                    for one, clock_ms in read
                    if one.sensor == sensor
                    and (
                        clock_ms + bound.max_disorder_ms <= watermark
                        or one.offset + bound.max_held <= sent.offset
                    )
                ),
                default=None,
            )
            for sensor in held
        }
        for sensor, last in newest.items():
            if last is not None:
                ready = [one for one in held[sensor] if arrival_of(one).ts_ns <= last]
                held[sensor] = [one for one in held[sensor] if arrival_of(one).ts_ns > last]
                released += sorted(ready, key=lambda one: in_order(arrival_of(one)))
    return released


@given(noise=NOISE, bound=BOUNDS)
def test_what_goes_on_is_what_the_definition_says(noise: bytes, bound: Bound) -> None:
    log = shuffled_log(noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reorder, "WINDOW", 10**9)  # nothing is forgotten
        fed = undisturbed(log, bound)
    assert by_sensor(fed.released) == by_sensor(by_definition(log, bound))


# -- within the bound --------------------------------------------------------------------------

DISORDER_MS = 30


def source_topic(rng: random.Random, readings: int) -> list[list[Arrival]]:
    """Round-robin partitions of a few sensors' readings, none more than `DISORDER_MS` behind."""
    topic: list[list[Arrival]] = [[] for _ in range(SOURCES)]
    clocks = [0] * SOURCES
    for number in range(readings):
        partition = rng.randrange(SOURCES)
        now_ms = number // 2
        clocks[partition] = max(clocks[partition], now_ms)
        ts_ns = now_ms - rng.choice((0, 0, 1, 7, DISORDER_MS))
        arrival = Arrival(partition, len(topic[partition]), clocks[partition], ts_ns, now_ms)
        topic[partition].append(arrival)
    return topic


def interleaved(rng: random.Random, topic: Sequence[Sequence[Arrival]]) -> list[Sent]:
    """As workers at different speeds commit it, with marks, and the time after the end."""
    left = [list(partition) for partition in topic]
    log: list[Sent] = []

    def send(header: Arrival | ClockMark, sensor: str = "") -> None:
        log.append(Sent(len(log), header, sensor))

    while any(left):
        partition = rng.choice([p for p, rest in enumerate(left) if rest])
        done = left[partition][: rng.randint(1, 40)]
        del left[partition][: len(done)]
        for arrival in done:
            send(arrival, f"s{(arrival.partition + arrival.offset) % 3}")
        if rng.random() < 0.5:
            send(ClockMark(partition, done[-1].clock_ms))
    for partition in range(SOURCES):
        send(ClockMark(partition, 10**6))
    return log


def by_sensor(released: Sequence[Sent]) -> dict[str, list[Arrival]]:
    found: dict[str, list[Arrival]] = defaultdict(list)
    for sent in released:
        found[sent.sensor].append(arrival_of(sent))
    return found


@given(seed=st.integers(0, 2**32), readings=st.integers(0, 300))
def test_within_the_bound_the_order_is_the_source_s_whoever_reads_it_when(
    seed: int, readings: int
) -> None:
    rng = random.Random(seed)
    topic = source_topic(rng, readings)
    bound = Bound(max_disorder_ms=DISORDER_MS + 1, max_held=10**6)

    fed = undisturbed(interleaved(rng, topic), bound)

    arrivals = [arrival for partition in topic for arrival in partition]
    expected = by_sensor(
        [
            Sent(0, arrival, f"s{(arrival.partition + arrival.offset) % 3}")
            for arrival in sorted(arrivals, key=in_order)
        ]
    )
    assert by_sensor(fed.released) == expected
    assert (fed.counts.late, fed.counts.early) == (0, 0)
    assert fed.counts.records == fed.counts.written == readings


@given(noise=NOISE, bound=BOUNDS)
def test_every_record_is_written_held_or_a_dead_letter(noise: bytes, bound: Bound) -> None:
    state, _ = reorder_state(bound=bound)
    fed = feed(state, shuffled_log(noise), (), Fed())

    counts = fed.counts
    assert counts.records == counts.written + state.held + counts.dead_lettered
    assert counts.written == len(fed.released) == len({sent.offset for sent in fed.released})


@given(noise=NOISE, bound=BOUNDS)
def test_nothing_is_held_longer_than_the_limit(noise: bytes, bound: Bound) -> None:
    state, _ = reorder_state(bound=bound)
    log = shuffled_log(noise)
    fed = feed(state, log, range(150), Fed())
    gone = {sent.offset for sent in fed.released}
    assert all(
        sent.offset in gone
        for sent in log
        if isinstance(sent.header, Arrival) and sent.offset <= log[-1].offset - bound.max_held
    )
