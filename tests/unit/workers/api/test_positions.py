"""Where the group stands, from what the broker says."""

from __future__ import annotations

from workers.api.positions import Position, positions_of
from workers.kafka.admin import Group, Member
from workers.kafka.client import CommittedOffset
from workers.stream.state.restore import RestorePoint
from workers.stream.state.state_ttl import TtlWindows


def make_group(committed: dict[int, CommittedOffset]) -> Group:
    member = Member(client_id="vigie-source", partitions=(0, 1))
    return Group(name="vigie", state="Stable", members=(member,), committed=committed)


def test_lag_is_end_less_next_offset_and_counts_from_the_beginning_without_a_commit():
    bounds = {("r", 0): (10, 50), ("r", 1): (5, 30), ("other", 0): (0, 99)}
    ttl = TtlWindows.beginning_at(31)
    text = RestorePoint(restore_from=31, receptive_field=8, ttl=ttl).encode()
    group = make_group({0: CommittedOffset(next_offset=40, metadata=text)})

    assert positions_of(group, bounds, "r") == [
        Position(
            partition=0, beginning=10, end=50, next_offset=40, lag=10, restore_from=31,
            member="vigie-source",
        ),
        Position(
            partition=1, beginning=5, end=30, next_offset=None, lag=25, restore_from=None,
            member="vigie-source",
        ),
    ]  # fmt: skip


def test_what_retention_has_deleted_is_no_lag():
    group = make_group({0: CommittedOffset(next_offset=3, metadata="of another program")})

    (position,) = positions_of(group, {("r", 0): (10, 12)}, "r")

    assert (position.lag, position.restore_from) == (2, None)
