"""What goes wrong with files."""

from __future__ import annotations

from workers.errors import VigieError


class FileFormatError(VigieError):
    """A file cannot be read as readings. The message names file, row and column, and a way out."""
