"""What goes wrong with files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workers.errors import VigieError


class FileFormatError(VigieError):
    """A file cannot be read as readings. The message names file, row and column, and a way out.

    Attributes:
        ways_out: keys of a layout that may help, each with its values; the likeliest first. One
            alone is as good as certain.
    """

    def __init__(self, message: str, *, ways_out: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.ways_out = tuple(ways_out)


def listed(names: Iterable[str]) -> str:
    """Names, quoted, at most twelve."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")  # noqa: PLR2004
