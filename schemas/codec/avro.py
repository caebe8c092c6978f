"""Avro records to plain objects, by the schema they were written with and the one that is wanted.

`fastavro` reads the bytes. What is decided here, once a schema:

* which schemas are safe to read with. A schema that refers to itself lets ten kilobytes overflow
  the stack of the process, and an array whose items take no bytes lets five bytes claim any number
  of them; both kill a worker, so they are rejected. So is what nests deeper than `MAX_DEPTH`, and
  what lets a few bytes hold thousands of values: records of records down to a null take none.
* what becomes of types that JSON does not have. Times with a stated unit become epoch numbers (see
  `epoch_number`), local ones and dates text without an offset, decimals the nearest float, UUIDs
  text, other bytes base64. Enumerations are text, maps and records objects, an empty union branch
  is None. A time of day stays the number that it is.

Fields are found by their names. With a reader schema, `fastavro` resolves names, aliases and
defaults as the Avro specification says.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from io import BytesIO
from types import NoneType
from typing import Any, Final
from uuid import UUID

from schemas.codec.confluent import Reader, SchemaFile
from schemas.codec.epoch import MS, NS, US, epoch_number, local_time
from schemas.wire.errors import MalformedRecordError, SchemaError, excerpt

MAX_DEPTH: Final = 64
MAX_DECIMAL_SCALE: Final = 300
MAX_UNPAID_VALUES: Final = 100
"""How many values of a record, or of an item of an array or a map, its bytes need not pay for."""
VALUES_PER_BYTE: Final = 8
"""How many values one byte pays for: objects of objects of a small number are ordinary."""

Convert = Callable[[Any], Any]

_DAMAGED: Final = (ValueError, LookupError, EOFError, TypeError, ArithmeticError, AttributeError)
"""What fastavro and the conversions raise on bytes that are not of the schema."""
_LOGICAL: Final = "vigieLogicalType"
_EPOCH_DAY: Final = date(1970, 1, 1)
_INSTANTS: Final = {"timestamp-millis": MS, "timestamp-micros": US, "timestamp-nanos": NS}
_LOCAL: Final = {f"local-{name}": tick_ns for name, tick_ns in _INSTANTS.items()}
_LEAST_BYTES: Final = {"null": 0, "float": 4, "double": 8}
"""Of those that take another number than 1."""
_TYPES: Final = {
    "null": NoneType, "boolean": bool, "int": int, "long": int, "float": float, "double": float,
    "bytes": bytes, "string": str,
}  # fmt: skip


def avro_reader(
    schema: SchemaFile,
    references: Sequence[SchemaFile],
    *,
    unit_ns: int,
    wanted: SchemaFile | None = None,
) -> Reader:
    """What reads the records of one schema.

    Args:
        schema: that they were written with.
        references: what it refers to, each behind those that it refers to itself.
        unit_ns: nanoseconds of the unit of epoch numbers.
        wanted: the reader schema.

    Raises:
        SchemaError: nobody can read records of this schema.
    """
    from fastavro import schemaless_reader
    from fastavro.read import SchemaResolutionError

    written = _parsed(schema, references, unit_ns)
    if wanted is None:
        resolved, convert = None, written.convert
    else:
        reader = _parsed(wanted, (), unit_ns)
        resolved, convert = reader.schema, reader.convert
        _check_same_times(written, reader)

    def read(payload: bytes) -> Any:
        stream = BytesIO(payload)
        try:
            item = schemaless_reader(stream, written.schema, resolved)
            if convert is not None:
                item = convert(item)
        except SchemaResolutionError as error:
            raise SchemaError(f"the reader schema does not fit: {error}") from error
        except _DAMAGED as error:
            raise MalformedRecordError(
                f"not an Avro record of {excerpt(schema.name)}: {type(error).__name__}: {error}"
            ) from error
        if stream.tell() != len(payload):
            raise MalformedRecordError(
                f"{len(payload) - stream.tell()} bytes are left over behind an Avro record of"
                f" {excerpt(schema.name)}: it was written with another schema"
            )
        return item

    return read


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parsed:
    """A schema that is safe to read with.

    Attributes:
        schema: as fastavro takes it, without logical types.
        convert: what makes a record plain; None if it is.
        logical: logical type of each field, by the names of record and field.
    """

    schema: Any
    convert: Convert | None
    logical: Mapping[tuple[str, str], str]


def _parsed(schema: SchemaFile, references: Sequence[SchemaFile], unit_ns: int) -> _Parsed:
    from fastavro import parse_schema
    from fastavro.schema import SchemaParseException, UnknownType

    named: dict[str, Any] = {}
    try:
        for reference in references:
            parse_schema(_without_logical_types(json.loads(reference.text)), named_schemas=named)
        parsed = parse_schema(_without_logical_types(json.loads(schema.text)), named_schemas=named)
        walk = _Walk(named, unit_ns)
        shape = _paid_for(walk.of(parsed))
    except (SchemaParseException, UnknownType, RecursionError, *_DAMAGED) as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(
            f"the Avro schema {excerpt(schema.name)} cannot be used: {type(error).__name__}:"
            f" {error}"
        ) from error
    is_map = isinstance(parsed, dict) and parsed["type"] == "map"
    if is_map or shape.types != frozenset({dict}):
        raise SchemaError(f"the Avro schema {excerpt(schema.name)} is not that of a record")
    return _Parsed(schema=parsed, convert=shape.convert, logical=walk.logical)


def _without_logical_types(node: Any) -> Any:
    """The schema with each logical type under a name that fastavro does not know.

    Its own conversions make a datetime of every time, which cannot hold a nanosecond.
    """
    if isinstance(node, list):
        return [_without_logical_types(part) for part in node]
    if not isinstance(node, dict):
        return node
    rename = {"logicalType": _LOGICAL} if "type" in node else {}
    return {rename.get(key, key): _without_logical_types(part) for key, part in node.items()}


def _check_same_times(written: _Parsed, reader: _Parsed) -> None:
    """Raise SchemaError if a time would be read in another unit than it was written in.

    The Avro specification lets that pass: to it both are a long.
    """
    for field, logical in written.logical.items():
        found = reader.logical.get(field, logical)
        if logical and logical != found:
            raise SchemaError(
                f"{'.'.join(field)} is written as {logical}, and the reader schema takes it for"
                f" {found or 'a plain number'}: correct the file of registry.reader_schema"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """What is known of a type.

    Attributes:
        types: of the values that fastavro reads.
        convert: what makes one plain; None if it is.
        may_be_empty: whether a value may take no bytes.
        unpaid: how many values in one, without items, its bytes do not pay for at most. Ordinary
            types are below 0.
    """

    types: frozenset[type]
    convert: Convert | None = None
    may_be_empty: bool = False
    unpaid: int = 1 - VALUES_PER_BYTE


class _Walk:
    """Looks at every type of a schema, once."""

    def __init__(self, named: Mapping[str, Any], unit_ns: int) -> None:
        self._named, self._unit_ns = named, unit_ns
        self._done: dict[str, _Shape] = {}
        self._within: list[str] = []
        self._depth = 0
        self.logical: dict[tuple[str, str], str] = {}

    def of(self, node: Any) -> _Shape:
        """The shape of a type of a parsed schema; raises SchemaError for an unsafe one."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SchemaError(f"the Avro schema nests deeper than {MAX_DEPTH} levels")
        try:
            if isinstance(node, str):
                return self._of_named(node)
            if isinstance(node, list):
                return _union([self.of(branch) for branch in node])
            return self._of_table(node)
        finally:
            self._depth -= 1

    def _of_named(self, name: str) -> _Shape:
        if name in _TYPES:
            return self._primitive({"type": name})
        if name in self._within:
            raise SchemaError(
                f"the Avro type {excerpt(name)} refers to itself; such records are not read, as"
                " one could overflow the stack"
            )
        return self._done[name] if name in self._done else self._of_table(self._named[name])

    def _of_table(self, node: Mapping[str, Any]) -> _Shape:
        kind = node["type"]
        if kind == "record":
            return self._record(node)
        if kind == "array":
            return self._array(node)
        if kind == "map":
            values = _paid_for(self.of(node["values"]))
            return _Shape(types=frozenset({dict}), convert=_of_map(values.convert))
        if kind == "enum":
            return self._note(node["name"], _Shape(types=frozenset({str})))
        if kind == "fixed":
            shape = self._primitive({**node, "type": "bytes"}, size=node["size"])
            return self._note(node["name"], shape)
        return self._primitive(node) if kind in _TYPES else self.of(kind)

    def _note(self, name: str, shape: _Shape) -> _Shape:
        self._done[name] = shape
        return shape

    def _record(self, node: Mapping[str, Any]) -> _Shape:
        name = node["name"]
        self._within.append(name)
        shapes = {field["name"]: self.of(field["type"]) for field in node["fields"]}
        self._within.pop()
        short = name.rpartition(".")[2]
        for field in node["fields"]:
            for called in (field["name"], *field.get("aliases", ())):
                self.logical[short, called] = _logical_of(field["type"])
        converts = [(field, s.convert) for field, s in shapes.items() if s.convert is not None]
        return self._note(
            name,
            _Shape(
                types=frozenset({dict}),
                convert=_of_record(converts) if converts else None,
                may_be_empty=all(shape.may_be_empty for shape in shapes.values()),
                unpaid=1 + sum(shape.unpaid for shape in shapes.values()),
            ),
        )

    def _array(self, node: Mapping[str, Any]) -> _Shape:
        items = self.of(node["items"])
        if items.may_be_empty:
            raise SchemaError(
                "the Avro schema has an array whose items may take no bytes: a few bytes could"
                " claim any number of them"
            )
        return _Shape(types=frozenset({list}), convert=_of_array(_paid_for(items).convert))

    def _primitive(self, node: Mapping[str, Any], *, size: int | None = None) -> _Shape:
        kind, logical = node["type"], node.get(_LOGICAL, "")
        least = _LEAST_BYTES.get(kind, 1) if size is None else size
        convert: Convert | None = None
        if kind == "bytes":
            convert = _base64
            if logical == "decimal":
                convert = _decimal(node.get("scale", 0))
            elif logical == "uuid":
                convert = _uuid
        elif kind == "long" and logical in _INSTANTS:
            convert = epoch_number(_INSTANTS[logical], self._unit_ns)
        elif kind == "long" and logical in _LOCAL:
            convert = _cached_local(_LOCAL[logical])
        elif kind == "int" and logical == "date":
            convert = _day
        return _Shape(
            types=frozenset({_TYPES[kind]}),
            convert=convert,
            may_be_empty=least == 0,
            unpaid=1 - VALUES_PER_BYTE * least,
        )


