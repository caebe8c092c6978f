"""Protobuf messages to plain objects, by the descriptors of their schema.

`protobuf` reads the bytes. Fields are found by their names as the .proto file writes them. A field
that tells whether it was set and was not is None (or the default that proto2 declares); one that
cannot tell is its zero. Enumerations are text, bytes base64, maps objects with text keys,
`google.protobuf.Timestamp` an epoch number (see `epoch_number`), `Duration` seconds, the wrappers
what they wrap, `Struct` the object that it is. Unknown fields and extensions are left out.

The library reads at most 100 levels deep. How many values may come of one record is limited here:
each empty message takes two bytes, and becomes an object with all its fields.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from schemas.codec.confluent import Reader
from schemas.codec.epoch import epoch_number
from schemas.wire.errors import InvalidRecordError, MalformedRecordError, SchemaError, excerpt
from schemas.wire.timestamp import NS_PER_S

MAX_VALUES: Final = 2_000_000
"""Most fields of all messages of a record together."""
MAX_INDEXES: Final = 32
"""Deepest nesting of the message that a record is."""

Plain = Callable[[Any, "Budget"], Any]
"""Makes a field's value, or a message, plain."""

_ZERO_INDEXES: Final = (0,)
_MAX_VARINT_BITS: Final = 35


def protobuf_reader(descriptors: bytes, main: str, *, unit_ns: int) -> Reader:
    """What reads the records of one schema.

    Args:
        descriptors: a serialised `FileDescriptorSet`: the file and all that it imports.
        main: name of the file that the schema's id stands for.
        unit_ns: nanoseconds of the unit of epoch numbers.

    Raises:
        SchemaError: nobody can read records of this schema.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import DecodeError
    from google.protobuf.message_factory import GetMessageClass

    try:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            pool.Add(file)
        top = list(pool.FindFileByName(main).message_types_by_name.values())
    except (DecodeError, TypeError, KeyError, ValueError) as error:
        raise SchemaError(f"the Protobuf schema cannot be used: {error}") from error
    messages = _Messages(unit_ns)
    chosen: dict[tuple[int, ...], tuple[Any, Plain]] = {}

    def read(payload: bytes) -> Any:
        indexes, start = _message_indexes(payload)
        if indexes not in chosen:
            descriptor = _message_at(indexes, top)
            chosen[indexes] = GetMessageClass(descriptor), messages.plain(descriptor)
        message_class, plain = chosen[indexes]
        try:
            return plain(message_class.FromString(payload[start:]), Budget())
        except DecodeError as error:
            name = excerpt(message_class.DESCRIPTOR.full_name)
            raise MalformedRecordError(f"not a Protobuf message {name}: {error}") from error
        except OverflowError as error:
            raise InvalidRecordError(f"a time out of range: {error}") from error

    return read


def _message_at(indexes: tuple[int, ...], within: Sequence[Any]) -> Any:
    """The descriptor of the message that a path of indexes leads to.

    Raises:
        MalformedRecordError: the schema has no such message.
    """
    descriptor = None
    for index in indexes:
        if not 0 <= index < len(within):
            raise MalformedRecordError(
                f"the record is message {list(indexes)} of its Protobuf schema, which has no such"
                " message"
            )
        descriptor = within[index]
        # The entry of a map is a message to the compiler alone: serialisers do not count it.
        within = [n for n in descriptor.nested_types if not n.GetOptions().map_entry]
    return descriptor


class Budget:
    """Counts what becomes of one record."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def take(self, values: int) -> None:
        """Raise InvalidRecordError when it is too much."""
        self._left -= values
        if self._left < 0:
            raise InvalidRecordError(f"the record holds more than {MAX_VALUES} values")


