"""Files to read, and what was read in a form that is easy to compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workers.data.files import read_files
from workers.data.history import History
from workers.data.layout import make_layout

MakeFile = Callable[..., Path]
Read = Callable[..., History]


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Write text or bytes to a file, in a folder if its name has one."""

    def make(content: str | bytes, name: str = "pump.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


@pytest.fixture
def read(make_file: MakeFile) -> Read:
    """Read the content of one file, under keys of a layout."""

    def run(content: str | bytes, name: str = "pump.csv", **keys: object) -> History:
        return read_files([make_file(content, name)], make_layout(keys))

    return run
