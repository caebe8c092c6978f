"""Where a partition begins, for every state in which a group and a log can be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.wire.limits import MAX_NAME_CHARS
from workers.stream.state.restore import (
    MAX_BYTES,
    MetadataTooLargeError,
    ModelVersion,
    RestorePlan,
    RestorePoint,
    decode_metadata,
    plan_restore,
)
from workers.stream.state.state_ttl import TtlWindows

MODEL = ModelVersion("pumps", "2026-11")
CUTS = TtlWindows(previous=10, current=25, since_ms=900, latest_ms=1700)
METADATA = RestorePoint(
    restore_from=20,
    receptive_field=8,
    ttl=CUTS,
    poison=(12, 30),
    topic="abc",
    model=MODEL,
)
VERSION_2 = (
    '{"v":2,"replay_from":20,"r":8,"stretches":[10,25,900,1700],"poison":[2,18],"topic":"abc"}'
)
FIELDS: dict[str, Any] = json.loads(METADATA.encode())


def begin(committed: tuple[int, str] | None, **log: Any) -> RestorePlan:
    return plan_restore(committed, receptive_field=log.pop("receptive_field", 8), **log)


def test_metadata_reads_back() -> None:
    assert decode_metadata(METADATA.encode()) == METADATA


def test_version_2_is_read_and_names_no_model() -> None:
    assert decode_metadata(VERSION_2) == replace(METADATA, model=None)


def test_the_longest_names_of_a_model_leave_room_for_poison() -> None:
    model = ModelVersion("\N{OGHAM LETTER BEITH}" * MAX_NAME_CHARS, "v" * MAX_NAME_CHARS)
    metadata = replace(METADATA, model=model, poison=tuple(range(10, 10**6, 2000)))
    assert len(metadata.encode().encode()) <= MAX_BYTES
    assert decode_metadata(metadata.encode()) == metadata


def test_the_largest_numbers_read_back() -> None:
    last = 2**63 - 1
    cuts = TtlWindows(previous=last - 1, current=last, since_ms=last, latest_ms=last)
    metadata = RestorePoint(
        restore_from=last, receptive_field=4096, ttl=cuts, poison=(last - 1, last)
    )
    assert decode_metadata(metadata.encode()) == metadata


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "7", "null", '{"v":1,"restore_from":1,"r":8}', '{"v":2}', "[" * 4000,
     '{"v":2,"replay_from":' + "9" * 4000],
)  # fmt: skip
def test_foreign_metadata_is_not_ours(text: str) -> None:
    assert decode_metadata(text) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", 4), ("v", True), ("v", "3"), ("restore_from", -1), ("restore_from", "1"),
        ("restore_from", True), ("restore_from", 2**63), ("restore_from", 9), ("r", 1.5),
        ("ttl", None), ("ttl", [1, 2, 3]), ("ttl", [25, 10, 0, 0]),
        ("ttl", [-1, 10, 0, 0]), ("ttl", [1, 2, 3, -2]), ("poison", 7),
        ("poison", [-1]), ("poison", ["1"]), ("topic", ...), ("r", None),
        ("model", ...), ("model", ["name"]), ("model", [1, 2]), ("model", 7),
    ],
)  # fmt: skip
def test_damaged_metadata_is_not_ours(name: str, value: Any) -> None:
    fields = {key: FIELDS[key] for key in FIELDS if key != name}
    if value is not ...:
        fields[name] = value
    assert decode_metadata(json.dumps(fields)) is None


def test_unknown_fields_are_ignored() -> None:
    assert decode_metadata(json.dumps({**FIELDS, "snapshot": [1, 2]})) == METADATA


def test_metadata_too_large_for_a_commit_says_what_to_do() -> None:
    def with_poison(count: int) -> RestorePoint:
        return RestorePoint(
            restore_from=2**40,
            receptive_field=8,
            ttl=TtlWindows(previous=2**40, current=2**40 + 5, since_ms=0, latest_ms=0),
            poison=tuple(range(2**40, 2**40 + 1000 * count, 1000)),
            topic="abc",
        )

    fits = with_poison(700)
    assert len(fits.encode().encode()) <= MAX_BYTES
    assert decode_metadata(fits.encode()) == fits
    with pytest.raises(MetadataTooLargeError, match=r"1000 records .*stream\.max_restore_records"):
        with_poison(1000).encode()


def test_a_commit_is_restored_from_its_oldest_reading() -> None:
    point = begin((50, METADATA.encode()), beginning=0, end=100, fresh="earliest", topic="abc")
    assert point == RestorePlan(
        read_from=20, next_offset=50, ttl=CUTS, poison=frozenset({12, 30}), model=MODEL
    )


@pytest.mark.parametrize(("fresh", "offset"), [("earliest", 3), ("latest", 9)])
def test_a_new_group_begins_where_it_was_told_to(fresh: str, offset: int) -> None:
    point = begin(None, beginning=3, end=9, fresh=fresh)
    assert point == RestorePlan(
        read_from=offset,
        next_offset=offset,
        ttl=TtlWindows(previous=offset, current=offset),
    )


def test_the_first_commit_says_where_the_first_window_begins() -> None:
    point = begin(None, beginning=3, end=9, fresh="latest")
    text = RestorePoint(restore_from=9, receptive_field=8, ttl=point.ttl, topic="abc").encode()
    assert begin((9, text), beginning=3, end=40, fresh="latest", topic="abc") == point


def test_foreign_metadata_starts_cold_at_the_committed_offset() -> None:
    point = begin((5, "theirs"), beginning=0, end=9, fresh="latest")
    assert (point.read_from, point.next_offset, point.ttl.previous) == (5, 5, 5)
    assert "no restore point" in point.cold


def test_metadata_of_a_later_offset_starts_cold() -> None:
    """Somebody moved the group back and kept the text."""
    point = begin((20, METADATA.encode()), beginning=0, end=90, fresh="latest")
    assert (point.read_from, point.next_offset, point.ttl.current) == (20, 20, 20)
    assert "no restore point" in point.cold


def test_history_that_retention_deleted_is_clamped_told_and_counted() -> None:
    point = begin((50, METADATA.encode()), beginning=30, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset, point.ttl) == (30, 50, CUTS)
    assert "offsets 20 to 29" in point.cold
    assert (point.clamped, point.lost) == (10, 0)


def test_unread_records_that_retention_deleted_are_told_and_counted() -> None:
    point = begin((50, METADATA.encode()), beginning=60, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset, point.ttl.previous) == (60, 60, 60)
    assert "50 to 59 unread" in point.cold
    assert (point.clamped, point.lost) == (0, 10)


def test_a_shorter_topic_was_made_anew_and_is_read_from_its_beginning() -> None:
    point = begin((50, METADATA.encode()), beginning=0, end=10, fresh="latest")
    assert (point.read_from, point.next_offset) == (0, 0)
    assert "made anew" in point.cold


def test_the_same_topic_that_lost_its_end_is_not_read_from_its_beginning() -> None:
    """An unclean election, or a broker that does not know yet that it leads no more."""
    point = begin((50, METADATA.encode()), beginning=0, end=45, fresh="latest", topic="abc")
    assert (point.read_from, point.next_offset) == (45, 45)
    assert point.ttl == TtlWindows(previous=45, current=45)
    assert "cut off" in point.cold


def test_a_topic_made_anew_and_refilled_is_known_by_its_id() -> None:
    point = begin((50, METADATA.encode()), beginning=2, end=100, fresh="latest", topic="def")
    assert point == RestorePlan(
        read_from=2,
        next_offset=2,
        ttl=TtlWindows(previous=2, current=2),
        cold="the commit was made for the topic of id abc, this one is def: "
        "the topic was made anew, its readings are scored from the beginning",
    )


@pytest.mark.parametrize(("committed", "now"), [("abc", ""), ("", "def"), ("", ""), ("abc", "abc")])
def test_a_topic_without_an_id_is_taken_for_the_same(committed: str, now: str) -> None:
    metadata = RestorePoint(restore_from=20, receptive_field=8, ttl=CUTS, topic=committed)
    point = begin((50, metadata.encode()), beginning=0, end=100, fresh="latest", topic=now)
    assert (point.read_from, point.next_offset, point.cold) == (20, 50, "")


@pytest.mark.parametrize(("receptive_field", "read_from"), [(4, 20), (8, 20), (9, 10)])
def test_a_model_with_longer_windows_reads_all_that_is_remembered(
    receptive_field: int, read_from: int
) -> None:
    committed = (50, METADATA.encode())
    point = begin(committed, beginning=0, end=100, fresh="latest", receptive_field=receptive_field)
    assert (point.read_from, point.next_offset, point.cold) == (read_from, 50, "")