def _message_indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of its file a payload is, and where that begins."""
    if payload[:1] == b"\0":  # what nearly all are: the first message, in short
        return _ZERO_INDEXES, 1
    count, at = _zigzag(payload, 0)
    if not 1 <= count <= MAX_INDEXES:
        raise MalformedRecordError(f"a Protobuf message nested {count} levels deep")
    indexes = []
    for _ in range(count):
        index, at = _zigzag(payload, at)
        indexes.append(index)
    return tuple(indexes), at


def _zigzag(payload: bytes, at: int) -> tuple[int, int]:
    """One number of the list of indexes, and where the next one begins."""
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return (value >> 1) ^ -(value & 1), at
    raise MalformedRecordError("the list of Protobuf message indexes is cut off")


class _Messages:
    """What makes the messages of a schema plain: each kind when it is first met."""

    def __init__(self, unit_ns: int) -> None:
        self._from_ns = epoch_number(1, unit_ns) or int
        self._known: dict[str, Plain] = {}

    def plain(self, descriptor: Any) -> Plain:
        name: str = descriptor.full_name
        if name not in self._known:
            if name == "google.protobuf.Timestamp":
                self._known[name] = self._timestamp
            elif name in _WELL_KNOWN:
                self._known[name] = _WELL_KNOWN[name]
            else:
                # Known before its fields are looked at: a message may hold others of its kind.
                self._known[name] = partial(self._later, name)
                self._known[name] = self._of_fields(descriptor)
        return self._known[name]

    def _later(self, name: str, message: Any, budget: Budget) -> Any:
        return self._known[name](message, budget)

    def _timestamp(self, message: Any, _budget: Budget) -> int | str:
        return self._from_ns(message.seconds * NS_PER_S + message.nanos)

    def _of_fields(self, descriptor: Any) -> Plain:
        fields = list(descriptor.fields)
        simple = [field.name for field in fields if _is_simple(field)]
        others = [(field.name, self._field(field)) for field in fields if not _is_simple(field)]
        size = len(fields) + 1
        if not simple:
            get: Callable[[Any], tuple[Any, ...]] = lambda _message: ()  # noqa: E731
        elif len(simple) == 1:
            one = attrgetter(*simple)
            get = lambda message: (one(message),)  # noqa: E731
        else:
            get = attrgetter(*simple)

        def plain(message: Any, budget: Budget) -> dict[str, Any]:
            budget.take(size)
            item = dict(zip(simple, get(message), strict=True))
            for name, convert in others:
                item[name] = convert(message, budget)
            return item

        return plain

    def _field(self, field: Any) -> Plain:
        """What takes a field out of its message."""
        name, of_value = field.name, self._value(field)
        if _is_map(field):
            entry = field.message_type.fields_by_name
            if entry["key"].type == field.TYPE_STRING and _is_plain(entry["value"]):
                return lambda message, _budget: dict(getattr(message, name).items())
            of_entry = self._value(entry["value"])
            return lambda message, budget: {
                _key(key): of_entry(value, budget) for key, value in getattr(message, name).items()
            }
        if field.is_repeated and _is_plain(field):
            return lambda message, _budget: list(getattr(message, name))
        if field.is_repeated:
            return lambda message, budget: [of_value(v, budget) for v in getattr(message, name)]
        if not field.has_presence:
            return lambda message, budget: of_value(getattr(message, name), budget)
        default = None
        if field.has_default_value:
            default = of_value(field.default_value, Budget())
        return lambda message, budget: (
            of_value(getattr(message, name), budget) if message.HasField(name) else default
        )

    def _value(self, field: Any) -> Plain:
        """What makes one value of a field plain."""
        if field.message_type is not None:
            return (lambda _v, _b: None) if _is_map(field) else self.plain(field.message_type)
        if field.enum_type is not None:
            names = {number: v.name for number, v in field.enum_type.values_by_number.items()}
            return lambda value, _budget: names.get(value, value)
        if field.type == field.TYPE_BYTES:
            return lambda value, _budget: b64encode(value).decode("ascii")
        return lambda value, _budget: value


def _is_map(field: Any) -> bool:
    kind = field.message_type
    return kind is not None and field.is_repeated and kind.GetOptions().map_entry


def _is_simple(field: Any) -> bool:
    """Whether a field's attribute is its plain value."""
    return _is_plain(field) and not (field.is_repeated or field.has_presence)


def _is_plain(field: Any) -> bool:
    """Whether one value of a field is plain as it is."""
    kinds = field.enum_type, field.message_type
    return kinds == (None, None) and field.type != field.TYPE_BYTES


def _key(key: object) -> str:
    """The key of a map as text; as in JSON, a truth value is written small."""
    return str(key).lower() if type(key) is bool else str(key)


def _wrapped(message: Any, _budget: Budget) -> Any:
    return message.value


def _wrapped_bytes(message: Any, _budget: Budget) -> str:
    return b64encode(message.value).decode("ascii")


def _duration(message: Any, _budget: Budget) -> float:
    return float(message.seconds + message.nanos / NS_PER_S)


def _struct(message: Any, budget: Budget) -> dict[str, Any]:
    budget.take(len(message.fields) + 1)
    return {name: _struct_value(value, budget) for name, value in message.fields.items()}


def _list(message: Any, budget: Budget) -> list[Any]:
    budget.take(len(message.values) + 1)
    return [_struct_value(value, budget) for value in message.values]


def _struct_value(message: Any, budget: Budget) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(message.struct_value, budget)
    if kind == "list_value":
        return _list(message.list_value, budget)
    return None if kind in {None, "null_value"} else getattr(message, kind)


_WELL_KNOWN: Final[Mapping[str, Plain]] = MappingProxyType(
    {
        **{
            f"google.protobuf.{kind}Value": _wrapped
            for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String")
        },
        "google.protobuf.BytesValue": _wrapped_bytes,
        "google.protobuf.Duration": _duration,
        "google.protobuf.Struct": _struct,
        "google.protobuf.ListValue": _list,
        "google.protobuf.Value": _struct_value,
    }
)
