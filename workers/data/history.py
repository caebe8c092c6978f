"""Readings of a stretch of time, from their topic, as series for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from detector.signal.series import Series
from schemas.settings import Settings
from schemas.wire.errors import Stage
from workers.errors import VigieError
from workers.kafka.client import Record
from workers.kafka.factory import TopicReader, connection_of, open_reader
from workers.stream.input import Input, channels_in

MAX_READINGS = 20_000_000
"""Held in memory; more are an error."""

_SEEN_RECORDS = 1_000


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What is trained on."""

    channels: tuple[str, ...]  # the columns of the series
    series: Sequence[Series]  # one per sensor, in arrival order
    left_out: Mapping[str, int]  # how many rows or records are not in it, by the reason


def read_history(
    settings: Settings, channels: tuple[str, ...], *, start_ns: int, end_ns: int | None
) -> TrainingData:
    """Read the records of a stretch of time from every partition; joins no group.

    Left out is what the stream would not accept either, by the stage at which it fails.

    Args:
        settings: the broker, the topic, and the names of channels on the wire.
        channels: to read; empty takes those of the first record that can be read.
        start_ns: event time, included. Records are found by their own timestamps, so a reading
            whose record carries an earlier one is not found.
        end_ns: event time, excluded; None for the end of the topic.

    Raises:
        BrokerUnavailableError, TopicError: see `open_reader`.
        VigieError: no channel is given and none can be found, or the stretch is too long.
    """
    with open_reader(connection_of(settings.kafka), [settings.topics.readings]) as reader:
        starts = reader.offsets_at(start_ns // 1_000_000)
        ends = reader.ends()
        if not channels:
            channels = _find_channels(reader, starts, ends, settings)
        reader.seek(starts)
        accepting = Input(channels, settings.stream, settings.input)
        gathering = _Gathering(accepting, start_ns=start_ns, end_ns=end_ns)
        for records in reader.read_to(ends):
            gathering.add(records)
    rejected = sorted(gathering.rejected.items())
    return TrainingData(
        channels=channels,
        series=gathering.series(),
        left_out={f"records_rejected_at_{stage}": count for stage, count in rejected},
    )


class _Gathering:
    """Readings of a stretch, sensor by sensor."""

    def __init__(self, accepting: Input, *, start_ns: int, end_ns: int | None) -> None:
        self._input, self._start_ns, self._end_ns = accepting, start_ns, end_ns
        self._parts: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]] = {}
        self._readings = 0
        self.rejected: Counter[Stage] = Counter()

    def add(self, records: Sequence[Record]) -> None:
        """Take in one batch.

        Raises:
            VigieError: more readings than can be held.
        """
        batch = self._input.accept(records)
        self.rejected.update(failure.stage for failure in batch.failures)
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
                part = (readings.ts_ns[rows], readings.values[rows])
                self._parts.setdefault(sensor, []).append(part)

    def series(self) -> list[Series]:
        """Everything taken in."""
        return [
            Series(
                sensor=sensor,
                ts_ns=np.concatenate([ts_ns for ts_ns, _ in parts]),
                values=np.concatenate([values for _, values in parts]),
            )
            for sensor, parts in sorted(self._parts.items())
        ]


def _find_channels(
    reader: TopicReader,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    settings: Settings,
) -> tuple[str, ...]:
    """The channels of the first record that can be read and says them, under the model's names."""
    reader.seek(starts)
    ours = {wire: channel for channel, wire in settings.stream.channels.items()}
    for record in islice(chain.from_iterable(reader.read_to(ends)), _SEEN_RECORDS):
        if names := channels_in(record, settings.input):
            return tuple(ours.get(name, name) for name in names)
    raise VigieError(
        f"no JSON reading or frame among the first records of {settings.topics.readings} at that "
        "time: correct --topic-from, say in [input] where things are in a record, or name the "
        "channels with --channel"
    )
