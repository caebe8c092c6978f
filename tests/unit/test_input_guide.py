"""docs/guide-input.md, guide-registry.md: each record there is read by the settings below it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from schemas.settings import load_settings
from schemas.settings.input import PRESETS
from schemas.wire.timestamp import to_ns
from tests.support.framed import avro_bytes, framed
from tests.support.registry import registry_running
from workers.registry.parser import parser_of
from workers.registry.protoc import compile_protos
from workers.stream.input import Candidate, Input

DOCS = Path(__file__).parents[2] / "docs"
PAGE, REGISTRY_PAGE = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("guide-input.md", "guide-registry.md")
)
BLOCKS = [
    block
    for page in (PAGE, REGISTRY_PAGE)
    for block in re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if block[0] != "console"
]


class Example(NamedTuple):
    """A record, what it says beside its value, the settings, and the readings in it.

    `kind` and `schema` are those of the block in front of it, if that is a schema.
    """

    record: str
    beside: str
    settings: str
    readings: str
    kind: str = ""
    schema: str = ""


def examples():
    found, blocks = [], list(BLOCKS)
    while blocks:
        kind, schema = "", ""
        if blocks[0][0] in SCHEMAS:
            kind, _, schema = blocks.pop(0)
        record, settings, readings, *blocks = blocks
        assert [record[0], settings[0], readings[0]] == ["json", "toml", "text"], record
        found.append(Example(record[2], record[1], settings[2], readings[2], kind, schema))
    return found


SCHEMAS = {"avsc": "AVRO", "proto": "PROTOBUF"}
EXAMPLES = examples()
PLAIN = [example for example in EXAMPLES if not example.kind]
REGISTERED = [example for example in EXAMPLES if example.kind]


def candidate(example):
    beside = dict(part.split("=", 1) for part in shlex.split(example.beside))
    headers = [
        (name.removeprefix("header:"), value.encode())
        for name, value in beside.items()
        if name.startswith("header:")
    ]
    return Candidate(
        value=example.record.encode(),
        headers=headers,
        timestamp=int(beside.get("timestamp", -1)),
        key=beside["key"].encode() if "key" in beside else None,
    )


def test_the_pages_have_examples_of_all_kinds():
    assert len(PLAIN) > 15
    assert {example.kind for example in REGISTERED} == set(SCHEMAS)


def test_every_preset_is_on_the_page():
    shown = set(re.findall(r'^preset = "(\w+)"$', PAGE, re.MULTILINE))
    assert shown == set(PRESETS) - {"vigie"}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(PRESETS)


def settings_of(example, tmp_path, **environ):
    path = tmp_path / "vigie.toml"
    path.write_text(example.settings, encoding="utf-8")
    return load_settings(path, environ=environ)


@pytest.mark.parametrize("example", PLAIN, ids=range(len(PLAIN)))
def test_each_example_is_read_as_the_page_says(example, tmp_path):
    check_is_read(example, settings_of(example, tmp_path), candidate(example))


def serialised(example):
    """The record as a serialiser writes it with the schema of the page."""
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

    if example.kind == "avsc":
        return avro_bytes(json.loads(example.schema), json.loads(example.record))
    files = descriptor_pb2.FileDescriptorSet.FromString(compile_protos(example.schema, ()))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("plant.Reading"))()
    json_format.Parse(example.record, made)
    return b"\0" + made.SerializeToString()


@pytest.mark.parametrize("example", REGISTERED, ids=lambda example: example.kind)
def test_each_example_with_a_schema_is_read_through_a_registry(example, tmp_path):
    pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
    pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")
    with registry_running() as registry:
        registry.add(7, example.schema, SCHEMAS[example.kind])
        settings = settings_of(example, tmp_path, VIGIE_REGISTRY__URL=registry.url)
        given = replace(candidate(example), value=framed(7, serialised(example)))
        check_is_read(example, settings, given)


def check_is_read(example, settings, given):
    lines = [line.split(" ") for line in example.readings.splitlines()]
    channels = [word.split("=")[0] for word in lines[0][2:]]

    reader = Input(channels, settings.stream, settings.input, parser_of(settings))
    batch = reader.accept([given])

    assert batch.failures == []
    readings = batch.readings
    assert np.repeat(readings.sensors, readings.counts).tolist() == [line[0] for line in lines]
    assert readings.ts_ns.tolist() == [to_ns(line[1]) for line in lines]
    values = [[word.split("=")[1] for word in line[2:]] for line in lines]
    expected = [[float(v.replace("missing", "nan")) for v in row] for row in values]
    assert np.array_equal(readings.values, expected, equal_nan=True)
