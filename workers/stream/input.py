"""The one way in: from records as they lie in the log, or will lie there, to an accepted batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from schemas.codec import HEADER, Decoder, Envelope
from schemas.codec.content_type import is_vigies_own
from schemas.codec.parser import Parser
from schemas.settings import InputSettings, StreamSettings
from schemas.wire.reading import Frame, Reading
from workers.kafka.client import Record
from workers.stream.state.event_time import reject_wrong_clocks
from workers.stream.state.partition import Batch
from workers.stream.state.rejection import reject_poison


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A record that is about to be sent: what the stream will look at.

    Attributes:
        value: its bytes.
        headers: names and values.
        timestamp: epoch milliseconds at which it is sent.
        key: its key.
        offset: anything that tells it from others.
    """

    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp: int
    key: bytes | None = None
    offset: int = 0


class RecordsIn(Protocol):
    """Accepts or rejects records."""

    @property
    def poll_records(self) -> int:
        """How many records to poll."""

    def accept(self, records: Sequence[Record], *, poison: Collection[int] = ()) -> Batch:
        """Take records of one partition, at least one; `poison` are offsets to reject."""


class Input:
    """Accepts or rejects the records of one model's readings.

    1. Decode. 2. Reject what its clock contradicts (`max_ahead_s`, `max_behind_s`). 3. Reject the
    records that no scorer survives. The stream, training from a topic, redrive and the commands
    that feed a topic all ask here, so that they agree on what is a reading.

    Args:
        channels: of the model, in its order.
        stream: their names on the wire, the format of records, and the limits.
        layout: where things are in a record that is not in one of Vigie's formats.
        parser: of such records; None takes the one for JSON.

    Raises:
        ValueError: `stream.channels` does not fit the channels, or the parser is missing.
    """

    def __init__(
        self,
        channels: Sequence[str],
        stream: StreamSettings,
        layout: InputSettings,
        parser: Parser | None = None,
    ) -> None:
        self._decoder = Decoder(
            channels,
            wire_names=stream.channels,
            max_bytes=stream.max_record_bytes,
            default_content_type=stream.content_type,
            envelope=envelope_of(layout, parser),
        )
        self._stream = stream
        # Readings per record, in the last batch. The first poll is small: they may be large frames.
        self._frame_readings = 100.0

    @property
    def poll_records(self) -> int:
        """How many records make a batch of about `stream.max_poll_records` readings.

        A batch of frames would otherwise hold a hundred times as many: more memory, no more speed.
        """
        return max(round(self._stream.max_poll_records / self._frame_readings), 1)

    def accept(
        self, records: Sequence[Record | Candidate], *, poison: Collection[int] = ()
    ) -> Batch:
        """Take records of one partition, at least one; the failures say why others were rejected.

        Args:
            records: in the order of the log.
            poison: offsets of records that no scorer survives.
        """
        decoded = self._decoder.decode(
            [record.value for record in records],
            [_content_type(record.headers) if record.headers else None for record in records],
            records,
        )
        self._frame_readings = max(len(decoded.readings) / len(records), 1.0)
        stamps_ms = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        decoded = reject_wrong_clocks(
            decoded,
            stamps_ms,
            max_ahead_s=self._stream.max_ahead_s,
            max_behind_s=self._stream.max_behind_s,
        )
        decoded = reject_poison(decoded, offsets, poison)
        return Batch(
            offsets=offsets,
            stamps_ms=stamps_ms,
            readings=decoded.readings,
            failures=decoded.failures,
        )


def envelope_of(layout: InputSettings, parser: Parser | None = None) -> Envelope | None:
    """What reads records that are not in one of Vigie's formats; None where there are none."""
    return None if layout.is_vigies_own else Envelope(layout, parser)


def channels_in(record: Record, envelope: Envelope | None) -> tuple[str, ...]:
    """The names on the wire of the channels in a record; none if it is unreadable or Arrow."""
    value = record.value or b""
    header = _content_type(record.headers)
    if envelope is not None and (header is None or not is_vigies_own(header)):
        return envelope.channels_in(value, record)
    for model in (Reading, Frame):
        try:
            return tuple(model.model_validate_json(value).values)
        except ValueError:
            continue
    return ()


def _content_type(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    for name, value in headers:
        if name == HEADER:
            return value
    return None
