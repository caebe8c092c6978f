"""Frames and denoised frames as Arrow IPC streams, in the shape that `arrow_frames` tells."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from schemas.codec.arrow_frames import (
    arrow_errors,
    column_of,
    metadata_of,
    read_stream,
    struct_columns,
    times_of,
)
from schemas.wire.errors import InvalidRecordError

_KINDS = {"score": "float64", "offset": "int64", "index": "int64", "off": "bool_"}
_FACTS = ("sensor_id", "model", "topic", "partition")
_MAX_PLACE_CHARS = 100
_LATENT, _SETTLED, _LAG = "latent", "settled", "settled.lag"


@lru_cache(maxsize=64)
def _schema(channels: tuple[str, ...], columns: tuple[str, ...], structs: tuple[str, ...]) -> Any:
    """Schema of a frame without its metadata."""
    import pyarrow as pa

    struct = pa.struct([(name, pa.float64()) for name in channels])
    return pa.schema(
        [
            pa.field("ts", pa.timestamp("ns", "UTC"), nullable=False),
            pa.field("values", struct),
            *(pa.field(name, getattr(pa, _KINDS[name])(), nullable=True) for name in columns),
            *(pa.field(name, struct) for name in structs),
        ]
    )


def write(  # noqa: PLR0917 - a `Writer`
    channels: tuple[str, ...],
    values: Float64[np.ndarray, "readings channels"],
    ts_ns: Int64[np.ndarray, " readings"],
    facts: Mapping[str, Any],
    columns: dict[str, Any],
    settled: tuple[int, Float64[np.ndarray, "readings channels"]] | None = None,
) -> bytes:
    """One frame as an IPC stream: facts in the schema's metadata, NaN as null."""
    import pyarrow as pa

    structs = () if settled is None else (_SETTLED,)
    metadata = {name: str(fact) for name, fact in facts.items()}
    if settled is not None:
        metadata[_LAG] = str(settled[0])
    schema = _schema(channels, tuple(columns), structs).with_metadata(metadata)
    struct = schema.field(1).type
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(ts_ns).cast(schema.field(0).type),
            _struct(values, struct),
            *(pa.array(column, from_pandas=True) for column in columns.values()),
            *(() if settled is None else (_struct(settled[1], struct),)),
        ],
        schema=schema,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _struct(values: Float64[np.ndarray, "readings channels"], struct: Any) -> Any:
    import pyarrow as pa

    fields = [pa.array(values[:, i], from_pandas=True) for i in range(values.shape[1])]
    return pa.StructArray.from_arrays(fields, fields=list(struct))


@arrow_errors()
def read_denoised(value: bytes) -> dict[str, Any]:
    """The fields of a denoised frame, for its model to check.

    Raises:
        RecordError: not an Arrow stream, or columns or metadata are missing.
    """
    schema, batches = read_stream(value)
    facts: dict[str, Any] = {name: metadata_of(schema, name) for name in _FACTS}
    if not facts["partition"].isdecimal():
        raise InvalidRecordError(f"partition: must be a number, got {facts['partition'][:20]!r}")
    facts["partition"] = int(facts["partition"])
    has = schema.metadata or {}
    if _LATENT.encode() in has:
        facts[_LATENT] = _place(metadata_of(schema, _LATENT))
    if _SETTLED in schema.names:
        facts[_SETTLED] = {"lag": _lag(metadata_of(schema, _LAG)), "values": {}}
    columns = [name for name in _KINDS if name in schema.names]
    fields: dict[str, Any] = {"ts_ns": [], "values": {}, **{name: [] for name in columns}}
    for batch in batches:
        fields["ts_ns"] += times_of(batch).tolist()
        for name in columns:
            fields[name] += column_of(batch, name).to_pylist()
        for name, column in struct_columns(batch).items():
            fields["values"].setdefault(name, []).extend(column.to_pylist())
        if _SETTLED in facts:
            for name, column in struct_columns(batch, _SETTLED).items():
                facts[_SETTLED]["values"].setdefault(name, []).extend(column.to_pylist())
    return {**fields, **facts}


def _place(text: str) -> Any:
    if len(text) > _MAX_PLACE_CHARS:  # two numbers; a deep nest would exhaust the parser
        raise InvalidRecordError(f"{_LATENT}: must be two numbers, got {text[:20]!r}")
    return json.loads(text)


def _lag(text: str) -> int:
    if not text.isdecimal():
        raise InvalidRecordError(f"{_LAG}: must be a number, got {text[:20]!r}")
    return int(text)
