"""What becomes of readings depends on the log and on what people said: not on polls, not on kills.

The log is drawn with all that can happen to several sensors: levels that open and close incidents,
missing values, readings in frames, bad and late records, silences of log time, windows of the
state's time to live. The settings have rules, conditions and a drift watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration.alarm_rule import AlarmRule
from detector.rules import Rule, Rules
from schemas.settings import Guarantee
from schemas.wire.deed import Deed
from schemas.wire.verdict import Off, Wish
from tests.support.alarm_rules import make_rule
from tests.support.alarmed import (
    SECOND_NS,
    Entry,
    Reading,
    World,
    make_model,
    make_ttl,
    make_watch,
    plain,
)
from tests.support.wishes import document, false_alarm, fault, forget, new_normal, off
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.off import ChannelCondition, OffRule, OffRules
from workers.stream.state.state_ttl import StateTtl
from workers.stream.state.wishes import WishBoard

SENSORS = ("a", "b", "c")
LEVELS = (0.0, 0.0, 0.3, 8.0, 8.0, 5.0, 12.0, float("nan"))
SPEEDS = (50.0, 50.0, 50.0, 1.0, float("nan"), 99.0)
RULES = Rules(
    [
        Rule(name="slow is no matter", sensors=("a",), channels=(0, 1), least_deviation=6.0),
        Rule(name="too fast", sensors=("*",), channels=(2,), above=90.0),
    ]
)
OFF = OffRules(
    [
        OffRule(
            name="stands still",
            sensors=("b",),
            reason=ChannelCondition(channel=2, comparison="<", number=5.0, settle_ns=3 * SECOND_NS),
        )
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    """Stretches of one level or another, of some sensors in turn."""
    log: list[Entry] = []
    last_s = dict.fromkeys(SENSORS, 0)
    clock_ms = 0
    stretches = draw(
        st.lists(
            st.tuples(
                st.integers(0, len(LEVELS) - 1),
                st.integers(0, 3 * len(SPEEDS) - 1),
                st.integers(1, 7),  # which sensors, as bits
                st.integers(1, 9),
                st.integers(0, 9),
            ),
            min_size=3,
            max_size=14,
        )
    )
    for level, speed, who, length, extra in stretches:
        if extra == 9:  # nothing comes for a while
            clock_ms += 20_000
        for nth in range(length):
            for place, sensor in enumerate(SENSORS):
                if not who >> place & 1:
                    continue
                step = 0 if extra == 8 and nth == 1 else 1  # a double
                last_s[sensor] += step
                frame = [_reading(last_s[sensor], level, speed)]
                if extra == 7:
                    last_s[sensor] += 1
                    frame.append(_reading(last_s[sensor], level, speed))
                clock_ms += 300
                stamp_ms = -1 if extra == 6 else clock_ms
                bad = extra == 5 and nth == 2
                log.append(Entry(None if bad else sensor, tuple(frame), stamp_ms))
    return log


def _reading(at_s: int, level: int, speed: int) -> Reading:
    height = LEVELS[level] + 0.01 * (at_s % 7)
    fast = SPEEDS[speed] if speed < len(SPEEDS) else 50.0
    return Reading(at_s, height, height / 2, fast)


class Setup(NamedTuple):
    """What judges."""

    rule: AlarmRule
    ttl: StateTtl
    receptive_field: int
    max_stale_ms: int
    references: int

    def model(self) -> AlarmModel:
        return make_model(
            self.rule,
            watch=make_watch(references=self.references),
            rules=RULES,
            off=OFF,
            max_stale_ms=self.max_stale_ms,
        )

    def world(self, log: Sequence[Entry], **more: object) -> World:
        return World(
            log,
            self.model(),
            self.receptive_field,
            min(self.receptive_field, 2),
            self.ttl,
            **more,  # type: ignore[arg-type]
        )


SETUPS = st.builds(
    Setup,
    st.builds(
        make_rule,
        closes_after=st.sampled_from([1, 3]),
        merge_gap=st.sampled_from([0, 2, 4]),
        shortest=st.sampled_from([1, 1, 4]),
        longest=st.sampled_from([32, 1000]),
        memory=st.sampled_from([700.0, 8.0]),
    ),
    st.sampled_from([make_ttl(), make_ttl(records=24), make_ttl(age_ms=9_000)]),
    st.sampled_from([1, 3]),
    st.sampled_from([10**9, 15_000, 4_000]),
    st.sampled_from([16, 0]),
)
CUTS = st.lists(st.integers(1, 30), max_size=12)


class Life(NamedTuple):
    """Polls, whether each is committed; then a kill."""

    polls: list[int]
    commits: list[bool]


LIVES = st.lists(st.builds(Life, CUTS, st.lists(st.booleans(), max_size=4)), max_size=4)


def live(world: World, lives: Sequence[Life]) -> World:
    """Go through lives, and read to the end."""
    for life in lives:
        for nth, records in enumerate(life.polls):
            is_committed = life.commits[nth % len(life.commits)] if life.commits else True
            world.poll(records, commit=is_committed)
        world.restart()
    world.run()
    return world


def same(one: World, other: World) -> None:
    """Equal in all that a reader sees, and in what is recorded."""
    assert one.seen.outcomes == other.seen.outcomes
    mine, others = (
        {key: plain(change) for key, change in world.seen.events.items()} for world in (one, other)
    )
    assert mine == others
    for sensor in SENSORS:
        assert [_deed(d) for d in one.seen.deeds if d.sensor == sensor] == [
            _deed(d) for d in other.seen.deeds if d.sensor == sensor
        ]
    assert one.recorded() == other.recorded()


def _deed(deed: Deed) -> str:
    return deed.model_dump_json(exclude={"wish"})


@st.composite
def wishes_after(draw: st.DrawFn) -> dict[str, tuple[Wish, ...]]:
    """Wishes by key, each from an event time on."""
    found: dict[str, list[Wish]] = {}
    for number in range(1, 1 + draw(st.integers(0, 5))):
        key = draw(st.sampled_from([*SENSORS, "[ab]"]))
        after_ns = draw(st.integers(-1, 60)) * SECOND_NS
        found.setdefault(key, []).append(_wish(draw, number, is_off=key == "[ab]", after=after_ns))
    return {key: tuple(wishes) for key, wishes in found.items()}


def _wish(draw: Callable[..., Any], number: int, *, is_off: bool, after: int | None = None) -> Wish:
    start_s = draw(st.integers(0, 40))
    kinds: list[Wish] = [
        off(number, after_ns=after, until_ns=start_s * SECOND_NS),
        off(number, after_ns=after),
        new_normal(number, after_ns=after),
        forget(number, start_s, start_s + 10, after_ns=after),
        fault(number, after_ns=after),
        false_alarm(
            number, after_ns=after, profile={"long": 0.667, "short": 0.333}, latent=(8.0, 50.0)
        ),
    ]
    return cast(
        "Wish", draw(st.sampled_from([w for w in kinds if not is_off or isinstance(w, Off)]))
    )


def board_of(wishes: dict[str, tuple[Wish, ...]]) -> WishBoard:
    board = WishBoard()
    for key, standing in wishes.items():
        board.take(key.encode(), document(key, *standing))
    return board


@given(log=logs(), setup=SETUPS, lives=LIVES, wishes=wishes_after())
@settings(deadline=None, max_examples=60)
def test_neither_polls_nor_kills_change_anything(
    log: list[Entry], setup: Setup, lives: list[Life], wishes: dict[str, tuple[Wish, ...]]
) -> None:
    """Against a run that takes record by record, and is never killed."""
    calm = setup.world(log, board=board_of(wishes))
    calm.run()
    same(live(setup.world(log, board=board_of(wishes)), lives), calm)
    at_once = setup.world(log, board=board_of(wishes))
    at_once.run([len(log)])
    same(at_once, calm)


@given(log=logs(), setup=SETUPS, data=st.data())
@settings(deadline=None, max_examples=40)
def test_deeds_done_again_give_what_was_given(
    log: list[Entry], setup: Setup, data: st.DataObject
) -> None:
    """People wish and withdraw under way; what came of it, they or a file of their deeds."""
    setup = setup._replace(ttl=make_ttl())
    board = WishBoard()
    world = setup.world(log, board=board)
    number = 0
    standing: dict[str, tuple[Wish, ...]] = {}
    for records in data.draw(CUTS):
        world.poll(records, commit=data.draw(st.booleans()))
        if data.draw(st.booleans()):
            world.restart()
        key = data.draw(st.sampled_from([*SENSORS, "[ab]"]))
        if standing.get(key) and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(standing[key]))
            standing[key] = tuple(wish for wish in standing[key] if wish is not gone)
        else:
            number += 1
            wish = _wish(data.draw, number, is_off=key == "[ab]")
            standing[key] = (*standing.get(key, ()), wish)
        value = document(key, *standing[key]) if standing[key] else None
        board.take(key.encode(), value)
        if data.draw(st.booleans()):  # who was away has met neither
            world.board = board = board_of({k: w for k, w in standing.items() if w})
            world.restart()
    world.run()

    again = setup.world(log, deeds=world.seen.deeds)
    again.run(data.draw(CUTS))
    same(again, world)


@given(
    log=logs(),
    setup=SETUPS,
    wishes=wishes_after(),
    lives=st.lists(st.tuples(CUTS, CUTS, st.integers(0, 4)), max_size=4),
)
@settings(deadline=None, max_examples=60)
def test_documents_ahead_of_their_offsets_lose_and_double_nothing(
    log: list[Entry],
    setup: Setup,
    wishes: dict[str, tuple[Wish, ...]],
    lives: list[tuple[list[int], list[int], int]],
) -> None:
    """At least once: outputs are written, some documents, no offsets. Repeats are equal."""
    calm = setup.world(log, board=board_of(wishes))
    calm.run()
    world = setup.world(log, board=board_of(wishes), guarantee=Guarantee.AT_LEAST_ONCE)
    for polls, lost, written in lives:
        for records in polls:
            world.poll(records)
        for records in lost:
            world.poll(records, commit=False)
        world.lose_the_commit(written)
    world.run()
    world.write(len(log))  # what is forgotten goes one commit later
    deeds = {(d.sensor, d.wish_id, d.after_ns, d.offset) for d in world.seen.deeds}
    assert deeds == {(d.sensor, d.wish_id, d.after_ns, d.offset) for d in calm.seen.deeds}
    world.seen.deeds = calm.seen.deeds
    same(world, calm)


def test_the_logs_have_something_to_say() -> None:
    """Incidents of all kinds and ends are among what is compared."""
    found = set()

    @given(log=logs(), setup=SETUPS, wishes=wishes_after())
    @settings(deadline=None, max_examples=40, derandomize=True, database=None)
    def collect(log: list[Entry], setup: Setup, wishes: dict[str, tuple[Wish, ...]]) -> None:
        world = setup.world(log, board=board_of(wishes))
        for change in world.run().events.values():
            found.update({change.reason, change.incident.kind, change.incident.seen_by})

    collect()
    assert {"recovered", "off", "stale", "drift", "rule", None} <= found
