"""The files of the page: read once, sent with a hash by which a browser knows that it has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["StaticFile", "static_file"]

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file as it is sent.

    Attributes:
        content: its bytes.
        media_type: what it is.
        etag: changes with its bytes.
    """

    content: bytes
    media_type: str
    etag: str


def static_file(name: str) -> StaticFile | None:
    """A file of the page by its path below `static`; None if there is none."""
    return _files().get(name)


@cache
def _files() -> dict[str, StaticFile]:
    """All of them: a path that is asked for is looked up, never opened."""
    found = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            content = path.read_bytes()
            found[path.relative_to(_FOLDER).as_posix()] = StaticFile(
                content=content,
                media_type=_TYPES[path.suffix],
                etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            )
    return found
