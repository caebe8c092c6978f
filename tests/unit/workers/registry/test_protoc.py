"""Descriptors of .proto texts, by the compiler."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")

from schemas.codec.confluent import SchemaFile
from schemas.codec.protobuf import protobuf_reader
from schemas.wire.errors import SchemaError
from tests.support.protos import message_class, reading_file
from workers.errors import RegistryUnavailableError
from workers.registry.protoc import MAIN, compile_protos

UNIT = SchemaFile(
    name="plant/unit.proto",
    text='syntax = "proto3";\npackage plant;\nmessage Unit { string name = 1; }\n',
)
READING = """
syntax = "proto3";
package plant;
import "plant/unit.proto";
import "google/protobuf/timestamp.proto";
message Reading {
  string sensor_id = 1;
  google.protobuf.Timestamp at = 2;
  Unit unit = 3;
}
"""


def read(text: str, references: list[SchemaFile], **fields: Any) -> Any:
    """A message of `plant.Reading`, written and read with the compiled text."""
    descriptors = compile_protos(text, references)
    message = message_class(descriptors, "plant.Reading")(**fields)
    reader = protobuf_reader(descriptors, MAIN, unit_ns=1_000_000)
    return reader(b"\0" + message.SerializeToString())


def test_a_text_with_imports_is_compiled():
    item = read(READING, [UNIT], sensor_id="a", at={"seconds": 2}, unit={"name": "bar"})
    assert item == {"sensor_id": "a", "at": 2000, "unit": {"name": "bar"}}


def test_a_descriptor_in_base64_is_taken_as_it_is():
    text = b64encode(reading_file().SerializeToString()).decode()
    assert read(text, [], sensor_id="a")["sensor_id"] == "a"


def test_a_descriptor_in_base64_is_found_by_those_that_import_it():
    unit = reading_file()
    unit.name = "as its author called it"
    unit.message_type[0].name = "Unit"
    unit.message_type[0].field[2].type_name = ".plant.Unit.ValuesEntry"
    text = b64encode(unit.SerializeToString()).decode()
    item = read(READING, [SchemaFile(name="plant/unit.proto", text=text)], sensor_id="a")
    assert item["unit"] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (READING, "plant/unit.proto"),
        ("message {", "does not compile"),
        ('syntax = "proto3"; message A { int32 a = 1; int32 b = 1; }', "already been used"),
        ("\0\ud7ff" * 100, "does not compile"),
        ("\ud800 {", "cannot be written"),
        ("message A {" * 5000, "does not compile"),
    ],
    ids=["import", "cut off", "two of a number", "junk", "half a character", "deep"],
)
def test_what_does_not_compile_is_an_unusable_schema_that_says_why(text: str, reason: str):
    with pytest.raises(SchemaError, match=reason) as caught:
        protobuf_reader(compile_protos(text, []), MAIN, unit_ns=1)(b"\0")
    assert "vigie-protoc-" not in str(caught.value), "a folder that is gone helps nobody"


@pytest.mark.parametrize(
    "name",
    [
        "../outside.proto",
        "/tmp/outside.proto",
        "a/../../outside.proto",
        "grpc_tools/__init__.py",
        "a\nb.proto",
        "",
        "x" * 600 + ".proto",
    ],
)
def test_a_registry_does_not_choose_which_files_are_written(name: str, tmp_path: Path):
    with pytest.raises(SchemaError, match=r"no name of a \.proto file"):
        compile_protos(READING, [SchemaFile(name=name, text="owned")])


def test_a_name_that_no_file_can_have_beside_the_others_is_an_unusable_schema():
    files = [SchemaFile(name=name, text=UNIT.text) for name in ("a.proto", "a.proto/b.proto")]
    with pytest.raises(SchemaError, match="cannot be written"):
        compile_protos(READING, files)


def test_a_compiler_that_is_ended_or_hangs_is_no_fault_of_the_schema(monkeypatch):
    def killed(*_arguments: Any, **_options: Any) -> Any:
        return subprocess.CompletedProcess([], -9, b"", b"")

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(RegistryUnavailableError, match="signal 9"):
        compile_protos(READING, [UNIT])

    def hangs(command: Any, **_options: Any) -> Any:
        raise subprocess.TimeoutExpired(command, 20)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(RegistryUnavailableError, match="longer than"):
        compile_protos(READING, [UNIT])
