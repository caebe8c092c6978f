"""One screen for one purpose: whatever Ray, Kafka or torch say goes to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def only_ours(log: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Send standard output and error of this process and its children to a file.

    Args:
        log: appended to.

    Yields:
        The output and the error stream of before, for what is meant to be seen.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    before = sys.stdout, sys.stderr
    saved = os.dup(1), os.dup(2)
    with (
        os.fdopen(saved[0], "w", encoding="utf-8", closefd=True) as out,
        os.fdopen(saved[1], "w", encoding="utf-8", closefd=True) as err,
        log.open("a", encoding="utf-8") as file,
    ):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            yield out, err
        finally:
            file.flush()
            out.flush()
            err.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            sys.stdout, sys.stderr = before
