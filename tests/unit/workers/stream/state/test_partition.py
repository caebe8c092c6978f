"""The state machine between poll and commit: what it gives for which events."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.columns import Failure
from schemas.wire.errors import Stage
from tests.support.partitions import (
    batch_of,
    close,
    make_partition,
    reading,
    windows_of,
)
from workers.stream.state.partition import (
    IllegalEventError,
    PartitionConfig,
)


def test_nothing_is_scored_until_the_window_is_full() -> None:
    partition = make_partition(receptive_field=3)
    request = partition.polled(batch_of([reading("a", t) for t in (1, 2)]))
    assert request is not None
    assert len(request.samples.ends) == 0
    assert close(partition, 0).counts.warming_up == 2


def test_readings_that_only_windows_to_come_will_hold_are_named() -> None:
    partition = make_partition(receptive_field=3)
    records = [reading("a", 1, 1.0), reading("b", 1, 2.0), reading("a", 2, 3.0), reading("a", 2)]
    request = partition.polled(batch_of([*records, reading("a", 3, 4.0)], start=5))
    assert request is not None
    assert request.samples.unscored[:, 0].tolist() == [1.0, 3.0, 2.0]
    assert request.samples.unscored_offsets.tolist() == [5, 7, 6]


def test_a_window_is_the_last_r_readings_of_its_sensor() -> None:
    partition = make_partition(receptive_field=3)
    first = [reading("a", 1, 10.0), reading("b", 1, 90.0), reading("a", 2, 20.0)]
    partition.polled(batch_of(first))
    request = partition.polled(batch_of([reading("b", 2, 91.0), reading("a", 3, 30.0)], start=3))
    assert request is not None
    (end,) = request.samples.ends
    assert request.samples.rows[end - 2 : end + 1, 0].tolist() == [10.0, 20.0, 30.0]


def test_a_sensor_is_scored_from_its_warm_up_on_by_what_there_is() -> None:
    partition = make_partition(receptive_field=4, warm_up=2)
    records = [reading("a", 1, 10.0), reading("b", 5, 90.0), reading("a", 2, 20.0)]
    first = partition.polled(batch_of(records))
    assert first is not None
    assert dict(windows_of(first.samples)) == {(2, 0): [(1, 10.0), (2, 20.0)]}
    assert first.samples.unscored[:, 0].tolist() == [10.0, 90.0]
    assert (first.counts.scored, first.counts.scored_partially) == (1, 1)
    more = [reading("a", t, 10.0 * t) for t in (3, 4, 5)]
    second = partition.polled(batch_of(more, start=3))
    assert second is not None
    assert second.samples.lengths.tolist() == [3, 4, 4]
    assert second.samples.ends[0] < partition.config.receptive_field - 1
    assert dict(windows_of(second.samples))[5, 0] == [(2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert (second.counts.scored, second.counts.scored_partially) == (3, 1)


def test_a_window_does_not_reach_back_behind_a_restart() -> None:
    partition = make_partition(receptive_field=4, warm_up=2, max_gap_ns=10)
    request = partition.polled(batch_of([reading("a", t) for t in (0, 1, 2, 90, 91, 92)]))
    assert request is not None
    assert request.samples.lengths.tolist() == [2, 3, 2, 3]
    after = partition.polled(batch_of([reading("a", t) for t in (93, 94)], start=6))
    assert after is not None
    assert after.samples.lengths.tolist() == [4, 4]


@pytest.mark.parametrize("warm_up", [0, 4])
def test_a_warm_up_outside_the_window_is_rejected(warm_up: int) -> None:
    with pytest.raises(ValueError, match=r"warm_up must be in 1\.\.3"):
        make_partition(receptive_field=3, warm_up=warm_up)


def test_late_and_duplicate_readings_are_dropped_and_counted() -> None:
    partition = make_partition(receptive_field=1)
    times = [5, 6, 6, 4, 6, 7]
    partition.polled(batch_of([reading("a", t) for t in times]))
    done = close(partition, 0)
    assert done.samples.ts_ns.tolist() == [5, 6, 7]
    assert (done.counts.duplicate, done.counts.late) == (2, 1)
    assert done.counts.reconciled


def test_a_gap_longer_than_allowed_restarts_the_warm_up() -> None:
    partition = make_partition(receptive_field=2, max_gap_ns=10)
    partition.polled(batch_of([reading("a", t) for t in (0, 10, 21, 31)]))
    done = close(partition, 0)
    assert done.samples.ts_ns.tolist() == [10, 31]
    assert done.counts.gaps == 1


def test_a_gap_between_batches_restarts_the_warm_up_too() -> None:
    partition = make_partition(receptive_field=2, max_gap_ns=10)
    partition.polled(batch_of([reading("a", 0)]))
    partition.polled(batch_of([reading("a", 11), reading("a", 12)], start=1))
    close(partition, 0)
    assert close(partition, 1).samples.ts_ns.tolist() == [12]


def test_a_gap_is_measured_from_the_last_accepted_reading() -> None:
    """A late reading between two others must not hide the gap."""
    partition = make_partition(receptive_field=1, max_gap_ns=10)
    partition.polled(batch_of([reading("a", t) for t in (100, 95, 105, 95, 116)]))
    assert close(partition, 0).counts.gaps == 1


def test_failures_name_the_position_of_their_record() -> None:
    partition = make_partition(receptive_field=1)
    failure = Failure(position=1, stage=Stage.DECODE, exception="ValueError", message="no")
    records = [reading("a", 1), None, reading("a", 2)]
    partition.polled(batch_of(records, start=40, failures=[failure]))
    done = close(partition, 0)
    assert [40 + failure.position for failure in done.failures] == [41]
    assert done.next_offset == 43
    assert (done.counts.records, done.counts.dead_lettered, done.counts.readings) == (3, 1, 2)


def test_the_restore_begins_at_the_oldest_reading_in_any_history() -> None:
    partition = make_partition(receptive_field=3)
    partition.polled(batch_of([reading("slow", 1)] + [reading("a", t) for t in range(1, 6)]))
    assert close(partition, 0).restore_point.restore_from == 0
    partition.polled(
        batch_of([reading("slow", t) for t in (2, 3)] + [reading("a", t) for t in (6, 7)], start=6)
    )
    assert close(partition, 1).restore_point.restore_from == 6


def test_a_restore_gives_no_work_and_counts_as_restored() -> None:
    partition = make_partition(receptive_field=2, next_offset=2)
    assert partition.polled(batch_of([reading("a", 1)])) is None
    request = partition.polled(batch_of([reading("a", t) for t in (2, 3)], start=1))
    assert request is not None
    done = close(partition, 0)
    assert done.samples.ts_ns.tolist() == [3]
    assert (done.counts.records, done.counts.restored) == (1, 2)


def test_a_bad_record_in_the_restore_is_not_dead_lettered_again() -> None:
    partition = make_partition(receptive_field=1, next_offset=2)
    bad = [Failure(position=p, stage=Stage.DECODE, exception="E", message="") for p in (0, 2)]
    partition.polled(batch_of([None, reading("a", 1), None], failures=bad))
    done = close(partition, 0)
    assert [failure.position for failure in done.failures] == [2]


def test_scores_out_of_turn_are_refused_and_change_nothing() -> None:
    partition = make_partition(receptive_field=1)
    partition.polled(batch_of([reading("a", 1)]))
    partition.polled(batch_of([reading("a", 2)], start=1))
    with pytest.raises(IllegalEventError, match="oldest open one is 0"):
        close(partition, 1)
    assert partition.open_requests == 2
    assert close(partition, 0).samples.ts_ns.tolist() == [1]


def test_an_offset_polled_twice_is_refused() -> None:
    partition = make_partition(receptive_field=1)
    partition.polled(batch_of([reading("a", 1)]))
    with pytest.raises(IllegalEventError, match="offset 0 was polled after 0"):
        partition.polled(batch_of([reading("a", 1)]))


def test_more_sensors_than_rows_make_room() -> None:
    partition = make_partition(receptive_field=2)
    names = [f"s{i}" for i in range(300)]
    partition.polled(batch_of([reading(name, 1, float(i)) for i, name in enumerate(names)]))
    request = partition.polled(batch_of([reading(name, 2) for name in names], start=300))
    assert request is not None
    assert request.samples.rows[request.samples.ends - 1, 0].tolist() == list(
        map(float, range(300))
    )


@pytest.mark.parametrize(("field", "gap"), [(0, 1), (1, 0)])
def test_a_partition_without_a_window_or_a_gap_is_refused(field: int, gap: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        PartitionConfig(partition=0, channels=1, receptive_field=field, max_gap_ns=gap)


def test_a_frame_counts_its_readings_within_the_record() -> None:
    partition = make_partition(receptive_field=1)
    partition.polled(batch_of([[reading("a", t) for t in (1, 2, 3)], reading("a", 4)], start=7))
    done = close(partition, 0)
    assert done.samples.offsets.tolist() == [7, 7, 7, 8]
    assert done.samples.indices.tolist() == [0, 1, 2, 0]
    assert np.array_equal(done.samples.ts_ns, [1, 2, 3, 4])


@pytest.mark.parametrize("stage", Stage)
def test_dead_letters_are_counted_by_the_stage_at_which_they_failed(stage: Stage) -> None:
    partition = make_partition(receptive_field=1)
    bad = [Failure(position=p, stage=stage, exception="E", message="") for p in (0, 2)]
    partition.polled(batch_of([None, reading("a", 1), None], failures=bad))
    counts = close(partition, 0).counts
    assert (counts.dead_lettered, counts.bad) == (2, {stage: 2})


def test_missing_values_are_counted_and_the_reading_is_scored() -> None:
    partition = make_partition(receptive_field=1)
    partition.polled(batch_of([reading("a", 1, np.nan), reading("a", 2), reading("b", 1, np.nan)]))
    counts = close(partition, 0).counts
    assert (counts.missing, counts.scored) == (2, 3)
    assert counts.reconciled


def test_what_retention_deletes_under_a_reader_is_counted() -> None:
    partition = make_partition(receptive_field=2, next_offset=5)
    partition.deleted(3)  # of the restore
    partition.polled(batch_of([reading("a", 3), reading("a", 4)], start=3))
    partition.deleted(10)
    request = partition.polled(batch_of([reading("a", 15)], start=15))
    assert request is not None
    counts = close(partition, request.number).counts
    assert (counts.clamped, counts.lost, counts.restored, counts.records) == (3, 10, 2, 1)
