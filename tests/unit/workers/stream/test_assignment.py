"""What is committed when a partition is taken up, or its work is done."""

from __future__ import annotations

import pytest

from workers.errors import RunEndedError
from workers.stream.assignment import position
from workers.stream.state.restore import MAX_BYTES, RestorePoint, decode_metadata
from workers.stream.state.state_ttl import Stretches


def metadata(*, poison: int) -> RestorePoint:
    return RestorePoint(
        replay_from=0,
        receptive_field=8,
        stretches=Stretches.beginning_at(0),
        poison=tuple(range(0, 1000 * poison, 1000)),
    )


def test_a_position_carries_what_a_replay_needs() -> None:
    committed = position(7, metadata(poison=3))
    assert committed.next_offset == 7
    assert decode_metadata(committed.metadata) == metadata(poison=3)


def test_more_than_fits_into_a_commit_ends_the_run() -> None:
    with pytest.raises(RunEndedError, match=r"lower stream\.max_restore_records"):
        position(7, metadata(poison=MAX_BYTES))
