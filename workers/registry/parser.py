"""The parser of records in Confluent's wire format, from the settings."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Final

from schemas.codec.avro import avro_reader
from schemas.codec.confluent import ConfluentParser, Reader, SchemaFile
from schemas.codec.json_readings import parse_object
from schemas.codec.protobuf import protobuf_reader
from schemas.settings import RegistrySettings, Settings
from schemas.wire.errors import SchemaError, excerpt
from schemas.wire.time_form import NS_PER
from workers.errors import SettingsError
from workers.registry.client import RegistryClient
from workers.registry.protoc import MAIN, compile_protos
from workers.registry.schemas import RegisteredSchema, Schemas

_PACKAGES: Final = ("fastavro", "google.protobuf", "grpc_tools")
_MAX_READER_SCHEMA_BYTES: Final = 2**20


def parser_of(
    settings: Settings, *, tick: Callable[[], None] = lambda: None
) -> ConfluentParser | None:
    """The parser of `input.format`; None for JSON, which the codec reads itself.

    Args:
        settings: the format, and where the registry is.
        tick: called whenever asking the registry has come a step further.

    Raises:
        SettingsError: as `registry_parser`.
    """
    if settings.input.format == "json":
        return None
    unit_ns = NS_PER[settings.input.places.time_unit]
    return registry_parser(settings.registry, unit_ns=unit_ns, tick=tick)


def registry_parser(
    settings: RegistrySettings, *, unit_ns: int, tick: Callable[[], None] = lambda: None
) -> ConfluentParser:
    """What parses records with the schemas of a registry. Asks nothing before the first record.

    `parse` raises RegistryUnavailableError while the registry is away, and SettingsError when it
    rejects us; both leave the batch as it was.

    Args:
        settings: where the registry is.
        unit_ns: nanoseconds of the unit of `input.time_unit`.
        tick: as for `parser_of`.

    Raises:
        SettingsError: no registry is set, the extra is not installed, or a file is wrong.
    """
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise SettingsError(
                f"reading Avro and Protobuf needs the package {error.name}:"
                " pip install 'vigie[registry]'"
            ) from error
    client = RegistryClient(settings)
    wanted = _reader_schema(settings)
    if wanted is not None:
        try:
            avro_reader(wanted, (), unit_ns=unit_ns)
        except SchemaError as error:
            raise SettingsError(f"registry.reader_schema: {error}") from error
    schemas = Schemas(
        client.get,
        url=client.url,
        build=partial(build_reader, unit_ns=unit_ns, wanted=wanted),
        max_schemas=settings.max_schemas,
        tick=tick,
    )
    return ConfluentParser(schemas.reader_of)


def build_reader(
    schema: RegisteredSchema, *, unit_ns: int, wanted: SchemaFile | None = None
) -> Reader:
    """What reads the records of a schema; arguments and errors as of its kind's reader."""
    if schema.kind == "AVRO":
        return avro_reader(schema.file, schema.references, unit_ns=unit_ns, wanted=wanted)
    if schema.kind == "PROTOBUF":
        descriptors = compile_protos(schema.file.text, schema.references)
        return protobuf_reader(descriptors, MAIN, unit_ns=unit_ns)
    if schema.kind == "JSON":
        return parse_object
    raise SchemaError(f"is of the kind {excerpt(schema.kind)}; AVRO, PROTOBUF and JSON are read")


def _reader_schema(settings: RegistrySettings) -> SchemaFile | None:
    path = settings.reader_schema
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_READER_SCHEMA_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsError(f"registry.reader_schema: {path}: {error}") from error
    return SchemaFile(name=path.name, text=text)
