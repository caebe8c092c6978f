"""The ways in: what `vigie repartition` asks of a record before it writes it on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final

import numpy as np

from schemas.codec.record_layout import RecordLayout
from schemas.columns import Failure, Readings, concatenate
from schemas.settings import Settings, StreamSettings
from schemas.wire.errors import Stage
from workers.kafka.client import LARGEST_OUTPUT_BYTES, Record
from workers.registry.parser import parser_of
from workers.stream.input import Input
from workers.stream.repartition.split import split_json
from workers.stream.state.partition import Batch
from workers.stream.state.rekey import SourceBatch
from workers.stream.state.reorder import ShuffledBatch
from workers.stream.state.shuffled import Arrival, ClockMark, Headers, read_header
from workers.stream.state.slicing import without_records

_ROOM_BYTES: Final = 64 * 1024
"""For key and headers."""
_HEADER_BYTES: Final = 10
"""At most, for the lengths of a header's name and value."""
_MOST_AHEAD_MS: Final = 50 * 60_000
"""Brokers refuse a timestamp an hour ahead of theirs (`message.timestamp.after.max.ms`)."""
_NOTHING_DECODED: Final = concatenate([], n_channels=0)


class SourceInput:
    """Records of the source: the stream's own way in, for sensor and time alone.

    What the values are the stream that reads on will say. For its partition's clock a timestamp
    ahead of this machine's counts as now, so that no producer's can run away with it; the record's
    own stays, unless no broker would take it.
    """

    def __init__(self, settings: Settings, wall_s: Callable[[], float]) -> None:
        """Accept records by these settings; no channel is looked for.

        What the sink would reject for its size is a dead letter, not lost behind it.
        """
        most = min(settings.stream.max_record_bytes, LARGEST_OUTPUT_BYTES - _ROOM_BYTES)
        stream = settings.stream.model_copy(update={"channels": {}, "max_record_bytes": most})
        parser = parser_of(settings)
        self._input = Input((), stream, settings.input, parser)
        # Another one, as the first remembers how many readings a record has.
        self._parts = Input((), stream, settings.input, parser)
        self._format = settings.input.format
        self._place = RecordLayout.of(settings.input).readings
        self._wall_s = wall_s

    @property
    def poll_records(self) -> int:
        """See `Input.poll_records`."""
        return self._input.poll_records

    def accept(self, records: Sequence[Record], *, poison: Collection[int] = ()) -> SourceBatch:
        """See `Input.accept`; a record that holds readings of several sensors is split."""
        found = _reject_large(self._input.accept(records, poison=poison), records)
        now_ms = int(self._wall_s() * 1e3)
        stamps_ms = found.stamps_ms
        batch = SourceBatch(
            offsets=found.offsets,
            stamps_ms=np.where(stamps_ms > now_ms + _MOST_AHEAD_MS, now_ms, stamps_ms),
            readings=found.readings,
            failures=found.failures,
            clocks_ms=np.minimum(stamps_ms, now_ms),
            parts={},
        )
        positions = found.readings.positions
        shared = np.unique(positions[1:][positions[1:] == positions[:-1]])
        return self._split(batch, shared.tolist(), records) if len(shared) else batch

    def _split(
        self, batch: SourceBatch, shared: Sequence[int], records: Sequence[Record]
    ) -> SourceBatch:
        """Put the parts of records of several sensors in their place."""
        readings, failures = batch.readings, list(batch.failures)
        firsts_ns = np.minimum.reduceat(
            readings.ts_ns, np.cumsum(readings.counts) - readings.counts
        ).tolist()
        whole = set(readings.positions.tolist()).difference(shared)
        rows: list[tuple[int, str, int, bytes | None]] = [
            (position, sensor, first_ns, None)
            for position, sensor, first_ns in zip(
                readings.positions.tolist(), readings.sensors, firsts_ns, strict=True
            )
            if position in whole
        ]
        begins, ends = (
            np.searchsorted(readings.positions, shared, side).tolist() for side in ("left", "right")
        )
        for position, begin, end in zip(shared, begins, ends, strict=True):
            own = range(begin, end)
            sensors = [readings.sensors[row] for row in own for _ in range(readings.counts[row])]
            try:
                parts = self._parts_of(records[position], sensors)
            except ValueError as error:
                failures.append(_several_sensors(position, str(error)))
                continue
            # Later ones first: of several runs of a sensor the earliest is kept.
            runs = sorted(((firsts_ns[row], readings.sensors[row]) for row in own), reverse=True)
            earliest_ns = {sensor: first_ns for first_ns, sensor in runs}
            for sensor, part in parts.items():
                rows.append((position, sensor, earliest_ns[sensor], part))
        rows.sort(key=itemgetter(0))
        return replace(
            batch,
            readings=Readings(
                positions=np.array([row[0] for row in rows], np.int64),
                sensors=[row[1] for row in rows],
                counts=np.ones(len(rows), np.int64),
                ts_ns=np.array([row[2] for row in rows], np.int64),
                values=np.empty((len(rows), 0)),
            ),
            failures=sorted(failures, key=lambda failure: failure.position),
            parts={at: row[3] for at, row in enumerate(rows) if row[3] is not None},
        )

    def _parts_of(self, record: Record, sensors: Sequence[str]) -> Mapping[str, bytes]:
        """The part of each sensor; it was read again, and is that sensor's.

        Raises:
            ValueError: what cannot be split, and why.
        """
        if self._format != "json" or self._place is None:
            raise ValueError(f'a record of input.format = "{self._format}" is not split')
        parts = split_json(record.value or b"", self._place, sensors)
        again = self._parts.accept(
            [record._replace(key=name.encode(), value=part) for name, part in parts.items()]
        )
        if again.readings.sensors != list(parts):
            raise ValueError("a part of it alone is not read as that sensor's (input.sensor)")
        return parts


def _reject_large(batch: Batch, records: Sequence[Record]) -> Batch:
    """Turn records into failures that the sink would drop for their headers, counted as written."""
    large = [
        position
        for position, record in enumerate(records)
        if record.headers
        and len(record.value or b"") + _bytes_of(record.headers)
        > LARGEST_OUTPUT_BYTES - _ROOM_BYTES // 2
    ]
    known = {failure.position for failure in batch.failures}
    failures = [
        Failure(
            position=position,
            stage=Stage.SIZE,
            exception="OversizedRecordError",
            message=f"{len(records[position].value or b'')} bytes and headers of "
            f"{_bytes_of(records[position].headers)} are more than can be written on "
            f"({LARGEST_OUTPUT_BYTES} with the key): write smaller records",
        )
        for position in large
        if position not in known
    ]
    if not failures:
        return batch
    return replace(
        batch,
        readings=without_records(batch.readings, np.isin(batch.readings.positions, large)),
        failures=sorted([*batch.failures, *failures], key=lambda failure: failure.position),
    )


def _bytes_of(headers: Headers) -> int:
    return sum(len(name) * 4 + len(value or b"") + _HEADER_BYTES for name, value in headers)


def _several_sensors(position: int, why: str) -> Failure:
    return Failure(
        position=position,
        stage=Stage.SCHEMA,
        exception="SeveralSensorsError",
        message=f"the record holds readings of several sensors, which belong to several "
        f"partitions, and {why}: have the producer write a record for each sensor",
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
