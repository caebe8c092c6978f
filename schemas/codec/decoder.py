"""Bytes to columns and back. The `content-type` header chooses the format.

To add a format to read, write a function with the signature of `decode_readings` and enter it in
`DECODERS`; a format to write is an entry in `ENCODERS` of `encoding`. A topic's default is one of
those that `StreamSettings.content_type` names, or what `[input]` says (an `Envelope`).

With an envelope, only Vigie's own content types choose Vigie's decoders: records of others, such as
`application/json`, are foreign ones, and read as those without the header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from schemas.codec import arrow_frames, json_frames, json_readings
from schemas.codec.channel_map import ChannelMap
from schemas.codec.content_type import (
    FRAME_ARROW,
    FRAME_JSON,
    PLAIN_JSON,
    READING_JSON,
    is_vigies_own,
    normalised,
)
from schemas.codec.envelope import Envelope
from schemas.codec.sensor_ids import Carrier
from schemas.columns import Decoded, Gathering
from schemas.wire.errors import (
    MalformedRecordError,
    OversizedRecordError,
    RecordError,
    UnknownContentTypeError,
    unknown_content_type,
)
from schemas.wire.limits import MAX_RECORD_BYTES

DecodeFunction = Callable[[Sequence[bytes], Sequence[int], ChannelMap, Gathering], None]

DECODERS: Mapping[str, DecodeFunction] = {
    READING_JSON: json_readings.decode_readings,
    PLAIN_JSON: json_readings.decode_readings,
    FRAME_JSON: json_frames.decode_frames,
    FRAME_ARROW: arrow_frames.decode_frames,
}


class Decoder:
    """Decodes batches of records into columns of the model's channels.

    Pure and stateless: a record decodes to the same whatever else is in its batch.

    Args:
        channels: model channels, in the order of the value columns.
        wire_names: name on the wire of each channel that is called something else there.
        max_bytes: larger records are rejected unread.
        default_content_type: of records without the header.
        envelope: reads the records that are not in one of Vigie's formats, in place of the default.

    Raises:
        ValueError: channels or wire names that contradict each other, or an unknown content type.
    """

    def __init__(
        self,
        channels: Sequence[str],
        *,
        wire_names: Mapping[str, str] | None = None,
        max_bytes: int = MAX_RECORD_BYTES,
        default_content_type: str = READING_JSON,
        envelope: Envelope | None = None,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
        self._channels = ChannelMap.of(channels, wire_names or {})
        self._max_bytes = max_bytes
        self._default = _decoder_of(default_content_type)
        self._envelope = envelope

    @property
    def channels(self) -> tuple[str, ...]:
        """Model channels, in the order of the value columns."""
        return self._channels.names

    def decode(
        self,
        values: Sequence[bytes | None],
        content_types: Sequence[bytes | None],
        carriers: Sequence[Carrier] = (),
    ) -> Decoded:
        """Decode one batch; what fails is isolated record by record.

        Args:
            values: the raw value of each record, None for a tombstone.
            content_types: the raw `content-type` header of each record, None where it has none.
            carriers: what each record says beside its value; only an envelope looks at it.

        Returns:
            Every record once: its readings in columns, or a failure that says what is wrong.

        Raises:
            ValueError: the sequences differ in length.
        """
        if len(values) != len(content_types):
            raise ValueError(f"{len(values)} values, but {len(content_types)} content types")
        into = Gathering(n_channels=len(self._channels))
        default = self._default
        if self._envelope is not None:
            if len(carriers) != len(values):
                raise ValueError(f"{len(values)} values, but {len(carriers)} carriers")
            default = partial(self._envelope.decode, carriers=carriers)
        for decode, positions in self._by_format(content_types, default, into).items():
            self._decode_alike(decode, values, positions, into)
        return into.decoded()

    def _by_format(
        self, content_types: Sequence[bytes | None], default: DecodeFunction, into: Gathering
    ) -> dict[DecodeFunction, Sequence[int]]:
        """Positions of the records of each format, ascending; unknown formats are rejected."""
        groups: dict[DecodeFunction, list[int]] = {}
        chosen: dict[bytes | None, DecodeFunction | RecordError] = {
            header: self._choose(header, default) for header in set(content_types)
        }
        if len(chosen) == 1:
            (only,) = chosen.values()
            if not isinstance(only, RecordError):
                return {only: range(len(content_types))}
        for position, header in enumerate(content_types):
            choice = chosen[header]
            if isinstance(choice, RecordError):
                into.reject(position, choice)
            else:
                groups.setdefault(choice, []).append(position)
        return dict(groups)

    def _choose(
        self, header: bytes | None, default: DecodeFunction
    ) -> DecodeFunction | RecordError:
        """The decoder that a content-type header asks for, or why there is none."""
        if header is None or (self._envelope is not None and not is_vigies_own(header)):
            return default
        try:
            return _decoder_of(normalised(header))
        except UnknownContentTypeError as error:
            return error

    def _decode_alike(
        self,
        decode: DecodeFunction,
        values: Sequence[bytes | None],
        positions: Sequence[int],
        into: Gathering,
    ) -> None:
        """Decode the records at `positions`, which all have one format, within the size limit."""
        good: list[bytes] = []
        kept: list[int] = []
        for position in positions:
            value = values[position]
            if value is None:
                into.reject(position, MalformedRecordError("the record has no value (a tombstone)"))
            elif len(value) > self._max_bytes:
                limit = f"the stream takes at most {self._max_bytes} (stream.max_record_bytes)"
                error = OversizedRecordError(f"the record has {len(value)} bytes, {limit}")
                into.reject(position, error)
            else:
                good.append(value)
                kept.append(position)
        decode(good, kept, self._channels, into)


def _decoder_of(content_type: str) -> DecodeFunction:
    """The function that decodes a content type.

    Raises:
        UnknownContentTypeError: lists the known ones.
    """
    if content_type not in DECODERS:
        raise unknown_content_type(content_type, DECODERS)
    return DECODERS[content_type]
