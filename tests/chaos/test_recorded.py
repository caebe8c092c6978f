"""The judge of what is recorded sees what is wrong, and passes what is right."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from schemas.wire.sensor_state import SensorState, encode_sensor_state
from tests.chaos.oracle import Fate, Reading, Record, Rules, Verdict
from tests.chaos.outcome import Place
from tests.chaos.recorded import Recorded, expected_recorded, recorded_alike, recorded_of


class Written(NamedTuple):
    partition: int
    key: bytes
    value: bytes | None


def state(**other: int) -> SensorState:
    fields = {"next_offset": 9, "since": 0, "scored": 7, "flagged": 1, "dropped": 0} | other
    return SensorState(version=1, **fields)


RIGHT: dict[tuple[int, str], SensorState] = {(0, "a"): state(), (1, "b"): state(since=3)}


def test_the_right_counts_pass():
    assert recorded_alike(RIGHT, RIGHT, RIGHT) == []


@pytest.mark.parametrize(
    ("stormed", "what"),
    [
        (RIGHT | {(0, "a"): state(scored=8)}, "that differ"),
        (RIGHT | {(0, "a"): state(flagged=0)}, "that differ"),
        (RIGHT | {(0, "a"): state(dropped=1)}, "that differ"),
        (RIGHT | {(0, "a"): state(since=1)}, "that differ"),
        (RIGHT | {(0, "a"): state(next_offset=8)}, "that differ"),
        ({(0, "a"): state()}, "missing"),
        (RIGHT | {(1, "a"): state()}, "too many"),
    ],
)
def test_wrong_counts_are_named(stormed: Recorded, what: str):
    named = [violation.check for violation in recorded_alike(RIGHT, RIGHT, stormed)]
    assert named == [
        f"recorded sensors {what}",
        f"recorded sensors, against the undisturbed run {what}",
    ]


def test_the_last_word_on_a_sensor_counts_and_a_removed_one_is_gone():
    value = encode_sensor_state(9, 0, 7, 1, 0)
    written: list[Any] = [
        Written(0, b"a", encode_sensor_state(2, 0, 1, 0, 0)),
        Written(0, b"b", value),
        Written(0, b"a", value),
        Written(0, b"b", None),
        Written(1, b"b", encode_sensor_state(9, 3, 7, 1, 0)),
    ]
    assert recorded_of(written) == RIGHT


def test_what_must_be_recorded_is_counted_reading_by_reading():
    """A sensor that was silent for two TTL windows is none; a dead letter is in no count."""
    times = tuple(Reading(n, (0.0,)) for n in range(3))
    log = [
        Record(offset=0, sensor="gone", readings=times[:1]),
        *(Record(offset=n, sensor="a", readings=times) for n in (1, 2)),
        Record(offset=4, stage="decode"),
        Record(offset=5, sensor="a", readings=times),
    ]
    fates = (Fate.SCORED, Fate.LATE, Fate.WARMING_UP)
    verdicts = {
        (0, record.offset): Verdict(stage=record.stage)
        if record.stage
        else Verdict(fates=fates[: len(record.readings)])
        for record in log
    }
    rules = Rules(receptive_field=1, max_gap_ns=1, max_records=4)  # cut at 2 and at 4
    found = expected_recorded({0: log}, verdicts, [Place(0, 2, 0)], rules)
    assert found == {
        (0, "a"): state(next_offset=6, since=1, scored=3, flagged=1, dropped=3),
    }
