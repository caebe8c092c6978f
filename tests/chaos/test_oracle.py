"""The oracle, on logs small enough to be judged by eye."""

from __future__ import annotations

import pytest

from tests.chaos.oracle import Fate, Reading, Record, Rules, cut, verdicts

S, W, L, D = Fate.SCORED, Fate.WARMING_UP, Fate.LATE, Fate.DUPLICATE
RULES = Rules(receptive_field=2, max_gap_ns=10)


def log(*times: int, sensor: str = "a", start: int = 0) -> list[Record]:
    return [
        Record(offset=start + n, sensor=sensor, readings=(Reading(t, (float(t),)),))
        for n, t in enumerate(times)
    ]


def fates(records: list[Record], rules: Rules = RULES) -> list[tuple[Fate, ...]]:
    return [verdict.fates for verdict in verdicts(records, rules).values()]


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ((1, 2, 3), (W, S, S)),
        ((1, 2, 2, 3), (W, S, D, S)),
        ((1, 5, 2, 6), (W, S, L, S)),
        ((1, 2, 13, 14), (W, S, W, S)),  # longer than the gap: warm-up again
        ((1, 2, 12, 13), (W, S, S, S)),  # just as long: not
        ((1, 20, 2), (W, W, L)),  # "last" never goes back
    ],
)
def test_policies(times, wanted):
    assert fates(log(*times)) == [(fate,) for fate in wanted]


def test_a_window_is_the_last_accepted_rows():
    found = verdicts(log(1, 5, 2, 5, 6), RULES)

    assert found[4].windows == {0: [(5.0,), (6.0,)]}


def test_a_short_window_is_scored_from_the_warm_up_on():
    rules = Rules(receptive_field=3, warm_up=2, max_gap_ns=10)
    found = verdicts(log(1, 2, 13, 14, 15, 16), rules)

    assert fates(log(1, 2, 13, 14, 15), rules) == [(W,), (S,), (W,), (S,), (S,)]
    assert found[3].windows == {0: [(13.0,), (14.0,)]}
    assert found[5].windows == {0: [(14.0,), (15.0,), (16.0,)]}


def test_readings_of_a_frame_are_judged_one_after_the_other():
    frame = Record(offset=0, sensor="a", readings=tuple(Reading(t, (0.0,)) for t in (1, 3, 2, 3)))

    assert fates([frame]) == [(W, S, L, D)]


def test_a_stretch_knows_no_more_than_the_one_before_it():
    rules = Rules(receptive_field=2, max_gap_ns=10**9, max_records=4)
    records = log(1, 2, 3, 4, 5, 6)  # stretches of two
    records[2] = Record(offset=2, stage="decode")
    records[3] = Record(offset=3, stage="decode")

    assert [len(stretch) for stretch in cut(records, rules)] == [2, 2, 2]
    assert fates(records, rules) == [(W,), (S,), (), (), (W,), (S,)]  # 1 and 2 are forgotten


def test_what_is_late_only_by_a_forgotten_reading_is_accepted():
    rules = Rules(receptive_field=1, max_gap_ns=10**9, max_records=2)

    assert fates(log(100, 5, 6, 7), rules) == [(S,), (L,), (S,), (S,)]


def test_stretches_are_cut_by_log_time_as_well():
    rules = Rules(receptive_field=1, max_gap_ns=1, max_age_ms=20)
    stamps = (-1, 100, 105, 90, 110, 119, 120)
    records = [Record(offset=n, stamp_ms=s) for n, s in enumerate(stamps)]

    assert [[r.offset for r in stretch] for stretch in cut(records, rules)] == [
        [0, 1, 2, 3], [4, 5], [6],
    ]  # fmt: skip


def test_poison_is_a_dead_letter_and_enters_no_window():
    records = log(1, 2, 3, 4)
    records[2] = Record(offset=2, sensor="a", readings=(Reading(3, (666.0,), poison=True),))

    found = verdicts(records, RULES)

    assert found[2].stage == "scoring"
    assert found[3].windows == {0: [(2.0,), (4.0,)]}


def test_poison_in_a_warm_up_is_a_dead_letter_too():
    records = log(1, 2, 3)
    records[0] = Record(offset=0, sensor="a", readings=(Reading(1, (666.0,), poison=True),))

    assert verdicts(records, RULES)[0].stage == "scoring"
    assert fates(records[1:]) == [(W,), (S,)]


def test_poison_that_is_dropped_harms_nobody():
    records = log(1, 2, 2, 3)
    records[2] = Record(offset=2, sensor="a", readings=(Reading(2, (666.0,), poison=True),))

    assert verdicts(records, RULES)[2].stage == ""
