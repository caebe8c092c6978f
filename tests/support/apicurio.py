"""A real schema registry on this machine: Apicurio, from Maven Central, with the bundled Java.

For tests only. It is fetched once (159 MB) into Vigie's cache, pinned by sha256, and keeps what is
registered in memory. Its API for clients of Confluent's is below `/apis/ccompat/v7`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.wait import wait_until
from workers.broker import jars, reaper
from workers.broker.folders import cache_folder
from workers.broker.java import JavaSource, find_java
from workers.broker.ports import free_port
from workers.errors import ProvisioningError

VERSION: Final = "3.3.3"
SHA256: Final = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"


def apicurio_folder() -> Path:
    """Where Apicurio lies, fetched if it is not there yet.

    Raises:
        ProvisioningError: it cannot be fetched.
    """
    folder = cache_folder() / "apicurio" / VERSION
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
            try:
                _fetch(staging).rename(folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return folder


def _fetch(staging: Path) -> Path:
    """The unpacked distribution below a staging folder."""
    component = (
        jars._maven(staging / "maven", lambda _count: None)
        .project("io.apicurio", "apicurio-registry-app")
        .at_version(VERSION)
    )
    try:
        archive = Path(component.artifact(classifier="all", packaging="tar.gz").resolve())
    except (OSError, RuntimeError) as error:
        raise ProvisioningError(f"Apicurio {VERSION} cannot be fetched: {error}") from error
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert digest == SHA256, f"{archive.name} is not the pinned file, its sha256 is {digest}"
    unpacked = staging / "unpacked"
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    return unpacked


@dataclass(frozen=True)
class Apicurio:
    """A running registry.

    Attributes:
        url: of its API for clients of Confluent's.
    """

    url: str

    def register(
        self,
        subject: str,
        text: Any,
        kind: str = "AVRO",
        references: Sequence[Mapping[str, Any]] = (),
    ) -> int:
        """Register a schema as a producer does; returns its id."""
        body = {
            "schema": text if isinstance(text, str) else json.dumps(text),
            "schemaType": kind,
            "references": list(references),
        }
        request = urllib.request.Request(
            f"{self.url}/subjects/{subject}/versions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(json.load(answer)["id"])


@contextmanager
def apicurio_running(log: Path) -> Iterator[Apicurio]:
    """Start it, wait until it answers, and end it with the block or with this process."""
    port, management = free_port(), free_port()
    jar = apicurio_folder() / "quarkus-run.jar"
    java = [find_java(JavaSource.BUNDLED), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-jar", jar]
    environment = {
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
        "QUARKUS_MANAGEMENT_PORT": str(management),
    }
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, reaper.__file__, "--watch", "stdin", "--", *map(str, java)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(url), within=90, what="Apicurio's answer"
        )
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        yield Apicurio(url)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/subjects", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
