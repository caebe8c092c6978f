"""Where a partition begins, for every state in which a group and a log can be."""

from __future__ import annotations

import pytest

from workers.stream.replay import ReplayMetadata, StartingPoint, decode_metadata, starting_point


def at(next_offset: int, replay_from: int) -> tuple[int, str]:
    return next_offset, ReplayMetadata(replay_from=replay_from).encode()


def test_metadata_reads_back() -> None:
    assert decode_metadata(ReplayMetadata(replay_from=2**62).encode()) == ReplayMetadata(
        replay_from=2**62
    )


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "7", '{"v":2,"replay_from":1}', '{"v":1}', '{"v":1,"replay_from":-1}',
     '{"v":1,"replay_from":"1"}', '{"v":1,"replay_from":true}', '{"v":1,"replay_from":1.5}'],
)  # fmt: skip
def test_foreign_metadata_is_not_ours(text: str) -> None:
    assert decode_metadata(text) is None


def test_a_commit_is_replayed_from_its_oldest_reading() -> None:
    point = starting_point(at(50, 20), beginning=0, end=100, fresh="earliest")
    assert point == StartingPoint(read_from=20, next_offset=50)


@pytest.mark.parametrize(("fresh", "offset"), [("earliest", 3), ("latest", 9)])
def test_a_new_group_begins_where_it_was_told_to(fresh: str, offset: int) -> None:
    point = starting_point(None, beginning=3, end=9, fresh=fresh)
    assert point == StartingPoint(read_from=offset, next_offset=offset)


def test_foreign_metadata_starts_cold_at_the_committed_offset() -> None:
    point = starting_point((5, "theirs"), beginning=0, end=9, fresh="latest")
    assert (point.read_from, point.next_offset) == (5, 5)
    assert "no replay metadata" in point.cold


def test_history_that_retention_deleted_is_clamped_and_told() -> None:
    point = starting_point(at(50, 20), beginning=30, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset) == (30, 50)
    assert "offsets 20 to 29" in point.cold


def test_unread_records_that_retention_deleted_are_told() -> None:
    point = starting_point(at(50, 20), beginning=60, end=100, fresh="earliest")
    assert (point.read_from, point.next_offset) == (60, 60)
    assert "50 to 59 unread" in point.cold


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    point = starting_point(at(50, 20), beginning=0, end=10, fresh="latest")
    assert (point.read_from, point.next_offset) == (0, 0)
    assert "made anew" in point.cold
