"""The ways in: what `vigie repartition` asks of a record before it writes it on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from schemas.columns import Failure, concatenate
from schemas.settings import Settings, StreamSettings
from schemas.wire.errors import Stage
from workers.kafka.client import LARGEST_OUTPUT_BYTES, Record
from workers.registry.parser import parser_of
from workers.stream.input import Input
from workers.stream.state.partition import Batch
from workers.stream.state.reorder import ShuffledBatch
from workers.stream.state.shuffled import Arrival, ClockMark, read_header
from workers.stream.state.slicing import without_records

_ROOM_BYTES: Final = 64 * 1024
"""For key and headers."""
_NOTHING_DECODED: Final = concatenate([], n_channels=0)


class SourceInput:
    """Records of the source: the stream's own way in, for sensor and time alone.

    What the values are the stream that reads on will say. A timestamp ahead of this machine's clock
    counts as now, so that no producer's clock can run away with its partition's.
    """

    def __init__(self, settings: Settings, wall_s: Callable[[], float]) -> None:
        """Accept records by these settings; no channel is looked for.

        What the sink would reject for its size is a dead letter, not lost behind it.
        """
        most = min(settings.stream.max_record_bytes, LARGEST_OUTPUT_BYTES - _ROOM_BYTES)
        stream = settings.stream.model_copy(update={"channels": {}, "max_record_bytes": most})
        self._input = Input((), stream, settings.input, parser_of(settings))
        self._wall_s = wall_s

    @property
    def poll_records(self) -> int:
        """See `Input.poll_records`."""
        return self._input.poll_records

    def accept(self, records: Sequence[Record], *, poison: Collection[int] = ()) -> Batch:
        """See `Input.accept`; a record that holds readings of several sensors is rejected."""
        batch = _reject_shared(self._input.accept(records, poison=poison))
        now_ms = int(self._wall_s() * 1e3)
        return replace(batch, stamps_ms=np.minimum(batch.stamps_ms, now_ms))


def _reject_shared(batch: Batch) -> Batch:
    """Turn records of several sensors, which lie there as several, into failures.

    Their bytes go to one place, and the sensors belong to several.
    """
    positions = batch.readings.positions
    is_same = positions[1:] == positions[:-1]
    if not is_same.any():
        return batch
    shared = np.unique(positions[1:][is_same])
    failures = [
        Failure(
            position=position,
            stage=Stage.SCHEMA,
            exception="SeveralSensorsError",
            message="the record holds readings of several sensors, and goes on as it is to the "
            "partition of one: split it where it is written",
        )
        for position in shared.tolist()
    ]
    return replace(
        batch,
        readings=without_records(batch.readings, np.isin(positions, shared)),
        failures=sorted([*batch.failures, *failures], key=lambda failure: failure.position),
    )


class ShuffledInput:
    """Records between the hops: the last header is read and taken off, nothing else looked at."""

    def __init__(self, stream: StreamSettings) -> None:
        """Read as many records at once as these settings say."""
        self.poll_records = stream.max_poll_records

    def accept(
        self,
        records: Sequence[Record],
        *,
        poison: Collection[int] = (),  # noqa: ARG002 - the protocol's
    ) -> ShuffledBatch:
        """Take records of one partition, at least one."""
        headers: list[Arrival | ClockMark | None] = []
        failures = []
        going_on = list(records)
        for position, record in enumerate(records):
            try:
                header = read_header(record.headers)
                headers.append(header)
                if isinstance(header, Arrival):
                    going_on[position] = record._replace(
                        timestamp=header.stamp_ms, headers=record.headers[:-1]
                    )
            except (ValueError, TypeError) as error:
                headers.append(None)
                failures.append(
                    Failure(
                        position=position,
                        stage=Stage.SCHEMA,
                        exception="NotShuffledError",
                        message=str(error),
                    )
                )
        return ShuffledBatch(
            offsets=np.fromiter((record.offset for record in records), np.int64, len(records)),
            stamps_ms=np.fromiter((record.timestamp for record in records), np.int64, len(records)),
            readings=_NOTHING_DECODED,
            failures=failures,
            records=going_on,
            headers=headers,
        )
