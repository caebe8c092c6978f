"""What a result has to be. Pure functions over lists; each gives the violations it found.

Offsets may have holes (a source written in transactions); what counts as a record of the source is
what the oracle has a verdict on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.wire.anomaly import anomaly_id
from tests.chaos.commits import Commit
from tests.chaos.oracle import Fate, Verdict
from tests.chaos.outcome import At, Outcome, Place
from tests.chaos.reference import Expected
from tests.chaos.violations import SHOWN, Violation, Violations, found

__all__ = ["SHOWN", "Violation", "Violations", "found"]
"""Besides what is defined here."""

Offset = tuple[int, int]
"""Partition, and offset in it."""


def accounted(verdicts: Mapping[tuple[int, int], Verdict], outcome: Outcome) -> Violations:
    """Every offset ends in exactly one way: scored, warming up, dead-lettered, dropped."""
    scored = Counter(reading.place for _, reading in outcome.denoised)
    letters = Counter((letter.partition, letter.offset) for _, letter in outcome.letters)
    wanted = {
        Place(*at, index)
        for at, verdict in verdicts.items()
        for index, fate in enumerate(verdict.fates)
        if fate is Fate.SCORED
    }
    dead = {at for at, verdict in verdicts.items() if verdict.stage}
    return [
        *found("readings lost", sorted(wanted - scored.keys())),
        *found("readings scored that must not be", sorted(scored.keys() - wanted)),
        *found("readings scored more than once", _repeated(scored)),
        *found("dead letters lost", sorted(dead - letters.keys())),
        *found("dead letters of good records", sorted(letters.keys() - dead)),
        *found("dead letters more than once", _repeated(letters)),
        *found(
            "dead letters of the wrong stage",
            (
                f"{letter[:3]} instead of {verdicts[letter[:2]].stage}"
                for _, letter in outcome.letters
                if letter[:2] in dead and letter.stage != verdicts[letter[:2]].stage
            ),
        ),
    ]


def kept(acknowledged: Mapping[Offset, int], log: Mapping[Offset, int]) -> Violations:
    """What the brokers acknowledged is in the log, where they said; sums by (partition, offset)."""
    return found(
        "acknowledged readings lost",
        sorted(at for at, summed in acknowledged.items() if log.get(at) != summed),
    )


def unique(outcome: Outcome, topic: str) -> Violations:
    """No id comes twice, and each is that of its reading."""
    ids = Counter(flag.id for _, flag in outcome.flagged)
    foreign = (
        f"{flag.id} at {flag.place}"
        for _, flag in outcome.flagged
        if flag.id != str(anomaly_id(topic, *flag.place))
    )
    return [
        *found("anomaly ids more than once", _repeated(ids)),
        *found("ids that are not their reading's", foreign),
    ]


def ordered(outcome: Outcome) -> Violations:
    """The outputs of a sensor come in the order of its readings, in one partition of their topic.

    Of a sensor and a source partition: a sensor that moved to another has two streams.
    """
    return [
        *_ordered("denoised", [(at, r.sensor, r.place) for at, r in outcome.denoised]),
        *_ordered("anomalies", [(at, f.sensor, f.place) for at, f in outcome.flagged]),
    ]


def _ordered(name: str, outputs: Sequence[tuple[At, str, Place]]) -> Violations:
    latest: dict[tuple[str, int], tuple[At, Place]] = {}
    homes: dict[str, int] = {}
    backward, strays = [], []
    for at, sensor, place in sorted(outputs, key=lambda output: output[0]):
        if homes.setdefault(sensor, at.partition) != at.partition:
            strays.append(f"{sensor} at {at} and in partition {homes[sensor]}")
        before = latest.get((sensor, place.partition))
        if before is not None and place <= before[1]:
            backward.append(f"{sensor} {place} at {at} behind {before[1]} at {before[0]}")
        latest[sensor, place.partition] = (at, place)
    return [
        *found(f"{name} out of order", backward),
        *found(f"{name} of a sensor in two partitions", strays),
    ]


def equal(expected: Expected, outcome: Outcome) -> Violations:
    """Scores, cleaned values, anomalies and dead letters are those of the reference, bit by bit."""
    letters = {
        (letter.partition, letter.offset): (letter.key, letter.value)
        for _, letter in outcome.letters
    }
    return [
        *differing(
            "denoised readings", expected.denoised, {r.place: r for _, r in outcome.denoised}
        ),
        *differing("anomalies", expected.flagged, {f.place: f for _, f in outcome.flagged}),
        *differing("dead letters", expected.letters, letters),
    ]


def same(undisturbed: Outcome, outcome: Outcome) -> Violations:
    """Two runs over one log say the same."""
    pairs: list[tuple[str, Callable[[Outcome], dict[Any, Any]]]] = [
        ("denoised readings", lambda one: {r.place: r for _, r in one.denoised}),
        ("anomalies", lambda one: {f.place: f for _, f in one.flagged}),
        ("dead letters", lambda one: {letter[:2]: letter for _, letter in one.letters}),
    ]
    return [
        violation
        for name, by_place in pairs
        for violation in differing(
            f"{name}, against the undisturbed run", by_place(undisturbed), by_place(outcome)
        )
    ]


def counted(counts: Mapping[str, int], expected: Expected) -> Violations:
    """What an undisturbed run counts agrees with what is in the topics, and adds up.

    Args:
        counts: by name, as `vigie run --json` prints them.
        expected: of the same log.
    """
    right = {
        "records": len(expected.verdicts),
        "readings": sum(len(verdict.fates) for verdict in expected.verdicts.values()),
        "anomalies": len(expected.flagged),
        "dead_lettered": expected.counts["dead letters"],
        **{fate.value.replace(" ", "_"): expected.counts[fate.value] for fate in Fate},
    }
    return found(
        "counts that are wrong",
        (
            f"{name} = {counts.get(name)} instead of {number}"
            for name, number in right.items()
            if counts.get(name) != number
        ),
    )


def differing(name: str, wanted: Mapping[Any, Any], seen: Mapping[Any, Any]) -> Violations:
    """What is missing, what is too much, and what is not the same (==)."""
    return [
        *found(f"{name} missing", sorted(wanted.keys() - seen.keys())),
        *found(f"{name} too many", sorted(seen.keys() - wanted.keys())),
        *found(
            f"{name} that differ",
            (
                f"{seen[at]} instead of {wanted[at]}"
                for at in sorted(wanted.keys() & seen.keys())
                if wanted[at] != seen[at]
            ),
        ),
    ]


def committed(commits: Sequence[Commit], ends: Mapping[int, int]) -> Violations:
    """The commits of each partition go forward only, and reach the end of the log, no further."""
    latest: dict[int, Commit] = {}
    backward, beyond = [], []
    for commit in commits:
        before = latest.get(commit.partition)
        if before is not None and commit.next_offset < before.next_offset:
            backward.append(f"{commit} behind {before}")
        if commit.next_offset > ends.get(commit.partition, 0):
            beyond.append(commit)
        latest[commit.partition] = commit
    short = (
        f"partition {partition}: {latest[partition].next_offset if partition in latest else None}"
        f" of {end}"
        for partition, end in sorted(ends.items())
        if end and (partition not in latest or latest[partition].next_offset != end)
    )
    return [
        *found("commits that go back", backward),
        *found("commits beyond the log", beyond),
        *found("partitions not committed to their end", short),
    ]


class Writer(NamedTuple):
    """A transaction: the n-th one that a producer committed in an epoch."""

    producer: int
    epoch: int
    nth: int


class Published(NamedTuple):
    """What one committed transaction wrote to one partition of the outputs.

    Attributes:
        home: topic and partition of the outputs.
        sources: (partition, offset) of the records of the source that they were made from.
    """

    writer: Writer
    home: tuple[str, int]
    sources: frozenset[tuple[int, int]]


class _Span(NamedTuple):
    """The offsets of a partition of the source that one commit is about."""

    partition: int
    start: int
    stop: int


def whole(
    commits: Sequence[Commit], writers: Mapping[int, Writer], published: Sequence[Published]
) -> Violations:
    """A transaction holds the outputs of the offsets that it commits: all of them, no others.

    So what one unit reads of a partition is contiguous, also across a rebalance, and nothing is
    committed in pieces. A late request can do that and leave a final result that looks sound.

    Args:
        commits: of the group, in order.
        writers: of the commits, by their number.
        published: each transaction's part in each partition of the outputs.
    """
    spans: dict[int, list[_Span]] = defaultdict(list)
    writer_of: dict[_Span, Writer | None] = {}
    for commit in commits:
        before = spans[commit.partition][-1].stop if spans[commit.partition] else 0
        span = _Span(commit.partition, before, commit.next_offset)
        if span.start < span.stop:
            spans[commit.partition].append(span)
            writer_of[span] = writers.get(commit.number)
    orphans, foreign, mixed = [], [], []
    for one in published:
        met: dict[int, set[_Span]] = defaultdict(set)
        for partition, offset in one.sources:
            at = bisect_right(spans[partition], offset, key=lambda span: span.stop)
            if at == len(spans[partition]):
                orphans.append(f"{one.home} has outputs of {(partition, offset)}")
            else:
                met[partition].add(spans[partition][at])
        mixed += [f"{sorted(found)} at {one.home}" for found in met.values() if len(found) > 1]
        foreign += [
            f"{span} by {writer_of[span]}, its outputs at {one.home} by {one.writer}"
            for found in met.values()
            for span in found
            if writer_of[span] != one.writer
        ]
    return [
        *found("outputs that nobody committed", orphans),
        *found("commits by another transaction than their outputs", foreign),
        *found("transactions with outputs of more than one commit", mixed),
    ]


def closed(
    unfinished: Mapping[str, str],
    stable: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    held: Mapping[tuple[str, int], int],
) -> Violations:
    """Nothing is left of any transaction: nobody has to wait for its end.

    Args:
        unfinished: the state of each transaction that the coordinator has not finished, by id.
        stable: last stable offset of each partition: a `read_committed` reader gets no further.
        ends: of the same partitions.
        held: first offset of a transaction that a partition still knows of.
    """
    short = (
        f"{at}: {stable.get(at)} of {end}" for at, end in ends.items() if stable.get(at) != end
    )
    return [
        *found("transactions left open", sorted(unfinished.items())),
        *found("partitions that are not stable to their end", short),
        *found("partitions with an open transaction", sorted(held.items())),
    ]


def seen_live(
    seen: Sequence[tuple[str, int, int, int]],
    committed: Mapping[tuple[str, int, int], int],
    aborted: Iterable[tuple[str, int, int]],
) -> Violations:
    """A `read_committed` reader that was there all the time saw what the final log holds, once.

    Args:
        seen: (topic, partition, offset, hash of the record) in the order in which it came.
        committed: hash of each committed record of the final log.
        aborted: records that are in the log and in no committed transaction.
    """
    at = Counter(one[:3] for one in seen)
    latest: dict[tuple[str, int], int] = defaultdict(lambda: -1)
    backward = []
    for topic, partition, offset, _ in seen:
        if offset <= latest[topic, partition]:
            backward.append((topic, partition, offset))
        latest[topic, partition] = max(offset, latest[topic, partition])
    return [
        *found("aborted records seen", sorted(at.keys() & set(aborted))),
        *found("records seen that are not in the log", sorted(at.keys() - committed.keys())),
        *found("records never seen", sorted(committed.keys() - at.keys())),
        *found("records seen more than once or out of order", backward),
        *found(
            "records that changed since they were seen",
            (one[:3] for one in seen if committed.get(one[:3], one[3]) != one[3]),
        ),
    ]


def _repeated(counts: Mapping[Any, int]) -> list[str]:
    return [f"{item} {count} times" for item, count in sorted(counts.items()) if count > 1]
