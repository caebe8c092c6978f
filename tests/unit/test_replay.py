"""Where a partition begins, for every state in which a group and a log can be."""

from __future__ import annotations

from typing import Any

import pytest

from workers.stream.replay import ReplayMetadata, StartingPoint, decode_metadata, starting_point


def begin(committed: tuple[int, str] | None, **log: Any) -> StartingPoint:
    return starting_point(committed, receptive_field=8, **log)


def at(next_offset: int, replay_from: int) -> tuple[int, str]:
    return next_offset, ReplayMetadata(replay_from=replay_from, receptive_field=8).encode()


def test_metadata_reads_back() -> None:
    metadata = ReplayMetadata(replay_from=2**62, receptive_field=4096)
    assert decode_metadata(metadata.encode()) == metadata


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "7", '{"v":2,"replay_from":1}', '{"v":1}', '{"v":1,"replay_from":-1}',
     '{"v":1,"replay_from":1}', '{"v":1,"replay_from":"1","r":1}', "[" * 4000,
     '{"v":1,"replay_from":1,"r":1.5}', '{"v":1,"replay_from":true,"r":1}'],
)  # fmt: skip
def test_foreign_metadata_is_not_ours(text: str) -> None:
    assert decode_metadata(text) is None


def test_a_commit_is_replayed_from_its_oldest_reading() -> None:
    point = begin(at(50, 20), beginning=0, end=100, fresh="earliest")
    assert point == StartingPoint(read_from=20, next_offset=50)


@pytest.mark.parametrize(("fresh", "offset"), [("earliest", 3), ("latest", 9)])
def test_a_new_group_begins_where_it_was_told_to(fresh: str, offset: int) -> None:
    point = begin(None, beginning=3, end=9, fresh=fresh)
    assert point == StartingPoint(read_from=offset, next_offset=offset)


def test_foreign_metadata_starts_cold_at_the_committed_offset() -> None:
    point = begin((5, "theirs"), beginning=0, end=9, fresh="latest")
    assert (point.read_from, point.next_offset) == (5, 5)
    assert "no replay metadata" in point.cold


def test_history_that_retention_deleted_is_clamped_and_told() -> None:
    point = begin(at(50, 20), beginning=30, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset) == (30, 50)
    assert "offsets 20 to 29" in point.cold


def test_unread_records_that_retention_deleted_are_told() -> None:
    point = begin(at(50, 20), beginning=60, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset) == (60, 60)
    assert "50 to 59 unread" in point.cold


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    point = begin(at(50, 20), beginning=0, end=10, fresh="latest")
    assert (point.read_from, point.next_offset) == (0, 0)
    assert "made anew" in point.cold


def test_a_model_with_longer_windows_says_that_they_fill_up_first() -> None:
    point = starting_point(at(50, 20), beginning=0, end=100, fresh="latest", receptive_field=16)
    assert (point.read_from, point.next_offset) == (20, 50)
    assert "windows of 8 readings, this model needs 16" in point.cold
