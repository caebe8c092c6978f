"""Descriptors of .proto texts, by the compiler that comes with `grpcio-tools`.

A registry gives Protobuf schemas as text; the message itself cannot be read without descriptors.
Some registries give descriptors on demand, and differ in how (Apicurio 3.3 damages them), so the
text is compiled: by protoc, in a process of its own, once a schema. A text that is a descriptor in
base64 (confluent-kafka's serialiser for Python registers such) is taken as it is.
"""

from __future__ import annotations

import binascii
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Final

from schemas.codec.confluent import SchemaFile
from schemas.wire.errors import SchemaError, excerpt
from workers.errors import RegistryUnavailableError

MAIN: Final = "record.vigie.proto"
"""What the file is called that a schema's id stands for; nobody else imports it."""
_WITHIN_S: Final = 20.0
_MAX_NAME_CHARS: Final = 200


def compile_protos(text: str, references: Sequence[SchemaFile]) -> bytes:
    """A serialised `FileDescriptorSet` of a schema, its references and what all of them import.

    Args:
        text: becomes the file `MAIN`.
        references: by the names under which they are imported.

    Raises:
        SchemaError: says what the compiler says.
        RegistryUnavailableError: the compiler was ended or took too long, which is not the
            schema's fault: ask again later.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    described = FileDescriptorSet()
    with tempfile.TemporaryDirectory(prefix="vigie-protoc-") as folder:
        for file in (*references, SchemaFile(name=MAIN, text=text)):
            name = _checked_name(file.name)
            descriptor = _descriptor(file.text)
            if descriptor is None:
                _write(Path(folder, "texts", name), file)
            else:
                descriptor.name = name
                described.file.append(descriptor)
        Path(folder, "texts").mkdir(exist_ok=True)
        Path(folder, "described").write_bytes(described.SerializeToString())
        return _run(Path(folder))


def _run(folder: Path) -> bytes:
    texts, made = folder / "texts", folder / "made"
    command = [
        sys.executable, "-m", "grpc_tools.protoc", f"-I{texts}", f"-I{_well_known()}",
        f"--descriptor_set_in={folder / 'described'}", "--include_imports",
        f"--descriptor_set_out={made}", MAIN,
    ]  # fmt: skip
    try:
        ended = subprocess.run(command, capture_output=True, check=False, timeout=_WITHIN_S)  # noqa: S603 - our own words, checked names
    except subprocess.TimeoutExpired as error:
        raise RegistryUnavailableError(f"protoc took longer than {_WITHIN_S:g} s") from error
    if ended.returncode < 0:
        raise RegistryUnavailableError(f"protoc was ended by signal {-ended.returncode}")
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").replace(f"{texts}/", "").strip()
        raise SchemaError(f"the Protobuf schema does not compile: {excerpt(said, 300)}")
    return made.read_bytes()


def _write(path: Path, file: SchemaFile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    except (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        raise SchemaError(
            f"the Protobuf file {excerpt(file.name)} cannot be written: {type(error).__name__}"
        ) from error


def _well_known() -> Path:
    """The folder of google/protobuf/*.proto."""
    spec = find_spec("grpc_tools")
    assert spec is not None, "looked for before a parser is made"
    assert spec.origin is not None
    return Path(spec.origin).parent / "_proto"


def _checked_name(name: str) -> str:
    """The name, if it is that of a file below a folder.

    Raises:
        SchemaError: it leads elsewhere; a registry must not choose what is overwritten.
    """
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or path.suffix != ".proto"
        or len(name) > _MAX_NAME_CHARS
        or not name.isprintable()
    ):
        raise SchemaError(f"{excerpt(name, 100)} is no name of a .proto file")
    return name


def _descriptor(text: str) -> Any:
    """The `FileDescriptorProto` that a text is in base64, None if it is a .proto text."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    try:
        # No .proto text passes: it has a blank or a brace.
        return FileDescriptorProto.FromString(b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError):
        return None
