"""The schedule is a function of its seed, and fills what it is asked to."""

from __future__ import annotations

from schemas.settings import Settings
from tests.chaos.nemesis import _ACTIONS, LATE_REQUESTS, impossible
from tests.chaos.schedule import (
    HABITS,
    KILLS,
    OF_BROKERS,
    OF_SEVERAL,
    SHORT_OF_SEVERAL,
    Kind,
    make_schedule,
    short_schedule,
)


def test_the_same_seed_gives_the_same_schedule():
    assert make_schedule(7, 600) == make_schedule(7, 600)
    assert make_schedule(7, 600) != make_schedule(8, 600)
    assert short_schedule(7) == short_schedule(7)
    assert short_schedule(7) != short_schedule(8)


def test_a_longer_schedule_begins_like_a_shorter_one():
    short, long = make_schedule(7, 100), make_schedule(7, 1_000)

    assert long[: len(short)] == short


def test_half_an_hour_holds_every_kind_and_some_two_hundred_faults():
    for without in (frozenset[Kind](), OF_SEVERAL):
        batches = make_schedule(3, 1_800, without=without)
        kinds = [fault.kind for batch in batches for fault in batch.faults]

        assert set(kinds) == set(Kind) - without
        assert len(kinds) >= (200 if without else 180)  # of brokers only one at a time


def test_kinds_that_are_impossible_are_left_out():
    faults = [f for v in make_schedule(3, 600, without={Kind.FULL_DISK}) for f in v.faults]

    assert Kind.FULL_DISK not in {fault.kind for fault in faults}


def test_rare_kinds_stay_rare():
    faults = [fault.kind for batch in make_schedule(5, 20_000) for fault in batch.faults]

    assert faults.count(Kind.ADD_PARTITION) == HABITS[Kind.ADD_PARTITION].most


def test_a_short_schedule_holds_ten_kills_of_four_kinds():
    for seed in range(20):
        kinds = [fault.kind for batch in short_schedule(seed) for fault in batch.faults]
        kills = [kind for kind in kinds if kind in KILLS]
        assert len(kills) >= 10
        assert set(kills) == KILLS


def test_a_short_schedule_of_several_brokers_holds_each_of_their_faults():
    kinds = [
        fault.kind for batch in short_schedule(7, counts=SHORT_OF_SEVERAL) for fault in batch.faults
    ]

    assert set(kinds) >= OF_SEVERAL
    assert len(kinds) == sum(SHORT_OF_SEVERAL.values())


def test_of_several_brokers_no_batch_strikes_two():
    drawn = [short_schedule(seed, counts=SHORT_OF_SEVERAL) for seed in range(20)]
    drawn += [make_schedule(seed, 3_000, together=3) for seed in range(5)]
    batches = [[fault.kind for fault in one.faults] for batches in drawn for one in batches]

    assert any(len(kinds) > 1 for kinds in batches if not OF_SEVERAL.isdisjoint(kinds))
    for kinds in batches:
        struck = [kind for kind in kinds if kind in OF_BROKERS]
        assert len(struck) < 2 or OF_SEVERAL.isdisjoint(struck)


def test_one_broker_meets_no_fault_of_several():
    assert impossible(object(), "actors") == OF_SEVERAL
    assert impossible(object(), "actors", nodes=3) <= {Kind.PART_BROKER}


def test_a_worker_is_suspended_in_a_send_for_longer_than_a_transaction_may_take():
    faults = [f for v in make_schedule(3, 3_000) for f in v.faults if f.kind is Kind.STOP_IN_SEND]
    settings = Settings.model_validate({"topics": {"readings": "r"}})

    assert faults
    assert min(f.seconds for f in faults) > settings.processing.transaction_timeout_s


def test_every_kind_of_a_transactions_request_comes_late():
    faults = [f for v in make_schedule(3, 3_000) for f in v.faults if f.kind is Kind.LATE]

    assert {f.pick % len(LATE_REQUESTS) for f in faults} == set(range(len(LATE_REQUESTS)))


def test_every_kind_has_its_habit_and_its_action():
    assert set(HABITS) == set(Kind) == set(_ACTIONS)
