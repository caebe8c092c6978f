"""Each checker passes a sound result and catches every way in which it was made unsound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.wire.anomaly import anomaly_id
from tests.chaos import checkers
from tests.chaos.commits import Commit
from tests.chaos.oracle import Fate, Verdict
from tests.chaos.outcome import At, Denoised, Flagged, Letter, Outcome, Place, without_repeats
from tests.chaos.reference import Expected

TOPIC = "readings"
SCORED = Verdict(fates=(Fate.SCORED,))


def reading(place: Place, *, score: float = 0.5) -> Denoised:
    return Denoised(place, f"s{place.offset % 2}", place.offset * 10, score, (1.0, None))


def flag(place: Place, **changes: Any) -> Flagged:
    number = str(anomaly_id(TOPIC, *place))
    return Flagged(place, changes.get("id", number), f"s{place.offset % 2}", {"score": 1.5})


def letter(offset: int, **changes: Any) -> Letter:
    fields = {"partition": 0, "offset": offset, "stage": "decode", "key": b"k", "value": b"no"}
    return Letter(**{**fields, **changes})


VERDICTS = {
    (0, 0): Verdict(fates=(Fate.WARMING_UP,)),
    (0, 1): SCORED,
    (0, 2): Verdict(stage="decode"),
    (0, 3): Verdict(fates=(Fate.LATE,)),
    (0, 4): Verdict(fates=(Fate.SCORED, Fate.DUPLICATE, Fate.SCORED)),
    (0, 5): SCORED,
    (1, 0): SCORED,
}
PLACES = [
    Place(0, 1, 0), Place(0, 4, 0), Place(0, 4, 2), Place(0, 5, 0), Place(1, 0, 0),
]  # fmt: skip


def sound() -> Outcome:
    return Outcome(
        denoised=[(At(0, number), reading(place)) for number, place in enumerate(PLACES)],
        flagged=[(At(0, 0), flag(PLACES[1])), (At(0, 1), flag(PLACES[2]))],
        letters=[(At(0, 0), letter(2))],
    )


def expected() -> Expected:
    return Expected(
        ends={0: 6, 1: 1},
        verdicts=VERDICTS,
        denoised={place: reading(place) for place in PLACES},
        flagged={place: flag(place) for place in PLACES[1:3]},
        letters={(0, 2): (b"k", b"no")},
    )


COMMITS = [
    Commit(partition=0, next_offset=2, metadata="", at_ms=1, number=0),
    Commit(partition=1, next_offset=1, metadata="", at_ms=1, number=1),
    Commit(partition=0, next_offset=2, metadata="", at_ms=2, number=2),
    Commit(partition=0, next_offset=6, metadata="", at_ms=3, number=3),
]
SEEN = [("out", 0, 0, 11), ("out", 1, 0, 12), ("out", 0, 2, 13)]
FINAL = {one[:3]: one[3] for one in SEEN}
ABORTED = [("out", 0, 1)]


def judged(outcome: Outcome) -> list[str]:
    return [
        violation.check
        for violations in (
            checkers.accounted(VERDICTS, outcome),
            checkers.unique(outcome, TOPIC),
            checkers.ordered(outcome),
            checkers.equal(expected(), outcome),
            checkers.same(sound(), outcome),
        )
        for violation in violations
    ]


def test_a_sound_result_has_no_violation():
    assert judged(sound()) == []
    assert checkers.committed(COMMITS, {0: 6, 1: 1}) == []
    assert checkers.seen_live(SEEN, FINAL, ABORTED) == []


def plant(name: str, change: Callable[[Any], object], *caught: str) -> Any:
    return pytest.param(change, set(caught), id=name)


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        plant(
            "a reading lost",
            lambda o: o.denoised.pop(1),
            "readings lost", "denoised readings missing",
            "denoised readings, against the undisturbed run missing",
        ),
        plant(
            "a reading twice",
            lambda o: o.denoised.append((At(0, 9), o.denoised[0][1])),
            "readings scored more than once", "denoised out of order",
        ),
        plant(
            "a reading scored while warming up",
            lambda o: o.denoised.insert(0, (At(0, -1), reading(Place(0, 0, 0)))),
            "readings scored that must not be", "denoised readings too many",
            "denoised readings, against the undisturbed run too many",
        ),
        plant(
            "a reading from beyond the log",
            lambda o: o.denoised.append((At(0, 9), reading(Place(0, 7, 0)))),
            "readings scored that must not be", "denoised readings too many",
            "denoised readings, against the undisturbed run too many",
        ),
        plant(
            "a score one bit off",
            lambda o: o.denoised.__setitem__(
                2, (At(0, 2), reading(PLACES[2], score=0.5000000000000001))
            ),
            "denoised readings that differ",
            "denoised readings, against the undisturbed run that differ",
        ),
        plant(
            "a sensor's readings out of order",
            lambda o: o.denoised.__setitem__(0, (At(0, 9), o.denoised[0][1])),
            "denoised out of order",
        ),
        plant(
            "a sensor's readings in two partitions",
            lambda o: o.denoised.__setitem__(3, (At(1, 0), o.denoised[3][1])),
            "denoised of a sensor in two partitions",
        ),
        plant(
            "an anomaly lost",
            lambda o: o.flagged.pop(),
            "anomalies missing", "anomalies, against the undisturbed run missing",
        ),
        plant(
            "an anomaly twice",
            lambda o: o.flagged.append((At(0, 5), o.flagged[1][1])),
            "anomaly ids more than once", "anomalies out of order",
        ),
        plant(
            "an anomaly of a foreign id",
            lambda o: o.flagged.__setitem__(0, (At(0, 0), flag(PLACES[1], id="another"))),
            "ids that are not their reading's", "anomalies that differ",
            "anomalies, against the undisturbed run that differ",
        ),
        plant(
            "a dead letter lost",
            lambda o: o.letters.clear(),
            "dead letters lost", "dead letters missing",
            "dead letters, against the undisturbed run missing",
        ),
        plant(
            "a dead letter twice",
            lambda o: o.letters.append((At(0, 1), letter(2))),
            "dead letters more than once",
        ),
        plant(
            "a dead letter of a good record",
            lambda o: o.letters.append((At(0, 1), letter(5))),
            "dead letters of good records", "dead letters too many",
            "dead letters, against the undisturbed run too many",
        ),
        plant(
            "a dead letter of another stage",
            lambda o: o.letters.__setitem__(0, (At(0, 0), letter(2, stage="schema"))),
            "dead letters of the wrong stage",
            "dead letters, against the undisturbed run that differ",
        ),
        plant(
            "a dead letter that was touched",
            lambda o: o.letters.__setitem__(0, (At(0, 0), letter(2, value=b"n"))),
            "dead letters that differ", "dead letters, against the undisturbed run that differ",
        ),
    ],
)  # fmt: skip
def test_a_planted_violation_is_caught(change, caught):
    outcome = sound()
    change(outcome)

    assert set(judged(outcome)) == caught


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        plant(
            "back", lambda c: c.append(replace(c[0], next_offset=1)),
            "commits that go back", "partitions not committed to their end",
        ),
        plant("beyond", lambda c: c.append(replace(c[3], next_offset=7)), "commits beyond the log",
              "partitions not committed to their end"),
        plant("short", lambda c: c.pop(), "partitions not committed to their end"),
        plant("never", lambda c: c.pop(1), "partitions not committed to their end"),
    ],
)  # fmt: skip
def test_a_bad_commit_is_caught(change, caught):
    commits = COMMITS.copy()
    change(commits)

    assert {v.check for v in checkers.committed(commits, {0: 6, 1: 1})} == caught


def test_an_empty_partition_needs_no_commit():
    assert checkers.committed(COMMITS, {0: 6, 1: 1, 2: 0}) == []


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        plant(
            "aborted", lambda s: s.insert(1, ("out", 0, 1, 99)),
            "aborted records seen", "records seen that are not in the log",
        ),
        plant(
            "vanished", lambda s: s.append(("out", 1, 5, 99)),
            "records seen that are not in the log",
        ),
        plant("unseen", lambda s: s.pop(), "records never seen"),
        plant("again", lambda s: s.append(s[0]), "records seen more than once or out of order"),
        plant(
            "disordered", lambda s: s.insert(0, s.pop()),
            "records seen more than once or out of order",
        ),
        plant(
            "changed", lambda s: s.__setitem__(0, ("out", 0, 0, 12)),
            "records that changed since they were seen",
        ),
    ],
)  # fmt: skip
def test_a_reader_that_saw_something_wrong_is_caught(change, caught):
    seen = SEEN.copy()
    change(seen)

    assert {v.check for v in checkers.seen_live(seen, FINAL, ABORTED)} == caught


# Partition 0 is committed to 2, then to 6; partition 1 to 1. Two producers, two output partitions.
WRITERS = {
    0: checkers.Writer(7, 0, 0), 1: checkers.Writer(8, 0, 0), 2: checkers.Writer(7, 0, 1),
    3: checkers.Writer(7, 1, 0),
}  # fmt: skip
PUBLISHED = [
    checkers.Published(WRITERS[0], ("out", 0), frozenset({(0, 1)})),
    checkers.Published(WRITERS[1], ("out", 0), frozenset({(1, 0)})),
    checkers.Published(WRITERS[3], ("out", 0), frozenset({(0, 2), (0, 4)})),
    checkers.Published(WRITERS[3], ("out", 1), frozenset({(0, 5)})),
]


def test_transactions_that_are_whole_have_no_violation():
    assert checkers.whole(COMMITS, WRITERS, PUBLISHED) == []


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        plant(
            "torn: a late commit ended it before the offsets came",
            lambda p: p.__setitem__(1, p[1]._replace(writer=checkers.Writer(8, 0, -1))),
            "commits by another transaction than their outputs",
        ),
        plant(
            "torn: its outputs in one partition came with an earlier transaction",
            lambda p: p.__setitem__(3, p[3]._replace(writer=WRITERS[2])),
            "commits by another transaction than their outputs",
        ),
        plant(
            "a read that skipped back: outputs of an earlier commit as well",
            lambda p: p.__setitem__(2, p[2]._replace(sources=p[2].sources | {(0, 0)})),
            "transactions with outputs of more than one commit",
            "commits by another transaction than their outputs",
        ),
        plant(
            "published without its offset",
            lambda p: p.append(p[3]._replace(sources={(0, 6)})),
            "outputs that nobody committed",
        ),
        plant(
            "published by one epoch, committed by the next",
            lambda p: p.__setitem__(3, p[3]._replace(writer=WRITERS[0])),
            "commits by another transaction than their outputs",
        ),
    ],
)  # fmt: skip
def test_a_transaction_that_is_not_whole_is_caught(change, caught):
    published = PUBLISHED.copy()
    change(published)

    assert {v.check for v in checkers.whole(COMMITS, WRITERS, published)} == caught


def test_a_commit_outside_of_a_transaction_is_caught():
    writers = {number: writer for number, writer in WRITERS.items() if number != 3}
    (violation,) = checkers.whole(COMMITS, writers, PUBLISHED)

    assert violation.check == "commits by another transaction than their outputs"


ENDS = {("out", 0): 9, ("__consumer_offsets", 0): 4}


def test_nothing_left_of_transactions_has_no_violation():
    assert checkers.closed({}, ENDS, ENDS, {}) == []


@pytest.mark.parametrize(
    ("unfinished", "stable", "held", "caught"),
    [
        ({"chaos.main.0": "Ongoing"}, {}, {}, "transactions left open"),
        ({}, {("__consumer_offsets", 0): 3}, {}, "partitions that are not stable to their end"),
        ({}, {}, {("out", 0): 8}, "partitions with an open transaction"),
    ],
)
def test_what_is_left_of_a_transaction_is_caught(unfinished, stable, held, caught):
    (violation,) = checkers.closed(unfinished, ENDS | stable, ENDS, held)

    assert violation.check == caught


def test_an_acknowledged_reading_that_is_gone_or_another_is_caught():
    acknowledged = {(0, 1): 11, (0, 2): 12, (1, 1): 13}
    assert checkers.kept(acknowledged, {**acknowledged, (1, 2): 14}) == []

    (violation,) = checkers.kept(acknowledged, {(0, 1): 11, (0, 2): 99})

    assert violation.check == "acknowledged readings lost"
    assert violation.examples == ("(0, 2)", "(1, 1)")


COUNTS = {
    "records": 7, "readings": 8, "scored": 5, "warming_up": 1, "late": 1, "duplicate": 1,
    "dead_lettered": 1, "anomalies": 2, "restored": 3,
}  # fmt: skip


def test_counts_agree_with_the_topics():
    assert checkers.counted(COUNTS, expected()) == []


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"restored"}))
def test_a_wrong_count_is_caught(name):
    (violation,) = checkers.counted({**COUNTS, name: COUNTS[name] + 1}, expected())

    assert violation.examples == (f"{name} = {COUNTS[name] + 1} instead of {COUNTS[name]}",)


def test_repeats_are_dropped_by_id_and_differing_ones_stay():
    outcome = sound()
    outcome.denoised.append((At(0, 9), outcome.denoised[0][1]))
    outcome.letters.append((At(0, 9), outcome.letters[0][1]))
    outcome.flagged.append((At(0, 9), outcome.flagged[0][1]))

    assert judged(without_repeats(outcome)) == []

    outcome.denoised.append((At(0, 10), reading(PLACES[0], score=0.6)))

    assert "readings scored more than once" in judged(without_repeats(outcome))


def test_a_violation_shows_the_first_cases():
    (violation,) = checkers.found("lost", range(100))

    assert violation.count == 100
    assert str(violation) == "lost: 100, such as 0; 1; 2; 3; 4"
