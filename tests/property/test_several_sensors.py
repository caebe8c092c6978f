"""A record of several sensors is its readings one by one, restarts included."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.support.partitions import (
    Sample,
    Window,
    batch_of,
    close,
    make_partition,
    windows_of,
)
from workers.stream.state.partition import PartitionState

MAX_GAP_NS = 20
SAMPLES = st.builds(
    Sample,
    sensor=st.sampled_from("abc"),
    ts_ns=st.integers(0, 9),
    value=st.floats(-10, 10, allow_nan=False),
)
# Times drift, so that most readings are new, some late, and some come twice.
RECORDS = st.lists(st.lists(SAMPLES, min_size=1, max_size=6), min_size=1, max_size=25).map(
    lambda records: [
        [sample._replace(ts_ns=sample.ts_ns + 4 * i) for sample in record]
        for i, record in enumerate(records)
    ]
)
Windows = dict[tuple[int, int], Window]


def feed(
    partition: PartitionState, records: Sequence[Sequence[Sample]], cuts: Sequence[int], start: int
) -> tuple[Windows, int, int]:
    """Windows by offset and index, and where to go on: the next offset, and from where to read."""
    windows: Windows = {}
    ends = (partition.next_offset, partition.next_offset)
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    for low, high in itertools.pairwise(edges):
        request = partition.polled(batch_of(records[low:high], start=start + low))
        if request is None:
            continue
        new = dict(windows_of(request.samples))
        assert not windows.keys() & new.keys()
        windows |= new
        done = close(partition, request.number)
        assert done.counts.reconciled
        ends = done.next_offset, done.restore_point.restore_from
    return windows, *ends


def reference(records: Sequence[Sequence[Sample]], size: int) -> Windows:
    """The policies, reading by reading."""
    windows: Windows = {}
    last: dict[str, int] = {}
    held: dict[str, Window] = {}
    for offset, record in enumerate(records):
        for index, sample in enumerate(record):
            before = last.get(sample.sensor)
            if before is not None and sample.ts_ns <= before:
                continue
            if before is not None and sample.ts_ns - before > MAX_GAP_NS:
                held[sample.sensor] = []
            last[sample.sensor] = sample.ts_ns
            window = [*held.get(sample.sensor, []), (sample.ts_ns, sample.value)][-size:]
            held[sample.sensor] = window
            if len(window) == size:
                windows[offset, index] = window
    return windows


@given(records=RECORDS, cuts=st.lists(st.integers(1, 25), max_size=5), size=st.integers(1, 4))
def test_a_record_of_several_sensors_is_its_readings_one_by_one(records, cuts, size):
    partition = make_partition(receptive_field=size, max_gap_ns=MAX_GAP_NS)
    windows, *_ = feed(partition, records, cuts, 0)
    assert windows == reference(records, size)


@given(records=RECORDS, stop=st.integers(1, 25), size=st.integers(1, 4))
def test_a_restart_changes_no_window_of_such_records(records, stop, size):
    stop = min(stop, len(records))
    before, next_offset, restore_from = feed(
        make_partition(receptive_field=size, max_gap_ns=MAX_GAP_NS), records[:stop], [], 0
    )
    restarted = make_partition(receptive_field=size, max_gap_ns=MAX_GAP_NS, next_offset=next_offset)
    after, *_ = feed(restarted, records[restore_from:], [], restore_from)
    assert before | after == reference(records, size)
