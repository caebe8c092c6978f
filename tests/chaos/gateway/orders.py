"""Orders to a gateway: to die, or to stop, just before or just behind one of its commits.

`install` reaches into the one process that calls it: nothing of it lives in the product.
An order is a file: ``{"within": "_keep", "when": "before", "skip": 3, "signal": 9}``. It holds for
commits below a function of that name (empty is any), and is gone once it was obeyed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

_LOCK = threading.Lock()


def install(path: str, plant: str) -> None:
    """Look at the order whenever something is committed, and plant a bug if asked to."""
    from sqlalchemy.engine.default import DefaultDialect

    order = Path(path)
    commit = DefaultDialect.do_commit

    def do_commit(dialect: Any, connection: Any) -> None:
        _obey(order, "before")
        commit(dialect, connection)
        _obey(order, "after")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
    if plant:
        from tests.chaos.gateway import plants

        plants.plant(plant)


def _obey(path: Path, when: str) -> None:
    try:
        text = path.read_text()
    except OSError:
        return
    with _LOCK:
        try:
            order = json.loads(text)
        except ValueError:  # it is being written
            return
        if order["when"] != when or not _is_within(order["within"]):
            return
        skipped = getattr(_obey, "skipped", 0)
        if skipped < order["skip"]:
            _obey.skipped = skipped + 1  # type: ignore[attr-defined]
            return
        _obey.skipped = 0  # type: ignore[attr-defined]
        try:
            path.unlink()
        except OSError:
            return
        os.kill(os.getpid(), order["signal"])


def _is_within(name: str) -> bool:
    if not name:
        return True
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == name:
            return True
        frame = frame.f_back
    return False