def _logical_of(node: Any) -> str:
    """The time-like logical type of a field, also of one that may be null; "" if there is none."""
    if isinstance(node, list):
        return next(filter(None, map(_logical_of, node)), "")
    logical = node.get(_LOGICAL, "") if isinstance(node, dict) else ""
    return logical if logical in _INSTANTS or logical in _LOCAL or logical == "date" else ""


def _union(branches: Sequence[_Shape]) -> _Shape:
    """A value of a union is told by its type, so two branches of one type must be treated alike."""
    by_type: dict[type, Convert | None] = {}
    for branch in branches:
        for kind in branch.types:
            if kind in by_type and by_type[kind] is not branch.convert:
                raise SchemaError(
                    "the Avro schema has a union whose branches cannot be told apart when read:"
                    f" two of them are a {kind.__name__}, and differ in a time, a decimal or bytes"
                )
            by_type[kind] = branch.convert

    def convert(value: Any) -> Any:
        found = by_type[type(value)]
        return value if found is None else found(value)

    plain = all(branch.convert is None for branch in branches)
    return _Shape(
        types=frozenset(by_type),
        convert=None if plain else convert,
        unpaid=max(branch.unpaid for branch in branches)
        - VALUES_PER_BYTE,  # for the branch's number
    )


def _paid_for(shape: _Shape) -> _Shape:
    """The shape, unless its values may be far more than its bytes; raises SchemaError then."""
    if shape.unpaid > MAX_UNPAID_VALUES:
        raise SchemaError(
            f"the Avro schema lets a few bytes hold {shape.unpaid} values, of which"
            f" {MAX_UNPAID_VALUES} are read: leave out fields that are always null, and records of"
            " nothing else"
        )
    return shape


def _of_record(converts: Sequence[tuple[str, Convert]]) -> Convert:
    def convert(record: dict[str, Any]) -> dict[str, Any]:
        for name, change in converts:
            record[name] = change(record[name])
        return record

    return convert


def _of_array(change: Convert | None) -> Convert | None:
    return None if change is None else lambda items: [change(item) for item in items]


def _of_map(change: Convert | None) -> Convert | None:
    return None if change is None else lambda items: {k: change(v) for k, v in items.items()}


_cached_local = lru_cache(maxsize=8)(local_time)


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _uuid(value: bytes) -> str:
    return str(UUID(bytes=value))


def _day(days: int) -> str:
    return (_EPOCH_DAY + timedelta(days=days)).isoformat()


@lru_cache(maxsize=64)
def _decimal(scale: int) -> Convert:
    if type(scale) is not int or not 0 <= scale <= MAX_DECIMAL_SCALE:
        raise SchemaError(f"a decimal's scale must be in 0..{MAX_DECIMAL_SCALE}, got {scale!r}")
    divisor: int = 10**scale

    def convert(value: bytes) -> float:
        # Python divides integers to the nearest float, whatever their size.
        return int.from_bytes(value, "big", signed=True) / divisor

    return convert
