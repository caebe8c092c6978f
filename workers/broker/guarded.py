"""A process of ours behind the reaper, for as long as a block lasts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from schemas.settings.loading import ENV_PREFIX
from workers.broker import reaper

_STOP_WITHIN_S: Final = 20.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@contextmanager
def guarded(
    command: Sequence[str],
    *,
    log: IO[bytes] | None = None,
    remove: Path | None = None,
    environment: Mapping[str, str] = _NOTHING,
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that Ctrl-C does not reach, and that does not outlive us, however we end.

    Args:
        command: it needs none of our settings, or their secrets, and gets none.
        log: takes all that it says; without it that goes where ours goes.
        remove: a folder that the reaper removes behind it.
        environment: beside ours.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    guard = [sys.executable, "-I", "-S", str(reaper.__file__), "--watch", "stdin"]
    guard += [] if remove is None else ["--remove", str(remove)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*guard, "--", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        env=ours | dict(environment),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
