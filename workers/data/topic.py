"""Readings of a stretch of time, from their topic, as a history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from schemas.codec.parser import Parser
from schemas.columns import Failure
from schemas.settings import Settings
from schemas.wire.errors import Stage, excerpt
from workers.data.assemble import Part, of_parts
from workers.data.file.rows import LeftOut
from workers.data.history import History
from workers.data.label_ranges import read_ranges
from workers.data.layout import Layout
from workers.errors import VigieError
from workers.kafka.client import Record
from workers.kafka.factory import TopicReader, connection_of, open_reader
from workers.registry.parser import parser_of
from workers.stream.input import Input, channels_in, envelope_of

MAX_READINGS = 20_000_000
"""Held in memory; more are an error."""

_SEEN_RECORDS = 1_000
_MOST_KINDS = 20
_LONGEST_REASON = 400


def read_topic(settings: Settings, layout: Layout, *, start_ns: int, end_ns: int | None) -> History:
    """Read the records of a stretch of time from every partition; joins no group.

    Left out is what the stream would not accept either, by the stage at which it fails; the rest is
    treated like the rows of files.

    Args:
        settings: the broker, the topic, and the names of channels on the wire.
        layout: `channels` to read, without any those of the first record that can be read but for
            `ignore`; the numbers that mean `missing`; how to label, `rate` and `resample` them.
        start_ns: event time, included. Records are found by their own timestamps, so a reading
            whose record carries an earlier one is not found.
        end_ns: event time, excluded; None for the end of the topic.

    Raises:
        BrokerUnavailableError, TopicError: see `open_reader`.
        VigieError: no channel is given and none can be found, or the stretch is too long.
    """
    parser = parser_of(settings)
    with open_reader(connection_of(settings.kafka), [settings.topics.readings]) as reader:
        channels = tuple(layout.channels)
        starts = reader.offsets_at(start_ns // 1_000_000)
        ends = reader.ends()
        if not channels:
            found_channels = _find_channels(reader, starts, ends, settings, parser)
            channels = tuple(name for name in found_channels if name not in layout.ignore)
        reader.seek(starts)
        accepting = Input(channels, settings.stream, settings.input, parser)
        gathering = _Gathering(accepting, start_ns=start_ns, end_ns=end_ns)
        for records in reader.read_to(ends):
            gathering.add(records)
    ranges = read_ranges(layout.label_ranges, layout) if layout.label_ranges is not None else ()
    told_missing = take_missing(gathering.parts.values(), channels, layout.missing)
    found = of_parts(gathering.parts.values(), channels, layout, ranges)
    stages = gathering.rejected.by_stage
    rejected: LeftOut = Counter({(f"rejected at {at}", ""): count for at, count in stages.items()})
    return replace(
        found,
        read=found.read + rejected.total(),
        left_out=found.left_out + rejected,
        told_missing=told_missing,
        notes=(*found.notes, *gathering.rejected.told()),
    )


def take_missing(
    sensors: Iterable[Sequence[Part]], channels: Sequence[str], words: Sequence[str]
) -> Counter[str]:
    """Make the numbers that stand for a missing value missing, in place, and count them.

    Words among them are none: on the wire there are numbers only.
    """
    numbers = [float(word) for word in words if _is_number(word)]
    taken = Counter[str]()
    for part in chain.from_iterable(sensors) if numbers else ():
        found = np.isin(part.values, numbers)
        part.values[found] = np.nan
        taken.update(dict(zip(channels, found.sum(axis=0).tolist(), strict=True)))
    return +taken


def _is_number(word: str) -> bool:
    try:
        return float(word) == float(word)
    except ValueError:
        return False


class Rejections:
    """Records that the stream would not take: how many of each kind, and the first of it."""

    def __init__(self) -> None:
        """None so far."""
        self._counts: Counter[tuple[Stage, str]] = Counter()
        self._first: dict[tuple[Stage, str], str] = {}

    def add(self, records: Sequence[Record], failures: Sequence[Failure]) -> None:
        """Take in those of one batch."""
        for failure in failures:
            kind = (failure.stage, failure.exception)
            self._counts[kind] += 1
            if kind not in self._first and len(self._first) < _MOST_KINDS:
                record = records[failure.position]
                self._first[kind] = (
                    f"the first at offset {record.offset} of partition {record.partition}"
                    + (f" (key {excerpt(record.key)})" if record.key is not None else "")
                    + f": {_cut(failure.message)}"
                )

    @property
    def by_stage(self) -> Counter[Stage]:
        """How many failed at each stage."""
        stages = Counter[Stage]()
        for (stage, _), count in self._counts.items():
            stages[stage] += count
        return stages

    def told(self) -> tuple[str, ...]:
        """A sentence about each kind, the most frequent first."""
        return tuple(
            f"{count:,} rejected at {kind[0]}, {self._first[kind]}"
            for kind, count in self._counts.most_common()
            if kind in self._first
        )


def _cut(message: str) -> str:
    """A message, cut to what fits into a summary."""
    return message if len(message) <= _LONGEST_REASON else message[:_LONGEST_REASON] + "..."


class _Gathering:
    """Readings of a stretch, sensor by sensor.

    Attributes:
        parts: of each sensor, in order of arrival.
        rejected: the records that failed.
    """

    def __init__(self, accepting: Input, *, start_ns: int, end_ns: int | None) -> None:
        self._input, self._start_ns, self._end_ns = accepting, start_ns, end_ns
        self.parts: dict[str, list[Part]] = {}
        self._readings = 0
        self.rejected = Rejections()

    def add(self, records: Sequence[Record]) -> None:
        """Take in one batch.

        Raises:
            VigieError: more readings than can be held.
        """
        batch = self._input.accept(records)
        self.rejected.add(records, batch.failures)
        readings = batch.readings
        keep = readings.ts_ns >= self._start_ns
        if self._end_ns is not None:
            keep &= readings.ts_ns < self._end_ns
        self._readings += int(keep.sum())
        if self._readings > MAX_READINGS:
            raise VigieError(
                f"more than {MAX_READINGS:,} readings between --topic-from and --topic-to: "
                "choose a shorter stretch"
            )
        owners = np.repeat(np.arange(len(readings.sensors)), readings.counts)
        names = np.array(readings.sensors, dtype=object)[owners] if len(owners) else owners
        for sensor in dict.fromkeys(readings.sensors):
            rows = np.flatnonzero((names == sensor) & keep)
            if len(rows):
                part = Part(sensor=sensor, ts_ns=readings.ts_ns[rows], values=readings.values[rows])
                self.parts.setdefault(sensor, []).append(part)


def _find_channels(
    reader: TopicReader,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    settings: Settings,
    parser: Parser | None,
) -> tuple[str, ...]:
    reader.seek(starts)
    records = list(islice(chain.from_iterable(reader.read_to(ends)), _SEEN_RECORDS))
    if not records:
        raise VigieError(
            f"{settings.topics.readings} holds no record of that time: correct --topic-from"
        )
    if channels := first_channels(records, settings, parser):
        return channels
    raise VigieError(
        f"none of the first records of {settings.topics.readings} at that time says its channels: "
        f"{why_no_channels(records, settings, parser).text}. Or name the channels with --channel"
    )


@dataclass(frozen=True, kw_only=True)
class NoChannels:
    """Why no channels were found in some records; `is_readable` when only the values are not."""

    text: str
    is_readable: bool


def why_no_channels(
    records: Sequence[Record], settings: Settings, parser: Parser | None
) -> NoChannels:
    """Why none of these records says its channels: they are decoded without any."""
    stream = settings.stream.model_copy(update={"channels": {}})
    failures = Input((), stream, settings.input, parser).accept(records).failures
    if len(failures) < len(records):
        return NoChannels(
            text="sensor and time can be read, but no value is a number (texts need "
            'input.numbers = "text"; input.values says where the values are; of Arrow frames '
            "the channels have to be named)",
            is_readable=True,
        )
    rejections = Rejections()
    rejections.add(records, failures)
    return NoChannels(text=rejections.told()[0], is_readable=False)


def first_channels(
    records: Iterable[Record], settings: Settings, parser: Parser | None
) -> tuple[str, ...]:
    """The channels of the first record that says them, under the model's names; or none."""
    ours = {wire: channel for channel, wire in settings.stream.channels.items()}
    envelope = envelope_of(settings.input, parser)
    for record in records:
        if names := channels_in(record, envelope):
            return tuple(ours.get(name, name) for name in names)
    return ()
