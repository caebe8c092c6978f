"""One scoring call under way, for several partitions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.scoring import Scores
from workers.errors import TransactionAbortedError, VigieError
from workers.kafka.client import Record
from workers.stream.partition import PartitionState, ScoreRequest
from workers.stream.scorer import Scoring, Ticket


class ScoringFailedError(VigieError):
    """A scorer failed on a batch, and would fail on it again: the offsets are in the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One partition's share of a call: its samples are `start` to `stop` of the call's."""

    partition: int
    state: PartitionState
    number: int
    start: int
    stop: int
    records: Sequence[Record]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """A call and whom its scores belong to."""

    ticket: Ticket
    parts: tuple[Part, ...]

    def scores(self) -> Scores:
        """The scores.

        Raises:
            TransactionAbortedError: the scorer is gone; another will do: rewind.
            ScoringFailedError: these readings cannot be scored.
        """
        try:
            return self.ticket.scores()
        except TransactionAbortedError:
            raise
        except Exception as error:
            raise _failed(self.parts, error) from error


Asked = tuple[int, PartitionState, ScoreRequest, Sequence[Record]]
"""A partition, its state, what it asks for, and the records polled."""


def take_off(scoring: Scoring, asked: Sequence[Asked]) -> Flight:
    """Merge the requests of several partitions into one call.

    Raises:
        ScoringFailedError: scoring happens at once, and failed.
    """
    parts: list[Part] = []
    samples = base = 0
    ends = []
    for partition, state, request, records in asked:
        stop = samples + len(request.ends)
        parts.append(
            Part(
                partition=partition,
                state=state,
                number=request.number,
                start=samples,
                stop=stop,
                records=records,
            )
        )
        ends.append(request.ends + base if base else request.ends)
        samples, base = stop, base + len(request.rows)
    requests = [request for _, _, request, _ in asked]
    if len(requests) == 1:
        rows, groups = requests[0].rows, requests[0].groups
    else:
        rows = np.concatenate([request.rows for request in requests])
        groups = np.concatenate([request.groups for request in requests])
    try:
        ticket = scoring.submit(rows, np.concatenate(ends), groups)
    except Exception as error:
        raise _failed(parts, error) from error
    return Flight(ticket=ticket, parts=tuple(parts))


def _failed(parts: Sequence[Part], error: Exception) -> ScoringFailedError:
    places = ", ".join(
        f"partition {part.partition} offsets {part.records[0].offset} to {part.records[-1].offset}"
        for part in parts
    )
    return ScoringFailedError(f"scoring failed on {places}: {type(error).__name__}: {error}")
