"""Settings whose text is in a file: `VIGIE_<SECTION>__<KEY>_FILE` names it.

The convention of Docker's images, for secrets that are mounted. A file can change while a program
runs: Kubernetes swaps the folder of a secret for another one, so that a reader sees the old text or
the new one, and nothing between.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

SUFFIX: Final = "_FILE"
MAX_SECRET_BYTES: Final = 65_536


class SecretFileError(ValueError):
    """A file of a secret that cannot be used. Its content is in no message."""


def read_secret(path: Path) -> str:
    """The text of a file, without the line ends after it.

    Raises:
        SecretFileError: missing, unreadable, no plain file, empty, too large, not UTF-8.
    """
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SecretFileError("is no plain file")
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretFileError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_SECRET_BYTES:
        raise SecretFileError(f"is larger than {MAX_SECRET_BYTES} bytes; is it the right file?")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SecretFileError(f"is not UTF-8: byte {error.start}") from None
    if not text:
        raise SecretFileError("is empty")
    return text


def fingerprints(paths: Iterable[Path]) -> Mapping[Path, str]:
    """What tells whether one of the files has changed; those that cannot be read are left out."""
    found = {}
    for path in paths:
        try:
            found[path] = hashlib.sha256(read_secret(path).encode()).hexdigest()
        except SecretFileError:
            continue
    return found
