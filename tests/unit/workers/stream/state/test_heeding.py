"""From which reading on a wish holds, and what it does there; one reading a second."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.wire.deed import Deed
from schemas.wire.verdict import Wish
from tests.support.alarm_rules import make_rule
from tests.support.alarmed import (
    LOUD,
    SECOND_NS,
    TOPIC,
    Entry,
    Reading,
    World,
    entries,
    loud,
    make_model,
    make_ttl,
    one,
    told,
)
from tests.support.wishes import document, false_alarm, fault, forget, new_normal, off, wish_id
from workers.stream.state.incident import incident_id
from workers.stream.state.wishes import WishBoard

QUIET = entries([0.0] * 20)
ALARM = entries([0.0, LOUD, LOUD, LOUD, LOUD, *[0.0] * 30])


def said(world: World, *wishes: Wish, key: str = "a") -> None:
    """The document of a key becomes that."""
    assert world.board is not None
    world.board.take(key.encode(), document(key, *wishes) if wishes else None)


def wished(log: Sequence[Entry], *wishes: Wish, key: str = "a", **model: object) -> World:
    world = World(log, make_model(**model), board=WishBoard())  # type: ignore[arg-type]
    if wishes:
        said(world, *wishes, key=key)
    return world


def done(world: World) -> list[tuple[int, float | None, bool]]:
    """Of each deed its record, the second after which, and whether something was withdrawn."""
    return [
        (d.offset or 0, None if d.after_ns is None else d.after_ns / SECOND_NS, d.withdrawn)
        for d in world.seen.deeds
    ]


def are_off(world: World) -> list[int]:
    return [place[0] for place, o in sorted(world.seen.outcomes.items()) if o.off]


def offset_of_the_bar(world: World) -> float:
    alarms = world.state.recorded._alarms
    assert alarms is not None
    states = alarms.table.rows["rule"][:1].copy()
    return float(states[0, 5])


def test_a_wish_holds_from_the_next_reading_and_no_more_when_it_is_withdrawn() -> None:
    world = wished(QUIET)
    world.poll(3)
    said(world, off(1))
    world.poll(4)
    said(world)
    world.run()
    assert are_off(world) == [3, 4, 5, 6]
    assert done(world) == [(3, 2.0, False), (7, 6.0, True)]
    assert world.recorded()["a"].more is None


@pytest.mark.parametrize(("after_s", "first"), [(-5, 0), (0, 1), (6.5, 7), (7, 8), (100, 20)])
def test_a_wish_holds_behind_an_event_time_wherever_requests_are_cut(
    after_s: float, first: int
) -> None:
    for polls in ([20], [4, 4], []):
        world = wished(QUIET, off(1, after_ns=round(after_s * SECOND_NS)))
        world.run(polls)
        assert are_off(world) == [*range(first, 20)]


def test_one_that_waits_and_is_withdrawn_is_never_heeded() -> None:
    world = wished(QUIET, off(1, after_ns=10 * SECOND_NS))
    world.poll(5)
    said(world)
    world.run()
    assert (are_off(world), world.seen.deeds) == ([], [])


def test_a_pattern_turns_off_whom_it_names_also_one_seen_for_the_first_time() -> None:
    log = [*QUIET[:3], *entries([0.0, 0.0], "b")]
    world = wished(log, off(1), key="[bc]")
    world.run()
    assert are_off(world) == [3, 4]
    assert [(d.sensor, d.after_ns) for d in world.seen.deeds] == [("b", -1)]


def test_off_until_ends_by_itself() -> None:
    world = wished(QUIET, off(1, until_ns=4 * SECOND_NS))
    world.run()
    assert are_off(world) == [0, 1, 2, 3, 4]


def test_what_was_withdrawn_while_the_worker_was_away_ends_before_the_next_reading() -> None:
    """The words are gone from the topic, or the topic holds nothing at all any more."""
    for others in ((), (new_normal(9),)):
        world = wished(QUIET, off(1))
        world.poll(3)
        world.board = WishBoard()
        if others:
            said(world, *others, key="z")
        world.restart()
        world.run()
        assert are_off(world) == [0, 1, 2]
        assert done(world)[1:] == [(3, 2.0, True)]
        assert world.seen.deeds[1].wish_id == wish_id(1)


def test_where_nobody_can_wish_nothing_is_withdrawn() -> None:
    world = wished(QUIET, off(1))
    world.poll(3)
    world.board = None
    world.restart()
    world.run()
    assert done(world) == [(0, -1e-9, False)]


def test_a_new_normal_ends_the_incident_and_is_reverted_when_it_is_withdrawn() -> None:
    log = entries([0.0, *[LOUD] * 60])
    world = wished(log)
    world.poll(10)
    said(world, new_normal(1))
    world.poll(20)
    assert told(world) == [("opened", 2, None), ("resolved", 10, "new_normal")]
    world.restart()
    said(world)
    world.run()
    assert told(world)[2][0] == "opened"


def test_the_words_of_a_new_normal_may_be_gone_when_another_takes_its_place() -> None:
    """Then the first is reverted, and the other begins from what stood before it."""
    log = entries([*[0.0] * 10, *[2.0] * 10, *[1.0] * 10])
    worlds = []
    for is_away in (False, True):
        world = wished(log, new_normal(1, after_ns=9 * SECOND_NS))
        world.poll(20)
        if is_away:
            world.board = WishBoard()
            world.restart()
        said(world, new_normal(2))
        world.run()
        worlds.append(world)
    assert worlds[0].recorded() == worlds[1].recorded()
    assert [d.withdrawn for d in worlds[1].seen.deeds] == [False, True, False]


def test_to_withdraw_the_older_of_two_new_normals_changes_nothing() -> None:
    log = entries([*[0.0] * 10, *[2.0] * 20])
    first, second = new_normal(1, after_ns=5 * SECOND_NS), new_normal(2, after_ns=12 * SECOND_NS)
    states = []
    for standing in ((first, second), (second,)):
        world = wished(log, first, second)
        world.poll(20)
        said(world, *standing)
        world.run()
        states.append(world.recorded()["a"].state)
    assert states[0] == states[1]


def test_what_a_new_normal_replaced_is_not_put_back_into_another_model() -> None:
    log = entries([*[3.0] * 20, *[0.0] * 20])
    worlds = []
    for wishes in ((new_normal(1, after_ns=9 * SECOND_NS),), ()):
        world = wished(log, *wishes)
        world.poll(20)
        world.version = "2"
        world.restart()
        said(world)
        world.run()
        worlds.append(world)
    assert worlds[0].recorded()["a"].state == worlds[1].recorded()["a"].state


def test_a_period_to_come_is_not_learnt_from_and_a_past_one_resets() -> None:
    plain, to_come, past = (
        wished(entries([*[1.0] * 20, 0.0]), *wishes)
        for wishes in ((), (forget(1, 5, 19),), (forget(1, 0, 3, after_ns=10 * SECOND_NS),))
    )
    centres = []
    for world in (plain, to_come, past):
        world.poll(20)
        alarms = world.state.recorded._alarms
        assert alarms is not None
        centres.append(float(alarms.table.rows["rule"][0, 1]))
    assert centres[0] > centres[2] > 0
    assert centres[0] > centres[1] > 0


def test_a_fault_on_the_open_incident_costs_nothing() -> None:
    free, charged = wished(ALARM), wished(ALARM)
    for world in (free, charged):
        world.poll(4)
    (opened,) = free.seen.told()
    said(free, fault(1, incident=incident_id(TOPIC, 0, opened.incident).int))
    for world in (free, charged):
        world.run()
    assert free.seen.told()[-1].incident.charge == 0.0
    assert charged.seen.told()[-1].incident.charge > 0.0
    assert offset_of_the_bar(free) < offset_of_the_bar(charged)


def test_a_fault_on_an_old_incident_gives_its_charge_back_once() -> None:
    world = wished(ALARM)
    world.poll(30)
    charge = world.seen.told()[-1].incident.charge
    before = offset_of_the_bar(world)
    said(world, fault(1, charge=charge))
    world.poll(1)
    assert offset_of_the_bar(world) == pytest.approx(before - charge, abs=0.01)
    world.restart()
    world.run()
    assert offset_of_the_bar(world) == pytest.approx(before - charge, abs=0.05)


def test_a_fault_gives_nothing_to_a_sensor_that_begins_anew() -> None:
    log = [*QUIET[:3], *entries([0.0] * 20, "b"), one("a", loud(50, 0.0)), one("a", loud(51, 0.0))]
    worlds = [wished(log, *wishes) for wishes in ((fault(1, charge=2.0),), ())]
    for world in worlds:
        world.ttl = make_ttl(records=8)
        world.restart()
        world.run()
    assert worlds[0].recorded()["a"].state == worlds[1].recorded()["a"].state


LIKE = false_alarm(1, profile={"long": 0.5, "short": 0.5}, latent=(LOUD, 50.0))


def test_what_looks_like_a_false_alarm_is_told_as_suppressed() -> None:
    world = wished(ALARM, LIKE)
    world.run()
    assert {e.incident.suppressed for e in world.seen.told()} == {
        (str(wish_id(1)), str(wish_id(1)))
    }


def test_it_is_told_at_once_when_it_does_not_look_like_one_any_more() -> None:
    rows = entries([0.0, LOUD, LOUD, *[LOUD] * 10])
    rows[6] = one("a", Reading(6, 14.0, 14.0, 50.0))
    world = wished(rows, LIKE)
    world.run()
    suppressed = [
        (e.at_ns // SECOND_NS, e.incident.suppressed is not None) for e in world.seen.told()
    ]
    assert suppressed == [(2, True), (6, False)]


def test_two_wishes_at_once_hold_from_the_same_reading_in_their_order() -> None:
    world = wished(QUIET)
    world.poll(5)
    said(world, forget(2, 0, 3), new_normal(1))
    world.run([3])
    assert [(d.offset, d.wish_id) for d in world.seen.deeds] == [(5, wish_id(2)), (5, wish_id(1))]


def test_a_forgotten_sensor_heeds_what_stands_when_it_comes_again() -> None:
    log = [*QUIET[:3], *entries([0.0] * 20, "b"), one("a", loud(50, 0.0))]
    world = wished(log, off(1))
    world.ttl = make_ttl(records=8)
    world.restart()
    world.run()
    assert done(world) == [(0, -1e-9, False), (23, 49.999999999, False)]


def test_deeds_of_one_moment_are_done_one_by_one() -> None:
    """In a file, no reading need lie between a wish and its end."""
    wish = new_normal(1)
    deeds = [
        Deed(sensor="a", after_ns=3 * SECOND_NS, wish=wish),
        Deed(sensor="a", after_ns=3 * SECOND_NS, wish=wish, withdrawn=True),
    ]
    world = World(QUIET, deeds=deeds)
    world.run()
    assert done(world) == [(4, 3.0, False), (4, 3.0, True)]


def test_the_rule_learns_nothing_of_what_is_off() -> None:
    world = wished(entries([5.0] * 20), off(1), rule=make_rule())
    world.run()
    assert told(world) == []
