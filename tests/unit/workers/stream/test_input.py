"""The one way in: which records become readings, and why the others do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schemas.codec import FRAME_JSON, HEADER, READING_JSON, FrameEncoder
from schemas.settings import InputSettings, StreamSettings
from schemas.wire.errors import Stage
from tests.support.models import (
    CHANNELS,
    SECOND_NS,
    START_NS,
    encoded,
    plant_values,
    reading_records,
)
from workers.kafka.client import Record
from workers.stream.input import Candidate, Input, channels_in, envelope_of

NOW_MS = START_NS // 1_000_000
GOOD = encoded(reading_records(["pump-1"], 1))[0]["value"]


def candidate(value=GOOD, *, offset=0, timestamp=NOW_MS, content_type=None):
    headers = () if content_type is None else ((HEADER, content_type.encode()),)
    return Candidate(value=value, headers=headers, timestamp=timestamp, offset=offset)


def make_input(**stream):
    return Input(CHANNELS, StreamSettings(**stream), InputSettings())


def foreign(sensors, *, ts_ns=START_NS):
    """A Telegraf batch of one reading of each sensor."""
    row = dict(zip(CHANNELS, plant_values(1, seed=0)[0].tolist(), strict=True))
    metrics = [
        {"fields": row, "name": "n", "tags": {"host": sensor}, "timestamp": ts_ns // 10**9 + i}
        for i, sensor in enumerate(sensors)
    ]
    return json.dumps({"metrics": metrics}).encode()


def make_foreign_input(**stream):
    layout = InputSettings(preset="telegraf", sensor="tags.host")
    return Input(CHANNELS, StreamSettings(**stream), layout)


def test_a_record_is_decoded_then_held_against_its_clock_then_against_the_poison():
    records = [
        candidate(b"no reading", offset=7, timestamp=0),
        candidate(offset=8, timestamp=0),
        candidate(offset=9),
        candidate(offset=10),
    ]
    batch = make_input().accept(records, poison={7, 8, 9})

    assert [(f.position, f.stage) for f in batch.failures] == [
        (0, Stage.DECODE),
        (1, Stage.CLOCK),
        (2, Stage.SCORING),
    ]
    assert batch.readings.positions.tolist() == [3]
    assert batch.offsets.tolist() == [7, 8, 9, 10]
    assert batch.stamps_ms.tolist() == [0, 0, NOW_MS, NOW_MS]


@pytest.mark.parametrize(
    ("limits", "timestamp", "is_accepted"),
    [
        ({}, NOW_MS - 86_400_000, True),
        ({}, NOW_MS - 86_400_001, False),
        ({"max_ahead_s": 0}, 0, True),
        ({}, 2**50, True),
        ({"max_behind_s": 5}, NOW_MS + 5_001, False),
        ({"max_behind_s": 5}, -1, True),
    ],
)
def test_the_settings_say_how_far_a_clock_may_be_off(limits, timestamp, is_accepted):
    batch = make_input(**limits).accept([candidate(timestamp=timestamp)])
    assert (not batch.failures) is is_accepted


def test_a_poll_of_large_frames_asks_for_fewer_records():
    accepting = make_input(max_poll_records=1000)
    assert accepting.poll_records == 10  # before anything is known
    accepting.accept([candidate()])
    assert accepting.poll_records == 1000
    ts_ns = START_NS + np.arange(50, dtype=np.int64)
    frame = FrameEncoder(CHANNELS).encode("a", ts_ns, plant_values(50, seed=1))
    accepting.accept([candidate(frame, content_type=FRAME_JSON)])
    assert accepting.poll_records == 20


def test_channels_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="speed"):
        make_input(channels={"speed": "v"})


def test_foreign_records_are_read_beside_vigies_own():
    headed = candidate(content_type=READING_JSON)
    batch = make_foreign_input().accept([candidate(foreign("ab")), headed, candidate()])
    assert batch.readings.sensors == ["a", "b", "pump-1"]
    assert batch.readings.positions.tolist() == [0, 0, 1]
    assert [(failure.position, failure.stage) for failure in batch.failures] == [(2, Stage.SCHEMA)]


def test_a_record_of_several_sensors_is_rejected_whole_and_once():
    early = START_NS - 10 * SECOND_NS
    records = [candidate(foreign("aab", ts_ns=early)), candidate(foreign("ba"), offset=1)]
    batch = make_foreign_input(max_behind_s=5).accept(records)
    assert [(failure.position, failure.stage) for failure in batch.failures] == [(0, Stage.CLOCK)]
    assert batch.readings.sensors == ["b", "a"]
    batch = make_foreign_input().accept(records, poison={1})
    assert [(failure.position, failure.stage) for failure in batch.failures] == [(1, Stage.SCORING)]
    assert batch.readings.counts.tolist() == [2, 1]


def test_one_clock_of_several_in_a_record_rejects_all_of_it():
    """Only the last of the three readings lies ahead of the limit."""
    batch = make_foreign_input(max_ahead_s=1.5).accept([candidate(foreign("abc"))])
    assert [failure.stage for failure in batch.failures] == [Stage.CLOCK]
    assert len(batch.readings) == 0


@pytest.mark.parametrize(
    ("value", "headers", "names"),
    [
        (foreign("a"), (), CHANNELS),
        (GOOD, (), ()),
        (GOOD, ((HEADER, READING_JSON.encode()),), CHANNELS),
        (None, (), ()),
    ],
)
def test_the_channels_of_a_record_are_found_in_its_own_format(value, headers, names):
    record = Record("r", 0, 0, NOW_MS, b"k", value, headers)
    assert channels_in(record, envelope_of(InputSettings(preset="telegraf"))) == tuple(names)
    own = tuple(CHANNELS) if value == GOOD else ()
    assert channels_in(record, envelope_of(InputSettings())) == own
