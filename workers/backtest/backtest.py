"""Scoring recorded readings: the live state machine and scoring function, without a broker.

A backtest equals a live run because it is the same code: readings pass through `PartitionState`,
with the same policies, and `Detector.score` sees the same windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from detector.scoring import Detector, Scores
from schemas.columns import Readings
from workers.stream.state.partition import Batch, PartitionConfig, PartitionState, ScoreRequest
from workers.stream.state.restore import RestorePlan


def backtest(
    detector: Detector, chunks: Iterable[Readings], *, max_gap_s: float = 0.0
) -> Iterator[tuple[ScoreRequest, Scores]]:
    """Score readings as a live run would.

    Args:
        detector: the model.
        chunks: readings in arrival order, one reading a record, values [n, C] in the detector's
            channel order; the cut into chunks changes no score.
        max_gap_s: a longer silence of a sensor restarts its warm-up; 0 takes the model's.

    Yields:
        What was scored of each chunk (`samples.offsets` counts the records from 0), its scores.
    """
    gap_s = max_gap_s or detector.max_gap_s
    state = PartitionState(
        PartitionConfig(
            partition=0,
            channels=len(detector.channels),
            receptive_field=detector.receptive_field,
            max_gap_ns=max(round(gap_s * 1e9), 1),
        ),
        RestorePlan.cold_at(0),
        group_of=detector.group_of,
    )
    for chunk in chunks:
        records = len(chunk.positions)
        offsets = np.arange(state.next_offset, state.next_offset + records, dtype=np.int64)
        stamps_ms = np.full(records, -1, np.int64)  # files have none, and nothing is forgotten
        request = state.polled(
            Batch(offsets=offsets, stamps_ms=stamps_ms, readings=chunk, failures=())
        )
        if request is None:
            continue
        samples = request.samples
        scores = detector.score(samples.rows, samples.ends, samples.groups)
        yield state.scored(request.number, flagged=scores.flagged), scores
