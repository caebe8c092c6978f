"""What `vigie repartition` publishes: each record under its sensor's name, and clock marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detector.scoring import Scores
from schemas.settings import TopicSettings
from workers.kafka.client import Record
from workers.stream.outputs import DeadLetterBuilder, Output, with_values
from workers.stream.owned_partition import PartitionRequest
from workers.stream.state.rekey import RekeyRequest
from workers.stream.state.reorder import ReorderRequest
from workers.stream.state.shuffled import Arrival


def _rekeyed(
    request: RekeyRequest, records: Sequence[Record]
) -> Iterator[tuple[Record, bytes, str, Arrival]]:
    """Each record to write on, with its content, or the part of it that is the sensor's."""
    rows = zip(request.positions, request.sensors, request.arrivals, strict=True)
    for row, (position, sensor, arrival) in enumerate(rows):
        record = records[position]
        yield record, request.parts.get(row, record.value or b""), sensor, arrival


class RekeyedOutputs(DeadLetterBuilder):
    """Of the only hop there is: records by sensor, as they were read."""

    def __init__(self, topics: TopicSettings, target: str) -> None:
        """From `topics.readings` to `target`."""
        super().__init__(topics)
        self._target = target

    def outputs(
        self,
        asked: PartitionRequest,
        scores: Scores,  # noqa: ARG002 - there are none
    ) -> Iterator[Output]:
        """The request's records."""
        request = asked.request
        assert isinstance(request, RekeyRequest)
        for record, value, sensor, arrival in _rekeyed(request, asked.records):
            yield Output(
                topic=self._target,
                key=sensor.encode(),
                value=value,
                headers=with_values(record.headers),
                timestamp_ms=arrival.stamp_ms if arrival.stamp_ms >= 0 else None,
            )


class ShuffledOutputs(DeadLetterBuilder):
    """Of the first hop: records by sensor with how they arrived, and clock marks.

    Their timestamps are those of writing: retention must not take what is old and was just written.
    """

    def __init__(self, topics: TopicSettings, target: str, partitions: int) -> None:
        """From `topics.readings` to `target`, which has so many partitions."""
        super().__init__(topics)
        self._target, self._partitions = target, partitions

    def outputs(
        self,
        asked: PartitionRequest,
        scores: Scores,  # noqa: ARG002 - there are none
    ) -> Iterator[Output]:
        """The request's records, then its mark for every partition."""
        request = asked.request
        assert isinstance(request, RekeyRequest)
        for record, value, sensor, arrival in _rekeyed(request, asked.records):
            yield Output(
                topic=self._target,
                key=sensor.encode(),
                value=value,
                headers=(*with_values(record.headers), arrival.header()),
            )
        if request.mark is not None:
            headers = request.mark.headers()
            for partition in range(self._partitions):
                yield Output(
                    topic=self._target, key=None, value=b"", headers=headers, partition=partition
                )


class OrderedOutputs(DeadLetterBuilder):
    """Of the second hop: what is held no longer."""

    def __init__(self, topics: TopicSettings, target: str) -> None:
        """From `topics.readings` to `target`."""
        super().__init__(topics)
        self._target = target

    def outputs(
        self,
        asked: PartitionRequest,
        scores: Scores,  # noqa: ARG002 - there are none
    ) -> Iterator[Output]:
        """The request's records."""
        request = asked.request
        assert isinstance(request, ReorderRequest)
        for record in request.released:
            yield Output(
                topic=self._target,
                key=record.key,
                value=record.value or b"",
                headers=with_values(record.headers),
                timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
            )
