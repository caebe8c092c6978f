"""Protobuf schemas and messages for tests, without a compiler where descriptors will do."""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

Field = descriptor_pb2.FieldDescriptorProto
_WELL_KNOWN = (timestamp_pb2, duration_pb2, struct_pb2, wrappers_pb2)


def add_field(
    message: Any, name: str, number: int, kind: str, *, repeated: bool = False, **more: Any
) -> None:
    """Add a field; `kind` is the name of a scalar type, or of a message or enumeration (".a.B")."""
    label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label, **more)
    if not kind.startswith("."):
        field.type = getattr(Field, f"TYPE_{kind.upper()}")
    else:
        field.type_name = kind


def add_map(message: Any, name: str, number: int, key: str, value: str, *, of: str) -> None:
    """Add a map field to the message of the full name `of`."""
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    add_field(entry, "key", 1, key)
    add_field(entry, "value", 2, value)
    add_field(message, name, number, f"{of}.{entry.name}", repeated=True)


def file_of(package: str = "plant", name: str = "m.proto", syntax: str = "proto3") -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax=syntax)
    file.dependency.extend(module.DESCRIPTOR.name for module in _WELL_KNOWN)
    return file


def descriptors_of(*files: Any) -> bytes:
    """A serialised `FileDescriptorSet` of the files and the well-known ones."""
    described = descriptor_pb2.FileDescriptorSet()
    for module in _WELL_KNOWN:
        described.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    described.file.extend(files)
    serialised: bytes = described.SerializeToString()
    return serialised


def message_class(descriptors: bytes, full_name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))


def reading_file() -> Any:
    """plant.Reading { string sensor_id = 1; Timestamp at = 2; map<string, double> values = 3; }."""
    file = file_of()
    reading = file.message_type.add(name="Reading")
    add_field(reading, "sensor_id", 1, "string")
    add_field(reading, "at", 2, ".google.protobuf.Timestamp")
    add_map(reading, "values", 3, "string", "double", of=".plant.Reading")
    return file
