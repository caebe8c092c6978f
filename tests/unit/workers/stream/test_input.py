"""The one way in: which records become readings, and why the others do not."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.codec import FRAME_JSON, HEADER, FrameEncoder
from schemas.settings import InputSettings, StreamSettings
from schemas.wire.errors import Stage
from tests.support.models import CHANNELS, START_NS, encoded, plant_values, reading_records
from workers.stream.input import Candidate, Input

NOW_MS = START_NS // 1_000_000
GOOD = encoded(reading_records(["pump-1"], 1))[0]["value"]


def candidate(value=GOOD, *, offset=0, timestamp=NOW_MS, content_type=None):
    headers = () if content_type is None else ((HEADER, content_type.encode()),)
    return Candidate(value=value, headers=headers, timestamp=timestamp, offset=offset)


def make_input(**stream):
    return Input(CHANNELS, StreamSettings(**stream), InputSettings())


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
