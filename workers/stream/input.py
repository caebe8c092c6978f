"""From polled records to batches of columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from detector.scoring import Detector
from schemas.codec import Decoder
from schemas.settings import StreamSettings
from workers.kafka.client import Record
from workers.stream.state.event_time import refuse_ahead, refuse_behind
from workers.stream.state.partition import Batch
from workers.stream.state.rejection import refuse_poison


class BatchDecoder:
    """Decodes polls of one model's readings."""

    def __init__(self, detector: Detector, stream: StreamSettings) -> None:
        """Prepare for the detector's channels as `stream` names them on the wire."""
        self._decoder = Decoder(
            detector.channels,
            wire_names=stream.channels,
            max_bytes=stream.max_record_bytes,
            default_content_type=stream.content_type,
        )
        self._stream = stream
        # Readings a record, in the last batch. The first poll is small: they may be large frames.
        self._frame_readings = 100.0

    @property
    def poll_records(self) -> int:
        """How many records make a batch of about `stream.max_poll_records` readings.

        A batch of frames would otherwise hold a hundred times as many: more memory, no more speed.
        """
        return max(round(self._stream.max_poll_records / self._frame_readings), 1)

    def decode(self, records: Sequence[Record], poison: Collection[int]) -> Batch:
        """Decode the records of one partition, at least one.

        Args:
            records: as polled.
            poison: offsets of records to refuse, because no scorer survives them.
        """
        decoded = self._decoder.decode(
            [record.value for record in records],
            [_content_type(record.headers) if record.headers else None for record in records],
        )
        self._frame_readings = max(len(decoded.readings) / len(records), 1.0)
        stamps_ms = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        if self._stream.max_ahead_s:
            decoded = refuse_ahead(decoded, stamps_ms, max_ahead_s=self._stream.max_ahead_s)
        if self._stream.max_behind_s:
            decoded = refuse_behind(decoded, stamps_ms, max_behind_s=self._stream.max_behind_s)
        offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        decoded = refuse_poison(decoded, offsets, poison)
        return Batch(
            offsets=offsets,
            stamps_ms=stamps_ms,
            readings=decoded.readings,
            failures=decoded.failures,
        )


def _content_type(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    for name, value in headers:
        if name == "content-type":
            return value
    return None
