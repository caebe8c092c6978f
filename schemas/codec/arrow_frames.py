"""Arrow IPC frames: the JSON frame's shape in columns that need no parsing.

An IPC stream of one schema and its record batches. Schema: `ts` is `timestamp[ns, UTC]` (or any
unit with a zone, or int64 epoch milliseconds), `values` is a struct with one float or integer field
per channel, both without a dictionary; the schema's metadata holds `sensor_id`. Null is a missing
value, NaN and infinities are rejected as in JSON, other columns are ignored.

Compressed bodies are rejected before they are unpacked: a record within the size limit could
otherwise unpack to gigabytes and take the process down, again and again.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from schemas.codec.channel_map import ChannelMap
from schemas.codec.json_frames import check_length
from schemas.columns import Gathering, Readings
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, RecordError, excerpt
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import MAX_MS, MAX_NS, NS_PER_MS

# Field numbers of Arrow's flatbuffers (format/Message.fbs).
_MESSAGE_HEADER = 2
_BATCH_COMPRESSION = 3


@contextmanager
def arrow_errors() -> Iterator[None]:
    """Say of whatever Arrow raises on damaged bytes that the bytes are damaged.

    Damage shows late too, for instance when the name of a column is first looked at.
    """
    import pyarrow as pa

    try:
        yield
    except RecordError:
        raise
    except (pa.ArrowException, ValueError, LookupError, OverflowError, OSError) as error:
        raise MalformedRecordError(f"not a whole Arrow IPC stream: {error}") from error
    except struct.error as error:
        raise MalformedRecordError(f"not a whole Arrow message: {error}") from error


def decode_frames(
    values: Sequence[bytes], positions: Sequence[int], channels: ChannelMap, into: Gathering
) -> None:
    """Decode records of one Arrow frame each; arguments as for `decode_readings`."""
    for value, position in zip(values, positions, strict=True):
        try:
            into.add(_decode_frame(value, position, channels))
        except RecordError as error:
            into.reject(position, error)


@arrow_errors()
def _decode_frame(value: bytes, position: int, channels: ChannelMap) -> Readings:
    schema, batches = read_stream(value)
    sensor = metadata_of(schema, "sensor_id")
    if not 1 <= len(sensor) <= MAX_NAME_CHARS:
        raise InvalidRecordError(f"sensor_id: must have 1..{MAX_NAME_CHARS} characters")
    check_length(sum(batch.num_rows for batch in batches))
    parts = [(times_of(batch), _values_of(batch, channels)) for batch in batches if batch.num_rows]
    ts_ns = np.concatenate([ts for ts, _ in parts])
    rows = np.concatenate([part for _, part in parts])
    return Readings.of_record(position, sensor, ts_ns, rows)


def read_stream(value: bytes) -> tuple[Any, list[Any]]:
    """Schema and validated record batches of an Arrow IPC stream; call within `arrow_errors`.

    Raises:
        MalformedRecordError: no such stream, or a compressed one.
    """
    import pyarrow as pa

    messages = list(pa.ipc.MessageReader.open_stream(pa.py_buffer(value)))
    kinds = [message.type for message in messages]
    if not messages or kinds[0] != "schema" or set(kinds[1:]) - {"record batch"}:
        raise MalformedRecordError(
            "not an Arrow IPC stream of one schema and record batches without dictionaries"
        )
    schema = pa.ipc.read_schema(messages[0])
    batches = []
    for message in messages[1:]:
        if _is_compressed(message.metadata.to_pybytes()):
            raise MalformedRecordError(
                "the Arrow body is compressed; send it plain and let Kafka compress the batch"
            )
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate(full=True)
        batches.append(batch)
    return schema, batches


def _is_compressed(message: bytes) -> bool:
    """Whether a record batch message (a flatbuffer) declares a body compression."""
    (root,) = struct.unpack_from("<I", message, 0)
    header = _field(message, root, _MESSAGE_HEADER)
    if header is None:
        raise MalformedRecordError("an Arrow message has no header")
    (offset,) = struct.unpack_from("<I", message, header)
    return _field(message, header + offset, _BATCH_COMPRESSION) is not None


def _field(message: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer table lies; None if the table leaves it out."""
    (to_vtable,) = struct.unpack_from("<i", message, table)
    vtable = table - to_vtable
    (size,) = struct.unpack_from("<H", message, vtable)
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", message, vtable + entry)
    return table + offset if offset else None


