"""One scoring call under way, for several partitions at once.

**Probes.** A reading of a warm-up is not scored, it only goes into the history: if no scorer
survives it, that would show in the first windows that hold it, whose own readings are innocent, and
after its offset was committed. So such readings are tried when they arrive: behind the samples, a
call holds them one behind the other, R to a window, whatever their sensors, and nobody looks at the
scores. A warm-up of R-1 readings costs about one sample. They are given no times of their own, as
windows of several sensors have none that go forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from detector.scoring import POOLED, Scores
from workers.stream.owned_partition import PartitionRequest
from workers.stream.scoring.backend import Scoring, ScoringFuture, Work
from workers.stream.state.partition import PartitionState


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringCall:
    """A call, and whom its scores belong to.

    Args:
        future: its scores.
        requests: of the partitions, their samples one behind the other.
        work: n samples, then p probes, which are the last p * R rows (but for zeros at their end).
    """

    future: ScoringFuture
    requests: Sequence[PartitionRequest]
    work: Work

    @property
    def samples(self) -> int:
        """How many of the call's scores belong to somebody: the first ones."""
        return sum(len(asked.request.samples.ends) for asked in self.requests)

    def places(self) -> list[tuple[int, int]]:
        """Partition and offset of the record of each sample, then of each row of the probes."""
        return [
            (asked.partition.number, offset)
            for name in ("offsets", "unscored_offsets")
            for asked in self.requests
            for offset in getattr(asked.request.samples, name).tolist()
        ]

    def shares(self, scores: Scores) -> Iterator[tuple[PartitionRequest, Scores]]:
        """Each request with its own of the call's scores."""
        start = 0
        for asked in self.requests:
            stop = start + len(asked.request.samples.ends)
            yield asked, slice_scores(scores, start, stop)
            start = stop

    def __str__(self) -> str:
        """The partitions and offsets that it is about."""
        return ", ".join(
            f"partition {asked.partition.number} offsets {asked.records[0].offset} to "
            f"{asked.records[-1].offset}"
            for asked in self.requests
        )


def submit(scoring: Scoring, requests: Sequence[PartitionRequest]) -> ScoringCall:
    """Merge the requests of several partitions, at least one, into one call."""
    samples = [asked.request.samples for asked in requests]
    parts = [Work.of(one) for one in samples]
    probes = [one.unscored for one in samples if len(one.unscored)]
    if probes:
        state = requests[0].partition.state
        assert isinstance(state, PartitionState)  # no other gives samples
        parts.append(_probing(probes, state.config.receptive_field))
    work = Work.joined(parts)
    return ScoringCall(future=scoring.submit(work), requests=requests, work=work)


def _probing(probes: Sequence[NDArray[np.float64]], field: int) -> Work:
    tail = np.zeros((-sum(map(len, probes)) % field, probes[0].shape[1]))
    rows = np.concatenate([*probes, tail])
    ends = np.arange(field - 1, len(rows), field)
    return Work(
        rows=rows,
        times=np.zeros(len(rows), np.int64),
        ends=ends,
        lengths=np.full(len(ends), field),
        groups=np.full(len(ends), POOLED, np.int32),
    )


_OF_SAMPLES = tuple(
    field.name for field in fields(Scores) if field.name not in {"flagged", "settled"}
)


def slice_scores(scores: Scores, start: int, stop: int) -> Scores:
    """The scores of samples `start` to `stop`, with their flagged samples counted from `start`."""
    first, last = np.searchsorted(scores.flagged, (start, stop))
    return Scores(
        **{name: getattr(scores, name)[start:stop] for name in _OF_SAMPLES},
        flagged=scores.flagged[first:last] - start,
        settled=None if scores.settled is None else scores.settled[start:stop],
    )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """The scores of calls one behind the other, as if they had been one; at least one."""
    starts = np.cumsum([0, *(len(part.score) for part in parts)])
    settled = [part.settled for part in parts if part.settled is not None]
    return Scores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _OF_SAMPLES},
        settled=np.concatenate(settled) if settled else None,
        flagged=np.concatenate(
            [part.flagged + start for part, start in zip(parts, starts[:-1], strict=True)]
        ),
    )
