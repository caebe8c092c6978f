"""One partition of a worker: its stages, and its part of a commit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.settings import StreamSettings
from tests.support.partitions import batch_of, make_partition, reading
from workers.errors import RunEndedError
from workers.kafka.client import CommittedOffset
from workers.stream.dead_letter_limit import DeadLetterLimit
from workers.stream.owned_partition import OwnedPartition, PartitionRequest, PartitionStage
from workers.stream.state.partition import IllegalEventError, PartitionState
from workers.stream.state.restore import MAX_BYTES, RestorePlan, decode_metadata


def make_state(*, next_offset: int, poison: int = 0) -> PartitionState:
    plan = replace(RestorePlan.cold_at(0), next_offset=next_offset)
    poisoned = frozenset(range(0, 1000 * poison, 1000))
    return make_partition(receptive_field=1, start=replace(plan, poison=poisoned))


def make_owned() -> OwnedPartition:
    return OwnedPartition(3, DeadLetterLimit(3, StreamSettings()))


def poll(owned: OwnedPartition, offset: int) -> PartitionRequest | None:
    return owned.polled(batch_of([reading("a", offset)], start=offset), [])


def test_it_restores_until_the_first_record_to_score_and_is_live_then():
    owned = make_owned()
    owned.opened(make_state(next_offset=1))
    stages = []
    for offset in (0, 1):
        poll(owned, offset)
        stages.append(owned.stage)
    owned.rewound()
    stages.append(owned.stage)
    assert stages == [PartitionStage.RESTORING, PartitionStage.LIVE, PartitionStage.ASSIGNED]
    assert not owned.is_open


def test_an_illegal_event_raises_and_changes_nothing():
    owned = make_owned()
    with pytest.raises(IllegalEventError, match="partition 3 is assigned, not open"):
        poll(owned, 0)
    owned.opened(make_state(next_offset=0))
    with pytest.raises(IllegalEventError, match="from restoring to restoring"):
        owned.opened(make_state(next_offset=0))
    owned.revoked()
    for event in (owned.rewound, owned.revoked):
        with pytest.raises(IllegalEventError, match="from revoked"):
            event()
    assert owned.stage is PartitionStage.REVOKED


def test_what_it_commits_carries_what_a_restore_needs():
    owned = make_owned()
    owned.initial = make_state(next_offset=7, poison=3)
    committed = owned.committing()
    assert committed.next_offset == 7
    assert decode_metadata(committed.metadata) == owned.initial.restore_point


def test_more_than_fits_into_a_commit_ends_the_run():
    owned = make_owned()
    owned.initial = make_state(next_offset=7, poison=MAX_BYTES)
    with pytest.raises(RunEndedError, match=r"lower stream\.max_restore_records"):
        owned.committing()


@pytest.mark.parametrize(("next_offset", "counted"), [(1, 1), (0, 0), (2, 0), (None, 0)])
def test_a_commit_of_unknown_outcome_counts_if_the_committed_offset_says_so(next_offset, counted):
    owned = make_owned()
    owned.opened(make_state(next_offset=0))
    asked = poll(owned, 0)
    assert asked is not None
    owned.work.append((asked, None))  # type: ignore[arg-type]
    owned.committing()
    owned.rewound()
    assert owned.is_in_doubt
    at = None if next_offset is None else CommittedOffset(next_offset=next_offset)
    assert owned.settled(at).records == counted
    assert not owned.is_in_doubt
