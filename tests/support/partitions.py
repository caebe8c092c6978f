"""Short ways to make partitions and batches of readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from detector.scoring import Scores
from schemas.columns import Failure, Readings
from workers.stream.state.history import Samples
from workers.stream.state.partition import Batch, PartitionConfig, PartitionState, ScoreRequest
from workers.stream.state.restore import RestorePlan
from workers.stream.state.state_ttl import UNLIMITED, StateTtl
from workers.stream.state.stream_state import StreamState

FAR_APART_NS = 10**15
NONE_FLAGGED = np.empty(0, np.int64)

Window = list[tuple[int, float]]
"""Time and value of each reading that a sample is scored by."""


class Sample(NamedTuple):
    sensor: str
    ts_ns: int
    value: float


def reading(sensor: str, ts_ns: int, value: float = 0.0) -> Sample:
    return Sample(sensor, ts_ns, value)


def make_partition(
    *,
    receptive_field: int,
    warm_up: int | None = None,
    max_gap_ns: int = FAR_APART_NS,
    next_offset: int = 0,
    start: RestorePlan | None = None,
    max_restore_records: int = UNLIMITED,
    max_restore_age_ms: int = UNLIMITED,
) -> PartitionState:
    """A partition of one channel; what lies below `next_offset` restores windows."""
    config = PartitionConfig(
        partition=0,
        channels=1,
        receptive_field=receptive_field,
        warm_up=warm_up,
        max_gap_ns=max_gap_ns,
        state_ttl=StateTtl(
            max_restore_records=max_restore_records, max_restore_age_ms=max_restore_age_ms
        ),
    )
    if start is None:
        begin = RestorePlan.cold_at(0)
        start = replace(begin, next_offset=next_offset)
    return PartitionState(config, start, group_of=lambda _: 0)


def flags(n: int, flagged: NDArray[np.int64] = NONE_FLAGGED) -> Scores:
    """Scores of n samples of no channel, of which these are flagged."""
    none = np.zeros(n, np.float32)
    return Scores(
        score=none.astype(np.float64),
        raw=none,
        p_value=none,
        expected=np.zeros((n, 0)),
        denoised=np.zeros((n, 0)),
        flagged=flagged,
        contribution=np.zeros((n, 0), np.float32),
        latent=np.zeros((n, 0), np.float32),
        levels=np.full((n, 2), np.nan),
        partial=np.zeros(n, np.bool_),
    )


def close(
    state: StreamState, number: int, flagged: NDArray[np.int64] = NONE_FLAGGED
) -> ScoreRequest:
    """Have the oldest request of a state scored, with nothing flagged but this."""
    requests = state._open  # type: ignore[attr-defined]
    n = len(requests[0].samples.ends) if requests else 0
    return cast("ScoreRequest", state.scored(number, flags(n, flagged)).request)


def windows_of(samples: Samples) -> Iterator[tuple[tuple[int, int], Window]]:
    """The window of each sample, by offset and index."""
    places = zip(samples.offsets.tolist(), samples.indices.tolist(), strict=True)
    spans = zip(samples.ends.tolist(), samples.lengths.tolist(), strict=True)
    for place, (end, length) in zip(places, spans, strict=True):
        assert length <= end + 1
        part = slice(end - length + 1, end + 1)
        times, values = samples.times[part].tolist(), samples.rows[part, 0].tolist()
        yield place, list(zip(times, values, strict=True))


def batch_of(
    records: Sequence[Sample | Sequence[Sample] | None],
    *,
    start: int = 0,
    failures: Sequence[Failure] = (),
    stamps_ms: Sequence[int] | None = None,
    offsets: Sequence[int] | None = None,
) -> Batch:
    """Records in order; several samples are one record of one sensor or more, None a bad one."""
    frames = [
        (position, list(run))
        for position, record in enumerate(records)
        if record is not None
        for _, run in groupby([record] if isinstance(record, Sample) else record, itemgetter(0))
    ]
    samples = [sample for _, frame in frames for sample in frame]
    return Batch(
        offsets=np.array(
            range(start, start + len(records)) if offsets is None else offsets, np.int64
        ),
        stamps_ms=np.array([-1] * len(records) if stamps_ms is None else stamps_ms, np.int64),
        readings=Readings(
            positions=np.array([position for position, _ in frames], np.int64),
            sensors=[frame[0].sensor for _, frame in frames],
            counts=np.array([len(frame) for _, frame in frames], np.int64),
            ts_ns=np.array([s.ts_ns for s in samples], np.int64),
            values=np.array([[s.value] for s in samples], np.float64).reshape(len(samples), 1),
        ),
        failures=failures,
    )
