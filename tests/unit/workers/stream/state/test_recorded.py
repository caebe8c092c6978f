"""What is gone on with when a partition is taken up, and what of it is written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from schemas.settings import Guarantee
from schemas.wire.sensor_state import SensorState, encode_sensor_state
from tests.support.partitions import flags
from workers.stream.state.recorded import Met, RecordedState

EXACTLY, AT_LEAST = Guarantee.EXACTLY_ONCE, Guarantee.AT_LEAST_ONCE
FOUND = {b"a": encode_sensor_state(10, 0, 8, 1, 2), b"b": encode_sensor_state(7, 3, 4, 0, 0)}


def restored(found=FOUND, *, next_offset=10, recorded=2, cold="", guarantee=EXACTLY):
    return RecordedState.restored(
        found, next_offset=next_offset, recorded=recorded, cold=cold, guarantee=guarantee
    )


def one_reading(sensor, offset, *, kept_from=0):
    return Met(
        kept_from=kept_from,
        sensors=[sensor],
        sizes=np.array([1]),
        offsets=np.array([offset]),
        scored=np.array([True]),
        dropped=np.array([False]),
    )


def count(state, *pieces):
    n = sum(int(piece.scored.sum()) for piece in pieces)
    state.judge(pieces, flags(n), clock_ms=-1)


def test_the_template_writes_what_the_contract_reads():
    value = encode_sensor_state(10, 0, 8, 1, 2)
    document = SensorState.model_validate_json(value)
    assert document.model_dump(by_alias=True) == json.loads(value)


def test_only_sensors_touched_since_the_last_commit_are_written():
    state = restored()
    assert list(state.changes()) == []
    count(state, one_reading("b", 10), one_reading("b", 11))
    assert list(state.changes()) == [(b"b", encode_sensor_state(12, 3, 6, 0, 0))]


def test_a_refused_commit_keeps_the_changes_and_a_successful_one_ends_them():
    state = restored()
    count(state, one_reading("b", 10))
    refused = list(state.changes())
    assert list(state.changes()) == refused
    state.committed()
    assert list(state.changes()) == []


def test_sensors_that_never_filled_a_window_are_counted_until_they_do():
    state = restored()
    waiting = replace(one_reading("slow", 10), scored=np.array([False]))
    count(state, waiting)
    assert state.never_scored == 1
    count(state, one_reading("slow", 11))
    assert state.never_scored == 0


def test_a_sensor_forgotten_is_removed_once():
    state = restored()
    count(state, one_reading("c", 20, kept_from=8))
    assert list(state.changes()) == [(b"c", encode_sensor_state(21, 20, 1, 0, 0)), (b"b", None)]
    assert state.sensors == 2
    state.committed()
    assert list(state.changes()) == []


def test_at_least_once_a_forgotten_sensor_keeps_its_last_document_for_one_commit_more():
    """A commit that half happened must not have its last readings counted anew."""
    state = restored(guarantee=AT_LEAST)
    count(state, one_reading("b", 11), one_reading("c", 40, kept_from=20))
    last = (b"b", encode_sensor_state(12, 3, 5, 0, 0))
    assert last in list(state.changes())
    assert (b"b", None) not in list(state.changes())
    state.committed()
    assert list(state.changes()) == [(b"a", None), (b"b", None)]
    state.committed()
    assert list(state.changes()) == []


def test_at_least_once_a_forgotten_sensor_that_is_back_is_not_removed():
    state = restored(guarantee=AT_LEAST)
    count(state, one_reading("c", 40, kept_from=20))
    state.committed()
    count(state, one_reading("b", 41, kept_from=20))
    assert dict(state.changes()) == {b"a": None, b"b": encode_sensor_state(42, 41, 1, 0, 0)}
    state.committed()
    assert list(state.changes()) == []


def test_a_sensor_forgotten_and_back_before_the_commit_begins_anew():
    state = restored()
    count(state, one_reading("c", 20, kept_from=8), one_reading("b", 21, kept_from=8))
    assert dict(state.changes())[b"b"] == encode_sensor_state(22, 21, 1, 0, 0)


def test_a_record_counted_already_is_not_counted_again_at_least_once():
    state = restored(next_offset=5, guarantee=AT_LEAST)
    assert not state.cold
    count(state, one_reading("a", 9), one_reading("b", 6))
    assert list(state.changes()) == []
    count(state, one_reading("b", 7))
    assert list(state.changes()) == [(b"b", encode_sensor_state(8, 3, 5, 0, 0))]


def test_exactly_once_documents_ahead_of_the_offsets_are_of_another_past():
    state = restored(next_offset=9)
    assert "offsets were reset" in state.cold
    assert state.sensors == 0
    assert dict(state.changes()) == {b"a": None, b"b": None}


@pytest.mark.parametrize("guarantee", Guarantee)
def test_with_the_windows_cold_every_document_found_is_removed(guarantee):
    state = restored(cold="the topic was made anew", guarantee=guarantee)
    assert state.cold == "the topic was made anew"
    count(state, one_reading("b", 3))
    assert dict(state.changes()) == {b"a": None, b"b": encode_sensor_state(4, 3, 1, 0, 0)}


def test_a_first_start_without_documents_is_no_cold_start():
    assert not restored({}, next_offset=0, recorded=None, cold="nothing is committed").cold
    assert not restored({}, next_offset=0, recorded=0).cold


@pytest.mark.parametrize("recorded", [1, 3])
def test_another_number_of_documents_than_committed_is_named_and_they_are_kept(recorded):
    state = restored(recorded=recorded)
    assert f"2 documents were found, the commit counted {recorded}" in state.cold
    assert state.sensors == 2
    assert list(state.changes()) == []


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_lost_topic_is_named(guarantee):
    assert "0 documents were found" in restored({}, guarantee=guarantee).cold


def test_at_least_once_a_commit_that_half_happened_is_no_cold_start():
    assert not restored(recorded=3, guarantee=AT_LEAST).cold


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_commit_that_recorded_nothing_begins_anew_beside_documents(guarantee):
    """An older Vigie went on between: what it scored is in none of them."""
    state = restored(recorded=None, guarantee=guarantee)
    assert "recorded nothing" in state.cold
    assert dict(state.changes()) == dict.fromkeys(FOUND)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"c", FOUND[b"a"].replace(b'"v":2', b'"v":3')),
        (b"c", b"no document"),
        (b"c", b"\xff\xfe"),
        (b"\xff", FOUND[b"a"]),
    ],
)
def test_a_document_of_an_unknown_version_is_named_and_its_sensor_begins_anew(key, value):
    state = restored(FOUND | {key: value}, recorded=3)
    assert "1 documents are of a version" in state.cold
    assert state.sensors == 2
    assert dict(state.changes()) == {key: None}
