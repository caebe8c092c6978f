"""Wishes under way: the stream, its backtest and the definition say the same; the judge sees."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from schemas.wire.deed import Deed
from schemas.wire.event import IncidentEvent
from schemas.wire.sensor_state import SensorState
from schemas.wire.verdict import Fault, SensorWishes
from tests.chaos import checkers
from tests.chaos.reference import Expected, expected_of
from tests.chaos.replays import backtested
from tests.chaos.test_reference import SETTINGS, log, source
from tests.chaos.wisher import Wisher
from tests.chaos.wishes import SOON_MS, heeded
from tests.support.incident_terms import unpacked
from tests.support.models import small_detector
from tests.support.wait import wait_until
from tests.support.wishes import document, new_normal, off, wish_id
from workers.errors import VigieError
from workers.stream.incident_events import IncidentEvents
from workers.stream.scoring.backend import Work
from workers.stream.sensor_labels import no_labels
from workers.stream.state.recorded import Judge
from workers.stream.state.restore import RestorePlan
from workers.stream.state.wishes import WishBoard
from workers.verdicts.standing import no_wishes

SEEDS = (3, 4)
"""With a false alarm that suppresses an incident, and with a fault that has been charged."""
SENSORS = [f"sensor-{number}" for number in range(3)]


class Desk:
    """Writes wishes to a board as the writer does to the topic."""

    def __init__(self) -> None:
        self.board, self.documents = WishBoard(), dict[str, SensorWishes]()

    def change(self, key: str, change: Callable[[SensorWishes], SensorWishes]) -> None:
        after = change(self.documents.get(key, no_wishes(key)))
        self.documents[key] = after
        value = document(key, *after.wishes) if after.wishes else None
        self.board.take(key.encode(), value)


class Streamed(NamedTuple):
    events: dict[str, IncidentEvent]
    deeds: list[Deed]
    documents: dict[str, SensorState]


@cache
def streamed(seed: int = SEEDS[0]) -> Streamed:
    """What a worker tells that hears of wishes between small batches."""
    desk, told, own = Desk(), list[bytes](), log()
    wisher = Wisher(lambda: pytest.fail("no broker here"), told, SENSORS, seed=seed)
    judge = own.judge()
    state = own.state(
        RestorePlan.cold_at(0),
        Judge(model=judge.model, group_of=judge.group_of, partition=0, board=desk.board),
    )
    events = IncidentEvents(
        own.detector,
        topic=SETTINGS.topics.readings,
        group=SETTINGS.kafka.group,
        labels_of=no_labels,
    )
    found = Streamed({}, [], {})
    for batch in own.batches(0, own.end, size=23):
        request = state.polled(batch)
        if request is None:
            continue
        scores = Work.of(request.samples).scores(own.detector)
        judged = state.scored(request.number, scores).judged
        found.deeds.extend(judged.deeds)
        for change in judged.changes:
            event = events.event(change, 0)
            found.events[event.id] = event
            told.append(event.model_dump_json().encode())
        wisher.look()
        wisher.say(desk)  # type: ignore[arg-type]
    for key, value in state.recorded.changes():
        if value is not None:
            found.documents[key.decode()] = SensorState.model_validate_json(value)
    return found


def expected_by(deeds: list[Deed]) -> Expected:
    return expected_of(source(), {0: len(source())}, small_detector(), SETTINGS, deeds)


@cache
def expected(seed: int = SEEDS[0]) -> Expected:
    return expected_by(streamed(seed).deeds)


def test_wishes_of_all_kinds_are_heeded_and_withdrawn():
    deeds = [deed for seed in SEEDS for deed in streamed(seed).deeds]
    kinds = Counter(
        "withdrawn" if deed.withdrawn or deed.wish is None else deed.wish.kind for deed in deeds
    )
    assert kinds.keys() == {"withdrawn", "fault", "false_alarm", "new_normal", "forget", "off"}
    assert any(isinstance(deed.wish, Fault) and deed.wish.charge for deed in deeds)
    events = [event.data for seed in SEEDS for event in expected(seed).events.values()]
    assert {event.end_reason for event in events} >= {"off", "new_normal"}
    assert any(event.suppressed for event in events)
    assert any(reading.off for reading in expected().denoised.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stream_that_heeds_wishes_tells_what_the_definition_does(seed: int):
    wanted, got = expected(seed), streamed(seed)
    assert wanted.strays == []
    assert checkers.differing("incidents", wanted.events, got.events) == []
    recorded = {(0, name): unpacked(one) for name, one in got.documents.items()}
    assert checkers.differing("documents", wanted.recorded, recorded) == []
    assert any(one["wishes"] and one["wishes"]["before"] for one in recorded.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_backtest_does_the_deeds_again_bit_by_bit(seed: int):
    backtest = backtested([log()], expected(seed).deeds)

    assert checkers.differing("readings", expected(seed).denoised, backtest.denoised) == []
    assert checkers.differing("incidents", expected(seed).events, backtest.events) == []


def test_a_deed_that_names_another_place_is_a_stray():
    first, *others = streamed().deeds
    found = expected_by([first.model_copy(update={"offset": 10**6}), *others])
    assert any("no reading comes behind" in stray for stray in found.strays)


def test_a_wish_that_is_heeded_twice_is_a_stray():
    first, *others = streamed().deeds
    found = expected_by([first, first, *others])
    assert found.strays == [f"{first.wish_id} is heeded twice by {first.sensor}"]


class Written(NamedTuple):
    key: bytes
    value: bytes | None
    timestamp: int


WRITTEN = [
    Written(b"a", document("a", new_normal(1)), 0),
    Written(b"a", document("a", new_normal(1), off(2)), 10),
    Written(b"a", document("a", off(2)), 20),
    Written(b"b*", document("b*", off(3)), 30),
    Written(b"c", document("c", new_normal(4)), 40),
    Written(b"c", None, 50),
]
DEEDS = [
    Deed(sensor="a", after_ns=5, offset=1, wish=new_normal(1)),
    Deed(sensor="bb", after_ns=5, offset=1, wish=off(3)),
]
LATE_MS = 1_000 + SOON_MS


def checks(held: dict[str, list[UUID]], *, deeds: Any = DEEDS, latest_ms: int = LATE_MS) -> Any:
    found = heeded(WRITTEN, deeds, dict.fromkeys(held, latest_ms), held)
    return [violation.check for violation in found]


def test_what_stands_is_heeded():
    assert checks({"a": [wish_id(2)], "bb": [wish_id(3)], "c": []}) == []


@pytest.mark.parametrize("held", [{"a": []}, {"bb": []}])
def test_a_wish_that_nobody_heeds_is_named_unless_no_reading_came_for_long_enough(held: Any):
    assert checks(held) == ["wishes not heeded"]
    assert checks(held, latest_ms=25) == []


@pytest.mark.parametrize("held", [{"a": [wish_id(1), wish_id(2)]}, {"c": [wish_id(4)]}])
def test_a_wish_that_is_heeded_on_is_named(held: Any):
    assert checks(held) == ["wishes withdrawn and heeded on"]


@pytest.mark.parametrize(
    "deed",
    [
        Deed(sensor="a", offset=1, wish=new_normal(9)),
        Deed(sensor="c", offset=1, wish=new_normal(1)),
    ],
)
def test_a_deed_of_a_wish_that_nobody_wrote_for_the_sensor_is_named(deed: Deed):
    assert checks({}, deeds=[deed]) == ["deeds of wishes that nobody wrote"]


def test_the_wisher_goes_on_when_the_broker_was_away():
    opened = list[int]()
    desk = Desk()

    @contextmanager
    def writer() -> Any:
        opened.append(1)
        if len(opened) == 1:
            raise VigieError("away")
        yield desk

    told = [event.model_dump_json().encode() for event in streamed().events.values()]
    wisher = Wisher(writer, told, SENSORS, seed=1, every_s=0.001)
    wisher.start()
    wait_until(lambda: wisher.said > 3, within=20.0)
    wisher.finish()
    assert len(opened) == 2
    assert desk.documents


def test_what_a_wisher_died_of_is_told():
    def writer() -> Any:
        raise ValueError("broken")

    wisher = Wisher(writer, [json.dumps({}).encode()], SENSORS, seed=1, every_s=0.001)
    wisher.start()
    wisher.join(20.0)
    with pytest.raises(RuntimeError, match="died"):
        wisher.finish()