def metadata_of(schema: Any, name: str) -> str:
    """A required text entry of the schema's metadata."""
    metadata: Mapping[bytes, bytes] = schema.metadata or {}
    try:
        return metadata[name.encode()].decode()
    except KeyError:
        raise InvalidRecordError(f"the Arrow schema's metadata lacks {name!r}") from None
    except UnicodeDecodeError as error:
        raise InvalidRecordError(f"{name}: not UTF-8") from error


def column_of(batch: Any, name: str) -> Any:
    """A required column; exactly one may carry the name."""
    found = batch.schema.get_all_field_indices(name)
    if len(found) != 1:
        have = ", ".join(batch.schema.names[:20]) or "none"
        raise InvalidRecordError(
            f"need one column {name!r}, found {len(found)}; the frame has: {excerpt(have, 200)}"
        )
    return batch.column(found[0])


def times_of(batch: Any) -> Int64[np.ndarray, " rows"]:
    """Nanoseconds of the `ts` column."""
    import pyarrow as pa

    column = column_of(batch, "ts")
    if column.null_count:
        raise InvalidRecordError("ts: a time is never null")
    if column.type == pa.int64():
        ms: Int64[np.ndarray, " rows"] = column.to_numpy()
        if len(ms) and not (ms.min() >= -MAX_MS and ms.max() <= MAX_MS):
            raise InvalidRecordError(f"ts: epoch milliseconds must be in -{MAX_MS}..{MAX_MS}")
        return ms * NS_PER_MS
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise InvalidRecordError(
            f"ts: must be a timestamp with a time zone or int64 milliseconds, got {column.type}"
        )
    if column.type.unit != "ns":
        try:
            column = column.cast(pa.timestamp("ns", column.type.tz))
        except pa.ArrowInvalid as error:
            raise InvalidRecordError(f"ts: outside int64 nanoseconds: {error}") from error
    ns: Int64[np.ndarray, " rows"] = column.view(pa.int64()).to_numpy()
    if len(ns) and ns.min() < -MAX_NS:
        raise InvalidRecordError("ts: outside int64 nanoseconds")
    return ns


def _values_of(batch: Any, channels: ChannelMap) -> Float64[np.ndarray, "rows channels"]:
    """Values of the channels, null as NaN."""
    import pyarrow as pa

    columns = struct_columns(batch)
    channels.require(columns)
    rows = np.empty((batch.num_rows, len(channels)), dtype=np.float64)
    nulls = 0
    for index, (name, wire) in enumerate(zip(channels.names, channels.wire, strict=True)):
        column = columns[wire]
        kind = column.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise InvalidRecordError(f"values.{name}: must be floats or integers, got {kind}")
        rows[:, index] = column.to_numpy(zero_copy_only=False)
        nulls += column.null_count
    finite = np.isfinite(rows)
    if finite.size - np.count_nonzero(finite) != nulls:
        raise InvalidRecordError("values: hold NaN or infinities; a missing value is null")
    return rows


def struct_columns(batch: Any, name: str = "values") -> dict[str, Any]:
    """The fields of a struct by name."""
    import pyarrow as pa

    column = column_of(batch, name)
    if not pa.types.is_struct(column.type):
        raise InvalidRecordError(
            f"{name}: must be a struct with a field per channel, got {column.type}"
        )
    fields: Iterator[str] = (field.name for field in column.type)
    return dict(zip(fields, column.flatten(), strict=True))
