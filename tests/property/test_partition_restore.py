"""Promise 1 without Kafka: however a stream is cut and restarted, the windows are the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

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
from workers.stream.state.counts import Counts
from workers.stream.state.partition import PartitionState

MAX_GAP_NS = 20

# Few sensors and close times, so that duplicates, late readings, gaps and full windows are common.
SAMPLES = st.builds(
    Sample,
    sensor=st.sampled_from("abc"),
    ts_ns=st.integers(0, 120),
    value=st.floats(-10, 10, allow_nan=False),
)
DRIFTING = st.integers(0, 80).flatmap(
    lambda n: st.lists(SAMPLES, min_size=n, max_size=n).map(
        lambda samples: [s._replace(ts_ns=s.ts_ns // 4 + 3 * i) for i, s in enumerate(samples)]
    )
)
RECORDS = st.one_of(DRIFTING, st.lists(SAMPLES, max_size=60))
FIELDS = st.integers(1, 6)


@dataclass
class Fed:
    """What a partition gave: windows in order of offset, and the last offsets to commit."""

    windows: dict[int, Window] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    next_offset: int = 0
    restore_from: int = 0


def feed(
    partition: PartitionState, samples: Sequence[Sample], cuts: Sequence[int], *, start: int = 0
) -> Fed:
    fed = Fed(next_offset=partition.next_offset, restore_from=partition.next_offset)
    edges = sorted({0, len(samples), *(c for c in cuts if 0 < c < len(samples))})
    for low, high in itertools.pairwise(edges):
        request = partition.polled(batch_of(samples[low:high], start=start + low))
        if request is None:
            continue
        done = close(partition, request.number)
        fed.windows |= {offset: window for (offset, _), window in windows_of(request.samples)}
        fed.counts += done.counts
        fed.next_offset, fed.restore_from = done.next_offset, done.restore_point.restore_from
    return fed


def reference(samples: Sequence[Sample], size: int, warm_up: int) -> dict[int, Window]:
    """The policies, reading by reading."""
    windows: dict[int, Window] = {}
    last: dict[str, int] = {}
    held: dict[str, Window] = {}
    for offset, sample in enumerate(samples):
        before = last.get(sample.sensor)
        if before is not None and sample.ts_ns <= before:
            continue
        if before is not None and sample.ts_ns - before > MAX_GAP_NS:
            held[sample.sensor] = []
        last[sample.sensor] = sample.ts_ns
        window = [*held.get(sample.sensor, []), (sample.ts_ns, sample.value)][-size:]
        held[sample.sensor] = window
        if len(window) >= warm_up:
            windows[offset] = window
    return windows


@given(samples=RECORDS, cuts=st.lists(st.integers(1, 80), max_size=8), size=FIELDS, warm_up=FIELDS)
def test_the_batches_do_not_matter(
    samples: list[Sample], cuts: list[int], size: int, warm_up: int
) -> None:
    warm_up = min(warm_up, size)
    partition = make_partition(receptive_field=size, warm_up=warm_up, max_gap_ns=MAX_GAP_NS)
    fed = feed(partition, samples, cuts)
    assert fed.windows == reference(samples, size, warm_up)
    assert fed.counts.reconciled
    assert fed.counts.records == fed.counts.readings == len(samples)
    assert fed.counts.scored == len(fed.windows)


@given(
    samples=RECORDS,
    kills=st.lists(st.integers(1, 80), max_size=4),
    cuts=st.lists(st.integers(1, 80), max_size=6),
    size=FIELDS,
    warm_up=FIELDS,
)
def test_restarts_change_no_window(
    samples: list[Sample], kills: list[int], cuts: list[int], size: int, warm_up: int
) -> None:
    """Killed after any commit and restored from its metadata, again and again."""
    windows: dict[int, Window] = {}
    warm_up = min(warm_up, size)
    next_offset = restore_from = 0
    edges = sorted({*(k for k in kills if k < len(samples)), len(samples)})
    for edge in edges:
        restarted = make_partition(
            receptive_field=size,
            warm_up=warm_up,
            max_gap_ns=MAX_GAP_NS,
            next_offset=next_offset,
        )
        fed = feed(
            restarted,
            samples[restore_from:edge],
            [cut - restore_from for cut in cuts],
            start=restore_from,
        )
        assert not windows.keys() & fed.windows.keys()
        windows |= fed.windows
        next_offset, restore_from = fed.next_offset, fed.restore_from
    assert windows == reference(samples, size, warm_up)
