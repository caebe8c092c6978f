"""Readings of a topic for training are those that the stream would accept."""

from __future__ import annotations

import numpy as np

from schemas.settings import InputSettings, Settings, StreamSettings
from schemas.wire.errors import Stage
from tests.support.models import CHANNELS, SECOND_NS, START_NS, encoded, reading_records
from workers.data.assemble import Part
from workers.data.topic import _Gathering, first_channels, take_missing, why_no_channels
from workers.kafka.client import Record
from workers.stream.input import Input

NOW_MS = START_NS // 1_000_000
FAR_NS = 9 * 10**18
"""The year 2255."""


def gathered(ts_ns, *, end_ns=None, **limits):
    """What training would get of one sensor's readings at these times."""
    values = [values for _, _, values in reading_records(["a"], len(ts_ns))]
    sent = encoded([("a", at, row) for at, row in zip(ts_ns, values, strict=True)])
    gathering = _Gathering(
        Input(CHANNELS, StreamSettings(**limits), InputSettings()), start_ns=START_NS, end_ns=end_ns
    )
    gathering.add(
        [
            Record("r", 0, i, NOW_MS, one["key"], one["value"], ())
            for i, one in enumerate([*sent, {"key": b"a", "value": b"no reading"}])
        ]
    )
    return gathering


STEADY = [START_NS + i * SECOND_NS for i in range(5)]


def test_a_reading_from_the_far_future_does_not_silence_its_sensor():
    gathering = gathered([FAR_NS, *STEADY])
    ((part,),) = gathering.parts.values()
    assert (part.sensor, part.ts_ns.tolist()) == ("a", STEADY)
    assert gathering.rejected.by_stage == {Stage.CLOCK: 1, Stage.DECODE: 1}


def test_the_policies_are_the_streams():
    assert gathered([FAR_NS], max_ahead_s=0).rejected.by_stage == {Stage.DECODE: 1}
    assert gathered([START_NS - 10 * SECOND_NS], max_behind_s=5).rejected.by_stage[Stage.CLOCK] == 1


def test_what_lies_outside_the_stretch_of_time_is_not_counted_as_rejected():
    gathering = gathered(STEADY, end_ns=STEADY[3])
    ((part,),) = gathering.parts.values()
    assert part.ts_ns.tolist() == STEADY[:3]
    assert gathering.rejected.by_stage == {Stage.DECODE: 1}


def test_numbers_that_mean_missing_are_taken_from_a_topic_and_counted():
    values = np.array([[1.0, -200.0], [-200.0, -200.0], [3.0, 7.0]])
    part = Part(sensor="a", ts_ns=np.arange(3), values=values)

    taken = take_missing([[part]], ("flow", "speed"), ("-200", "Bad", "nan"))

    assert taken == {"flow": 1, "speed": 2}
    assert np.isnan(part.values).tolist() == [[False, True], [True, True], [False, False]]


def test_without_a_number_nothing_is_taken():
    part = Part(sensor="a", ts_ns=np.arange(1), values=np.array([[0.0]]))

    assert take_missing([[part]], ("flow",), ("Bad",)) == {}
    assert part.values.tolist() == [[0.0]]


def record(value: bytes, offset: int = 0) -> Record:
    return Record("r", 1, offset, NOW_MS, b"a", value, ())


def test_what_was_rejected_is_told_by_kind_with_the_first_of_it():
    """Of a stage there may be several reasons, of which one was meant and one was not."""
    gathering = gathered([FAR_NS, *STEADY])
    gathering.add([record(b"[]", 7), record(b"[]", 8), record(b'{"sensor_id": 3}', 9)])

    first, *others = gathering.rejected.told()

    assert first.startswith("3 rejected at schema, the first at offset 7 of partition 1 (key b'a')")
    assert "must be a JSON object" in first
    assert [told.split(",")[0] for told in others] == [
        "1 rejected at clock",
        "1 rejected at decode",
    ]


def no_channels(*values: bytes, **layout):
    settings = Settings.model_validate({"input": layout})
    records = [record(value) for value in values]
    assert first_channels(records, settings, None) == ()
    return why_no_channels(records, settings, None)


def test_records_without_channels_say_the_first_failure():
    why = no_channels(b"\x00\x00\x00\x00\x07\x02a", b"{}")

    assert not why.is_readable
    assert 'input.format = "avro"' in why.text


def test_numbers_that_are_texts_name_their_setting():
    why = no_channels(
        b'{"sensorId": "a", "timestamp": 1700000000000, "flow": "1.5"}', preset="flat"
    )

    assert why.is_readable
    assert 'input.numbers = "text"' in why.text
