"""One screen for one purpose: whatever Ray, Kafka or torch say goes to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def only_ours(log: Path) -> Iterator[TextIO]:
    """Send standard output and error of this process and its children to a file.

    Args:
        log: appended to.

    Yields:
        The output stream of before, for what is meant to be seen.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with (
        os.fdopen(os.dup(1), "w", encoding="utf-8") as out,
        os.fdopen(os.dup(2), "w", encoding="utf-8") as err,
    ):
        # The descriptors move, not `sys.stdout`: libraries keep that object for their own exit.
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            yield out
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            out.flush()
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
