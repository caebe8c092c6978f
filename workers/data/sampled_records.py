"""What the records of the readings are like: a look at some, which joins no group.

For commands that say how a topic stands without a pipeline. The first and the latest records of
each partition are decoded as the stream would do it; whoever wrote the first may have been replaced
since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from schemas.columns import Readings
from schemas.settings import Settings
from schemas.wire.errors import Stage
from workers.data.topic import NoChannels, Rejections, first_channels, why_no_channels
from workers.kafka.client import Record
from workers.kafka.factory import connection_of, open_reader
from workers.registry.parser import parser_of
from workers.stream.input import Input
from workers.stream.state.sensor_spans import SensorSpans, Span, SplitSensors, split_sensors

MOST_RECORDS: Final = 5_000
MOST_PER_PARTITION: Final = 200
_MOST_UNDECODED: Final = 100

_Place = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class SampledRecords:
    """What was seen.

    Attributes:
        partitions: of the topic.
        records: how many were looked at.
        without_key: those that have none.
        rejected: those that the stream would not take, by the stage at which they fail...
        reasons: ...and a sentence about each kind of them.
        undecoded: why none was decoded; None where some were, or there are none.
        split: sensors among the others that come in several partitions at once.
    """

    partitions: int
    records: int
    without_key: int
    rejected: Mapping[Stage, int]
    reasons: Sequence[str]
    undecoded: NoChannels | None
    split: SplitSensors


def sample_records(settings: Settings, channels: Sequence[str] = ()) -> SampledRecords:
    """Look at the first and the latest records of each partition of the readings.

    Args:
        settings: the broker, the topic, and how its records are read.
        channels: of the model; empty takes those of the first record that says them. Without any
            nothing is decoded: no record is rejected, no sensor seen, and `undecoded` says why.

    Raises:
        TopicError, BrokerUnavailableError: see `open_reader`.
        MissingCodecError, CorruptLogError: a partition cannot be read.
        ValueError: `stream.channels` does not fit the channels.
    """
    topic = settings.topics.readings
    sample = _Sample(settings, channels)
    with open_reader(connection_of(settings.kafka), [topic], client_id="vigie-look") as reader:
        first, ends = reader.beginnings(), reader.ends()
        most = min(MOST_RECORDS // (2 * len(ends)) or 1, MOST_PER_PARTITION)
        cuts = {at: min(first[at] + most, end) for at, end in ends.items()}
        for start, stop in ((first, cuts), (_latest(cuts, ends, most), ends)):
            reader.seek(start)
            for records in reader.read_to(stop):
                sample.add(records)
    return sample.seen(len(ends))


def _latest(cuts: Mapping[_Place, int], ends: Mapping[_Place, int], most: int) -> dict[_Place, int]:
    return {at: max(cuts[at], end - most) for at, end in ends.items()}


class _Sample:
    """What was seen so far."""

    def __init__(self, settings: Settings, channels: Sequence[str]) -> None:
        self._settings = settings
        self._parser = parser_of(settings)
        self._input = self._accepting(channels) if channels else None
        self._spans: dict[int, dict[str, Span]] = {}
        self._records = self._without_key = 0
        self._rejected = Rejections()
        self._undecoded: list[Record] = []

    def add(self, records: Sequence[Record]) -> None:
        """Take in what was polled."""
        self._records += len(records)
        self._without_key += sum(record.key is None for record in records)
        for partition, part in groupby(records, key=attrgetter("partition")):
            self._decode(partition, list(part))

    def seen(self, partitions: int) -> SampledRecords:
        """All of it."""
        told = [(at, SensorSpans.of(spans)) for at, spans in self._spans.items()]
        return SampledRecords(
            partitions=partitions,
            records=self._records,
            without_key=self._without_key,
            rejected=dict(self._rejected.by_stage),
            reasons=self._rejected.told(),
            undecoded=self._why_undecoded(),
            split=split_sensors(told),
        )

    def _decode(self, partition: int, records: Sequence[Record]) -> None:
        if self._input is None and (
            channels := first_channels(records, self._settings, self._parser)
        ):
            self._input = self._accepting(channels)
        if self._input is None:
            self._undecoded.extend(records[: _MOST_UNDECODED - len(self._undecoded)])
            return
        batch = self._input.accept(records)
        self._rejected.add(records, batch.failures)
        self._note(self._spans.setdefault(partition, {}), batch.readings)

    def _why_undecoded(self) -> NoChannels | None:
        if self._input is not None or not self._undecoded:
            return None
        return why_no_channels(self._undecoded, self._settings, self._parser)

    def _accepting(self, channels: Sequence[str]) -> Input:
        return Input(channels, self._settings.stream, self._settings.input, self._parser)

    def _note(self, spans: dict[str, Span], readings: Readings) -> None:
        start = 0
        for sensor, count in zip(readings.sensors, readings.counts.tolist(), strict=True):
            times = readings.ts_ns[start : start + count].tolist()
            start += count
            if times:
                known = spans.get(sensor, Span(times[0], times[0]))
                spans[sensor] = Span(min(known.first_ns, *times), max(known.last_ns, *times))
