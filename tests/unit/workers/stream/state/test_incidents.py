"""What an incident is, from its first flagged reading to its end; one reading a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detector.rules import Rule, Rules
from schemas.settings import Guarantee
from schemas.wire.incident import IncidentKind, SeenBy
from tests.support.alarm_rules import make_rule
from tests.support.alarmed import (
    LOUD,
    LOUDER,
    QUIET,
    SECOND_NS,
    Reading,
    World,
    entries,
    make_model,
    make_ttl,
    make_watch,
    one,
    told,
)
from workers.stream.state.off import ChannelCondition, OffRule, OffRules

CALM = [QUIET] * 30
TOO_FAST = Rules([Rule(name="too fast", sensors=("*",), channels=(2,), above=90.0)])
SMALL = Rules([Rule(name="small", sensors=("*",), channels=(0, 1), least_deviation=10.0)])


def off_below(speed: float) -> OffRules:
    condition = ChannelCondition(channel=2, comparison="<", number=speed, settle_ns=0)
    return OffRules([OffRule(name="stands", sensors=("*",), reason=condition)])


def run(levels: list[float], **model: Any) -> World:
    world = World(entries(levels), make_model(**model))
    world.run([7])
    return world


def test_an_incident_begins_with_the_first_flagged_reading_of_its_run() -> None:
    """The one at 2 is too far away to be of it."""
    world = run([0, 0, LOUD, 0, 0, 0, LOUD, LOUD, LOUD, *CALM])
    opened, resolved = world.seen.told()
    assert (opened.incident.first.offset, opened.at_ns, opened.incident.flagged) == (
        6, 7 * SECOND_NS, 2,
    )  # fmt: skip
    assert resolved.incident.flagged == 3
    assert resolved.incident.last_ns == 8 * SECOND_NS
    flagged = {place[0]: o.incident for place, o in world.seen.outcomes.items() if o.flagged}
    assert flagged == {2: (2, 0), 6: (6, 0), 7: (6, 0), 8: (6, 0)}


def test_counts_mean_and_peak_are_those_of_its_readings_from_the_opening_on() -> None:
    world = run([0, LOUD, LOUD, LOUDER, *CALM])
    resolved = world.seen.told()[-1].incident
    rows = [o for _, o in sorted(world.seen.outcomes.items()) if o.alarm]
    assert resolved.readings == len(rows)
    assert resolved.peak == max(o.score for o in rows)
    assert resolved.total == sum(o.score for o in rows)
    assert [(one.channel, one.observed) for one in resolved.told[:2]] == [(0, 12.0), (1, 12.0)]
    assert resolved.latent == (12.0, 50.0)
    assert resolved.charge > 0


def test_it_is_told_of_when_it_is_more_severe_and_once_a_minute() -> None:
    world = run([0, 4.5, 4.5, *[4.5] * 5, LOUD, *[LOUD] * 150])
    events = world.seen.told()
    assert [e.incident.sequence for e in events] == [*range(1, len(events) + 1)]
    opened, worse, *later = events
    assert opened.incident.severity < worse.incident.severity
    assert worse.at_ns == 8 * SECOND_NS
    assert [e.at_ns // SECOND_NS for e in later] == [68, 128]


def test_one_that_comes_back_within_the_merge_gap_is_the_same() -> None:
    rule = make_rule(closes_after=1, merge_gap=30)
    world = run([0, LOUD, LOUD, *[0] * 10, LOUD, LOUD, *[0] * 60], rule=rule)
    events = world.seen.told()
    assert [e.what for e in events] == ["opened", "resolved"]
    assert events[-1].incident.flagged == 4


def test_the_end_of_one_and_the_opening_of_the_next_can_be_one_reading() -> None:
    """Its end is certain a reading after the gap, which is the second one over the bar."""
    rule = make_rule(closes_after=1, merge_gap=6)
    for quiet in range(4, 20):
        world = run([0, LOUD, LOUD, *[0] * quiet, LOUD, LOUD, *[0] * 40], rule=rule)
        whats = [e.what for e in world.seen.told()]
        firsts = {e.incident.first for e in world.seen.told()}
        assert whats == ["opened", "resolved"] * len(firsts)
    assert len(firsts) == 2


def test_one_shorter_than_the_shortest_is_never_reported() -> None:
    rule = make_rule(closes_after=1, shortest=12, merge_gap=0)
    assert run([0, LOUD, LOUD, *CALM], rule=rule).seen.told() == []


def test_one_that_is_reported_late_begins_with_its_first_flagged_reading() -> None:
    """Calm readings lie between the flagged ones: the rule goes on with it all the same."""
    rule = make_rule(closes_after=24, shortest=12)
    world = run([0, LOUD, LOUD, 0, 0, 0, 0, LOUD, *[0] * 60], rule=rule)
    opened = world.seen.told()[0]
    assert (opened.incident.first.offset, opened.incident.flagged) == (1, 3)
    assert {o.incident for o in world.seen.outcomes.values() if o.flagged} == {(1, 0)}


def test_an_unscored_reading_neither_ends_nor_counts() -> None:
    rows = entries([0, LOUD, LOUD, *[LOUD] * 8])
    rows[5] = one("a", Reading(5, np.nan, np.nan))
    world = World(rows)
    world.run()
    assert told(world) == [("opened", 2, None)]
    (change,) = world.state.recorded.standing()
    assert (change.incident.readings, change.incident.flagged) == (9, 10)  # of 10 and 11 but one
    assert world.seen.outcomes.keys() == {(at, 0) for at in range(11)}


def ends() -> list[tuple[str, list[Any], dict[str, Any]]]:
    alarm = [0, LOUD, LOUD, LOUD]
    fast = make_rule(memory=16.0)
    return [
        ("recovered", entries([*alarm, *CALM]), {}),
        ("new_normal", entries([*alarm, *[LOUD] * 40]), {"rule": fast}),
        ("maximum_duration", entries([*alarm, *[LOUD] * 40]), {"rule": make_rule(longest=32)}),
        (
            "off",
            [*entries(alarm), one("a", Reading(9, LOUD, LOUD, 1.0))],
            {"off": off_below(5.0)},
        ),
        (
            "stale",
            [*(e._replace(stamp_ms=0) for e in entries(alarm)), one("b", Reading(1, 0, 0), 5_000)],
            {"max_stale_ms": 5_000},
        ),
    ]


@pytest.mark.parametrize(("reason", "log", "model"), ends(), ids=[end[0] for end in ends()])
def test_it_ends_for_a_reason(reason: str, log: list[Any], model: dict[str, Any]) -> None:
    world = World(log, make_model(**model))
    world.run()
    resolved = [e for e in world.seen.told("a") if e.what == "resolved"]
    assert resolved[0].reason == reason
    assert resolved[0].end_ns == resolved[0].at_ns
    assert world.recorded()["a"].incident is None or len(resolved) < len(
        {e.incident.first for e in world.seen.told("a")}
    )


def test_a_sensor_that_is_silent_is_not_stale_before_its_time() -> None:
    log = [
        *(e._replace(stamp_ms=0) for e in entries([0, LOUD, LOUD])),
        one("b", Reading(1, 0, 0), 4_999),
    ]
    world = World(log, make_model(max_stale_ms=5_000))
    world.run()
    assert told(world) == [("opened", 2, None)]


def test_an_incident_of_a_forgotten_sensor_ends_with_what_is_known_of_it() -> None:
    world = World([*entries([0, LOUD, LOUD, LOUD]), *entries(CALM, "b")], ttl=make_ttl(records=12))
    world.run()
    assert told(world, "a")[-1] == ("resolved", 3, "forgotten")
    assert set(world.recorded()) == {"b"}


def test_a_sensor_that_is_stale_before_it_is_forgotten_is_stale_in_one_request_too() -> None:
    log = [
        *(e._replace(stamp_ms=0) for e in entries([0, LOUD, LOUD])),
        *(e._replace(stamp_ms=9_000) for e in entries(CALM, "b")),
    ]
    for polls in ([len(log)], []):
        world = World(log, make_model(max_stale_ms=5_000), ttl=make_ttl(records=12))
        world.run(polls)
        assert told(world, "a")[-1] == ("resolved", 2, "stale")


def test_another_model_ends_what_is_open_and_keeps_the_count_of_openings() -> None:
    log = entries([0, LOUD, LOUD, LOUD, LOUD, LOUD, *CALM, LOUD, LOUD])
    world = World(log)
    world.poll(5)
    world.version = "2"
    world.restart()
    world.run()
    assert told(world)[:2] == [("opened", 2, None), ("resolved", 4, "model_changed")]
    assert world.seen.told()[-1].opened_day == len({e.incident.first for e in world.seen.told()})


def test_a_sensor_in_several_windows_of_one_request_is_one_sensor() -> None:
    log = entries([0, LOUD, LOUD, *[LOUD] * 30, *CALM])
    whole, single = (World(log, ttl=make_ttl(records=10)) for _ in range(2))
    whole.run([len(log)])
    single.run()
    assert told(whole) == told(single) != []


def test_a_reading_that_a_rule_holds_back_neither_flags_nor_opens() -> None:
    world = run([0, LOUD, LOUD, LOUD, *CALM], rules=SMALL)
    assert world.seen.told() == []
    assert not any(o.flagged for o in world.seen.outcomes.values())


def test_an_incident_names_the_rules_that_held_readings_of_it_back() -> None:
    world = run([0, LOUDER, LOUDER, LOUD, *CALM], rules=SMALL)
    opened, resolved = world.seen.told()
    assert (opened.incident.held_back_by, resolved.incident.held_back_by) == ((), ("small",))
    assert not world.seen.outcomes[3, 0].flagged


def test_a_reading_beyond_a_hard_limit_opens_at_once_and_is_severe() -> None:
    world = World(
        [one("a", Reading(0, 0, 0)), one("a", Reading(1, 0, 0, 99.0))], make_model(rules=TOO_FAST)
    )
    world.run()
    (opened,) = world.seen.told()
    assert (opened.incident.seen_by, opened.incident.severity) == (SeenBy.RULE, 3)
    assert world.seen.outcomes[1, 0].score == 1.0
    assert world.seen.outcomes[1, 0].flagged
    assert opened.incident.raised_by == ("too fast",)
    assert (opened.incident.told[0].channel, opened.incident.told[0].observed) == (2, 99.0)


def test_a_hard_limit_within_an_incident_makes_it_severe_though_it_is_weaker() -> None:
    rows = entries([0, 4.6, 4.6, 4.5])
    rows[3] = one("a", Reading(3, 4.4, 4.4, 99.0))
    world = World(rows, make_model(rules=TOO_FAST))
    world.run()
    assert [e.incident.severity for e in world.seen.told()] == [1, 3]
    assert [e.incident.told[0].channel for e in world.seen.told()][1] == 2


def test_a_raised_reading_without_a_level_can_be_recorded() -> None:
    """What the limit is broken by may be too much for the model."""
    rows = [
        one("a", Reading(0, 0, 0)),
        one("a", Reading(1, np.inf, np.inf, 99.0)),
        *entries([LOUD], start_s=2),
    ]
    world = World(rows, make_model(rules=TOO_FAST))
    world.poll(2)
    world.restart()
    world.run()
    (opened,) = world.seen.told()
    assert (opened.incident.strength, opened.incident.severity) == (0.0, 3)
    (now,) = world.state.recorded.standing()
    assert now.incident.strength > 1.0


def test_a_reading_that_is_off_is_scored_and_marked_and_no_anomaly() -> None:
    rows = entries([0, LOUD, LOUD, LOUD])
    rows[3] = one("a", Reading(3, LOUD, LOUD, 1.0))
    world = World(rows, make_model(off=off_below(5.0)))
    world.run()
    assert [o.off for _, o in sorted(world.seen.outcomes.items())] == [False, False, False, True]
    assert not world.seen.outcomes[3, 0].flagged
    assert world.seen.outcomes[3, 0].score > 1.0


def drifting(rows: int = 80) -> list[float]:
    return [*[-2.0] * 200, *[1.2] * rows, *[-2.0] * 600]


def test_a_drift_is_told_with_where_it_began_however_the_log_was_cut() -> None:
    """A file comes in requests of thousands of readings: more than the marks reach back."""
    log = entries(drifting(), "c")
    found = []
    for polls in ([len(log)], [], [300, 50]):
        world = World(log, make_model(make_rule(memory=1e6), watch=make_watch(limit=30.0)))
        world.run(polls)
        found.append(
            [
                (e.what, e.at_ns, e.incident.change)
                for e in world.seen.told()
                if e.incident.kind is IncidentKind.DRIFT
            ]
        )
    assert found[0] == found[1] == found[2]
    offset, epochs = found[0][0][2] or (0, 0)
    assert 200 - 4 * 16 - 4 < offset <= 200
    assert epochs >= 1
    assert [what for what, *_ in found[0]][:2] == ["opened", "resolved"]


@pytest.mark.parametrize("quiet", [0, 5, 16, 21, 30])
def test_a_slow_drift_began_before_all_but_the_oldest_mark(quiet: int) -> None:
    """Nearly as many epochs ago as the watch looks back on, wherever marks lie."""
    log = entries([*[-2.0] * 4 * quiet, *[0.66] * 4 * 90], "c")
    world = World(log, make_model(watch=make_watch(limit=150.0)))
    world.run([len(log)])
    offset, epochs = next(e.incident.change for e in world.seen.told() if e.incident.change)
    assert 48 < epochs < 64
    assert 4 * quiet - 4 * 16 - 1 <= offset <= 4 * quiet


def test_two_drifts_of_one_request_are_two() -> None:
    log = entries([*drifting(), *drifting()], "c")
    worlds = [World(log, make_model(watch=make_watch(limit=30.0))) for _ in range(2)]
    worlds[0].run([len(log)])
    worlds[1].run()
    whats = [
        [e.what for e in w.seen.told() if e.incident.kind is IncidentKind.DRIFT] for w in worlds
    ]
    assert whats[0] == whats[1] == ["opened", "resolved"] * 2


def test_a_damaged_incident_is_not_gone_on_with_and_ends_nobody() -> None:
    world = World(entries([0, LOUD, LOUD, LOUD, *CALM]), guarantee=Guarantee.AT_LEAST_ONCE)
    world.poll(4)
    (value,) = world.documents.values()
    begin, end = value.index(b'"incident":'), value.index(b',"more"')
    world.documents[b"a"] = value[:begin] + b'"incident":["nonsense"]' + value[end:]
    world.restart()
    assert "damaged" in world.state.recorded.cold
    assert list(world.state.recorded.standing()) == []
    world.run()
