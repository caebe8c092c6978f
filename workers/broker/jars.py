"""Kafka's jars: pinned by sha256, fetched once from Maven Central, checked at every start.

``jars.json`` beside this module names every jar, its size and its sha256. A jar reaches the cache
only whole: it is fetched into a staging folder, checked, then renamed. So an interrupted fetch, two
fetches at once and a damaged cache all end in the same place: the pinned bytes or a clear error.

``VIGIE_MAVEN_URL`` names a mirror of Maven Central. ``python -m workers.broker.jars`` resolves the
closure again and prints a new ``jars.json``.

Left out: signatures (the pinned digests stand for them) and any version but the pinned one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workers.errors import ProvisioningError

KAFKA_VERSION: Final = "4.4.0"
_ENDPOINT: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_LOCK_FILE: Final = Path(__file__).with_name("jars.json")
_ATTEMPTS: Final = 2
_PARALLEL: Final = 4
_TIMEOUT_S: Final = 30

OnProgress = Callable[[int, int], None]
"""Called with (bytes present so far, bytes in all), from any thread, one call at a time."""


def unheard(done: int, total: int) -> None:
    """An `OnProgress` for nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name in the cache; unique over the closure."""
        return f"{self.artifact}-{self.version}.jar"

    def is_whole(self, path: Path) -> bool:
        """True if ``path`` holds exactly the pinned bytes."""
        try:
            if path.stat().st_size != self.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def pinned_jars() -> list[Jar]:
    """Every jar of the broker, as pinned in ``jars.json``."""
    return [Jar(**entry) for entry in json.loads(_LOCK_FILE.read_text(encoding="utf-8"))]


def fetch_jars(
    cache: Path,
    *,
    on_progress: OnProgress = unheard,
    jars: Sequence[Jar] | None = None,
    maven_url: str | None = None,
) -> list[Path]:
    """Return the class path, fetching what is missing or damaged.

    Args:
        cache: Vigie's cache folder; created when absent.
        on_progress: called with the bytes, for a progress bar.
        jars: what to fetch; None is the pinned broker.
        maven_url: where from; None is ``VIGIE_MAVEN_URL``, and without that Maven Central.

    Returns:
        The paths of all jars, in the pinned order.

    Raises:
        ProvisioningError: no network, no space, no right to write, or bytes that are not the
            pinned ones even when fetched again.
    """
    jars = pinned_jars() if jars is None else jars
    folder = cache / "kafka" / KAFKA_VERSION
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        missing = [jar for jar in jars if not jar.is_whole(folder / jar.file_name)]
        if missing:
            with (folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits, then finds them whole
                missing = [jar for jar in missing if not jar.is_whole(folder / jar.file_name)]
                _fetch(jars, missing, folder, on_progress, maven_url)
    return [folder / jar.file_name for jar in jars]


def _fetch(
    jars: Sequence[Jar],
    missing: Sequence[Jar],
    folder: Path,
    on_progress: OnProgress,
    maven_url: str | None,
) -> None:
    """Fetch ``missing`` side by side into a staging folder and move them into ``folder``."""
    total = sum(jar.size for jar in jars)
    done = total - sum(jar.size for jar in missing)
    guard = threading.Lock()

    def add(count: int) -> None:
        nonlocal done
        with guard:
            done = min(done + count, total)
            on_progress(done, total)

    add(0)
    staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            tasks = [
                pool.submit(_fetch_one, jar, folder, _maven(staging, add, maven_url))
                for jar in missing
            ]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(jar: Jar, folder: Path, context: Any) -> None:
    """Fetch one jar, check it, and rename it into place.

    Raises:
        ProvisioningError: after the last attempt the bytes still are not the pinned ones.
    """
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    for _attempt in range(_ATTEMPTS):
        path = Path(component.artifact().resolve())
        if jar.is_whole(path):
            path.replace(folder / jar.file_name)
            return
        path.unlink(missing_ok=True)
    raise ProvisioningError(
        f"{jar.file_name} was fetched {_ATTEMPTS} times and is never the pinned file "
        f"(sha256 {jar.sha256[:16]}...): a proxy or mirror alters it. Check VIGIE_MAVEN_URL and "
        "the proxy, or copy the jar from a machine that can reach Maven Central."
    )


def _maven(staging: Path, add: Callable[[int], None], maven_url: str | None = None) -> Any:
    """A jgo context that downloads below ``staging`` and reports bytes to ``add``.

    Raises:
        ProvisioningError: jgo is not installed.
    """
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise ProvisioningError(
            "Kafka's jars are not in the cache, and fetching them needs the package jgo: "
            "pip install 'vigie[broker]'"
        ) from error

    @contextmanager
    def report(_name: str, _total: int) -> Iterator[Callable[[int], None]]:
        yield add

    url = maven_url or os.environ.get("VIGIE_MAVEN_URL") or MAVEN_CENTRAL_URL
    return MavenContext(
        resolver=PythonResolver(progress_callback=report),
        repo_cache=staging,
        remote_repos={"central": url.rstrip("/")},
        timeout=_TIMEOUT_S,
    )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the file system and the network raise into an error that says what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: jgo, when no repository has the file
        number = getattr(error, "errno", None)
        if number in {errno.ENOSPC, errno.EDQUOT}:
            problem = (
                f"No space left for Kafka's jars (45 MB) in {folder}: free some, or point "
                "VIGIE_CACHE_DIR at a disk with room."
            )
        elif number in {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST}:
            problem = (
                f"Cannot write Kafka's jars to {folder} ({os.strerror(number)}): point "
                "VIGIE_CACHE_DIR at a folder of yours."
            )
        else:
            problem = (
                f"Kafka's jars are not in the cache ({folder}) and Maven Central cannot be reached "
                f"({type(error).__name__}). Check the network and the proxy (HTTPS_PROXY), name a "
                "mirror with VIGIE_MAVEN_URL, copy the cache folder from another machine, or use a "
                "broker of your own with --bootstrap."
            )
        raise ProvisioningError(problem) from error


def _lock() -> str:
    """Resolve the closure, fetch it, and return the text of a new ``jars.json``."""
    import jgo

    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for artifact in jgo.resolve(_ENDPOINT):
            context = _maven(Path(folder), lambda _count: None)
            component = context.project(artifact.groupId, artifact.artifactId)
            data = Path(component.at_version(artifact.version).artifact().resolve()).read_bytes()
            entries.append(
                {
                    "group": artifact.groupId,
                    "artifact": artifact.artifactId,
                    "version": artifact.version,
                    "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
    return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in entries) + "\n]\n"


if __name__ == "__main__":
    print(_lock(), end="")  # noqa: T201 - the output is the file
