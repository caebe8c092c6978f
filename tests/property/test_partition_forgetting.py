"""What is forgotten depends on the log alone: not on batches, not on crashes, not on restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import Failure
from schemas.wire.errors import Stage
from tests.support.logs import LOGS, MAX_GAP, RULES, Entry, Rules, Windows, cuts_of, definition
from tests.support.partitions import (
    Sample,
    batch_of,
    close,
    make_partition,
    windows_of,
)
from workers.stream.state.counts import Counts
from workers.stream.state.partition import (
    Batch,
    PartitionState,
    ScoreRequest,
)
from workers.stream.state.restore import RestorePlan, RestorePoint, plan_restore
from workers.stream.state.state_ttl import TtlWindows


@dataclass
class Run:
    """One process: what it gave, and what it had committed when it ended."""

    windows: Windows = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    commits: list[ScoreRequest] = field(default_factory=list)


def make(rules: Rules, start: RestorePlan) -> PartitionState:
    return make_partition(
        receptive_field=rules.receptive_field,
        warm_up=rules.least_readings,
        max_gap_ns=MAX_GAP,
        start=start,
        max_restore_records=rules.max_records,
        max_restore_age_ms=rules.max_age_ms,
    )


def batch(entries: Sequence[Entry], next_offset: int) -> Batch:
    """A poison record is found again by scorers: on a restore, nobody has asked one yet."""
    failed = {
        position: entry
        for position, entry in enumerate(entries)
        if entry.kind == "bad" or (entry.kind == "poison" and entry.offset >= next_offset)
    }
    return batch_of(
        [None if i in failed else list(entry.frame) for i, entry in enumerate(entries)],
        offsets=[entry.offset for entry in entries],
        stamps_ms=[entry.stamp_ms for entry in entries],
        failures=[
            Failure(
                position=position,
                stage=Stage.DECODE if entry.kind == "bad" else Stage.SCORING,
                exception="E",
                message="",
            )
            for position, entry in failed.items()
        ],
    )


def run(log: Sequence[Entry], rules: Rules, cuts: Sequence[int], start: RestorePlan) -> Run:
    """Read the log to its end from a starting point, cut into batches."""
    state, done = make(rules, start), Run()
    log = [entry for entry in log if entry.offset >= start.read_from]
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for low, high in pairwise(edges):
        request = state.polled(batch(log[low:high], start.next_offset))
        if request is None:
            continue
        pending = close(state, request.number)
        done.windows |= windows_of(request.samples)
        done.counts += pending.counts
        done.commits.append(pending)
    return done


def after(pending: ScoreRequest | None, rules: Rules, end: int) -> RestorePlan:
    committed = None
    if pending is not None:
        committed = (pending.next_offset, pending.restore_point.encode())
    return plan_restore(
        committed, beginning=0, end=end, fresh="earliest", receptive_field=rules.receptive_field
    )


CUTS = st.lists(st.integers(1, 60), max_size=12)


@given(log=LOGS, rules=RULES, cuts=CUTS)
@settings(deadline=None)
def test_batches_do_not_matter(log: list[Entry], rules: Rules, cuts: list[int]) -> None:
    done = run(log, rules, cuts, RestorePlan.cold_at(0))
    assert done.windows == definition(log, rules)
    assert done.counts.reconciled
    partial = [w for w in done.windows.values() if len(w) < rules.receptive_field]
    assert done.counts.scored_partially == len(partial)
    assert done.counts.records == len(log)
    whole = run(log, rules, [], RestorePlan.cold_at(0))
    assert done.counts == whole.counts


@given(
    log=LOGS,
    rules=RULES,
    lives=st.lists(st.tuples(CUTS, st.integers(0, 60), st.integers(0, 3)), max_size=4),
    cuts=CUTS,
)
@settings(deadline=None, max_examples=300)
def test_crashes_do_not_matter(
    log: list[Entry],
    rules: Rules,
    lives: list[tuple[list[int], int, int]],
    cuts: list[int],
) -> None:
    """Each life reads on, commits, reads further and is killed; the last one reads to the end."""
    expected = definition(log, rules)
    end = log[-1].offset + 1 if log else 0
    committed: ScoreRequest | None = None
    counted = Counts()
    for batches, reach, uncommitted in lives:
        start = after(committed, rules, end)
        life = run(log[:reach], rules, batches, start)
        assert life.windows.items() <= expected.items()
        lasting = life.commits[: len(life.commits) - uncommitted]
        if lasting:
            committed = lasting[-1]
            counted = sum((pending.counts for pending in lasting), counted)
    start = after(committed, rules, end)
    assert start.next_offset - start.read_from <= replayable(committed)
    last = run(log, rules, cuts, start)
    due = {place: window for place, window in expected.items() if place[0] >= start.next_offset}
    assert last.windows == due
    whole = run(log, rules, [], RestorePlan.cold_at(0))
    assert replace(counted + last.counts, restored=0) == whole.counts


def replayable(committed: ScoreRequest | None) -> int:
    return 0 if committed is None else committed.next_offset - committed.restore_point.ttl.previous


@given(log=LOGS, rules=RULES, cuts=CUTS)
@settings(deadline=None)
def test_never_more_than_the_cap_is_read_again(
    log: list[Entry], rules: Rules, cuts: list[int]
) -> None:
    begins = cuts_of(log, rules)
    for pending in run(log, rules, cuts, RestorePlan.cold_at(0)).commits:
        metadata = pending.restore_point
        again = [e for e in log if metadata.restore_from <= e.offset < pending.next_offset]
        assert len(again) <= rules.max_records
        passed = [cut for cut in begins if cut < pending.next_offset]
        stretches = metadata.ttl
        assert [stretches.previous, stretches.current] == [passed[-2:][0], passed[-1]]
        assert metadata.poison == tuple(
            e.offset
            for e in log
            if e.kind == "poison" and stretches.previous <= e.offset < pending.next_offset
        )


@given(log=LOGS, rules=RULES, cuts=CUTS, size=st.integers(1, 12), at=st.integers(0, 60))
@settings(deadline=None)
def test_a_model_with_other_windows_sees_what_it_would_have_seen(
    log: list[Entry], rules: Rules, cuts: list[int], size: int, at: int
) -> None:
    """After a change of R, as if the new model had read the two stretches all the time."""
    before = run(log[:at], rules, cuts, RestorePlan.cold_at(0))
    if not before.commits:
        return
    now = replace(rules, receptive_field=size)
    end = log[-1].offset + 1
    start = after(before.commits[-1], now, end)
    expected = definition(log, now)
    assert run(log, now, cuts, start).windows == {
        place: window for place, window in expected.items() if place[0] >= start.next_offset
    }


def test_a_shadow_is_needed_only_where_a_stretch_begins_with_late_readings() -> None:
    """Most of the time it costs nothing: nobody differs."""
    state = make(Rules(3, 20, 10**9), RestorePlan.cold_at(0))
    samples = [Sample("ab"[t % 2], t, float(t)) for t in range(100)]
    for low in range(0, 100, 7):
        state.polled(batch_of(samples[low : low + 7], start=low))
        assert state.windows.different == 0


def test_a_sensor_late_where_a_stretch_begins_is_scored_as_if_read_from_there() -> None:
    """Its clock went back: within two stretches it is accepted again."""
    rules = Rules(2, 8, 10**9)
    times = [100, 101, 102, 103, 50, 51, 52, 53, 54, 55, 56, 57]
    log = [Entry(i, -1, "good", (Sample("a", t, float(t)),)) for i, t in enumerate(times)]
    done = run(log, rules, [5], RestorePlan.cold_at(0))
    assert sorted(done.windows) == [(1, 0), (2, 0), (3, 0), (8, 0), (9, 0), (10, 0), (11, 0)]
    assert done.counts.late == 4
    assert done.counts.forgotten == 1


def test_memory_is_bounded_when_no_sensor_comes_twice() -> None:
    rules = Rules(4, 400, 10**9)
    state = make(rules, RestorePlan.cold_at(0))
    for low in range(0, 4000, 50):
        samples = [Sample(f"s{at}", at, 0.0) for at in range(low, low + 50)]
        request = state.polled(batch_of(samples, start=low))
        assert request is not None
        pending = close(state, request.number)
        assert state.sensors <= 400
        assert pending.next_offset - pending.restore_point.restore_from <= 400
        assert state.windows.capacity <= 1000
    assert state.sensors == 400


def test_the_metadata_survives_its_encoding() -> None:
    cuts = TtlWindows(previous=3, current=9, since_ms=-1, latest_ms=-1)
    metadata = RestorePoint(restore_from=5, receptive_field=3, ttl=cuts, poison=(3, 7, 90))
    start = plan_restore(
        (91, metadata.encode()), beginning=0, end=100, fresh="latest", receptive_field=3
    )
    assert (start.ttl, start.poison) == (cuts, frozenset({3, 7, 90}))
