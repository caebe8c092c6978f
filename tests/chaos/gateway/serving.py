"""A real `vigie serve` as a process, killed, stopped and started again."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Final

from tests.chaos.gateway.nursery import Child, Nursery

_LOOK_S: Final = 0.02


class Serving:
    """One `vigie serve` after another, in a folder with its settings."""

    def __init__(self, nursery: Nursery, folder: Path, settings: str, *, plant: str = "") -> None:
        """Start nothing yet.

        Args:
            nursery: starts it.
            folder: for settings, logs and orders.
            settings: the text of vigie.toml.
            plant: a bug; see `tests.chaos.gateway.plants`.
        """
        folder.mkdir(parents=True)
        (folder / "vigie.toml").write_text(settings)
        (folder / "serve.log").touch()
        self._nursery, self.folder, self._plant = nursery, folder, plant
        self.starts = 0
        self._said = 0
        self.endings: list[int] = []
        self._order = folder / "order"
        self._child: Child | None = None

    @property
    def log(self) -> Path:
        """What all of them said."""
        return self.folder / "serve.log"

    def start(self) -> None:
        """Start one; the one before must be gone."""
        assert self._child is None
        self.starts += 1
        self._said = self.log.stat().st_size
        self.revoke()
        environment = {
            "HOME": str(self.folder),
            "VIGIE_CHAOS_ORDER": str(self._order),
            "VIGIE_CHAOS_PLANT": self._plant,
        }
        arguments = ("serve", "--no-tokens", "--port", "0")
        self._child = self._nursery.start(self.folder, environment, arguments)

    def is_running(self) -> bool:
        """Whether it lives; notes how it ended if it does not."""
        if self._child is None:
            return False
        if self._child.code is None:
            return True
        self.endings.append(self._child.code)
        self._child = None
        return False

    def unexpected(self) -> list[int]:
        """Codes of those that ended by themselves, but for want of a database to begin with."""
        found = [code for code in self.endings if code not in {0, -SIGKILL}]
        without = self.log.read_text(errors="replace").count("Error: The database does not answer")
        return found[without:]

    def wait_ready(self, *, within_s: float) -> bool:
        """Whether the latest one says its address in time."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s and self.is_running():
            if b"Ctrl-C ends" in self.log.read_bytes()[self._said :]:
                return True
            time.sleep(_LOOK_S)
        return False

    def wait_gone(self, *, within_s: float) -> bool:
        """Whether it ends in time."""
        until_s = time.monotonic() + within_s
        while self.is_running():
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_S)
        return True

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is not None:
            self._child.signal(SIGKILL)
            self._child.ended.wait()
            self.is_running()

    def signal(self, number: Signals) -> None:
        """Send a signal, such as SIGSTOP."""
        if self._child is not None:
            self._child.signal(number)

    def order(self, *, within: str, when: str, skip: int, number: Signals) -> None:
        """Order it to send itself a signal around one of its commits."""
        text = json.dumps({"within": within, "when": when, "skip": skip, "signal": int(number)})
        draft = self._order.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(self._order)

    @property
    def is_ordered(self) -> bool:
        """Whether an order was not obeyed yet."""
        return self._order.exists()

    def revoke(self) -> None:
        """Take an order back."""
        with suppress(FileNotFoundError):
            self._order.unlink()

    def stop(self, *, within_s: float) -> int | None:
        """SIGTERM; its code, None if it had to be killed."""
        child = self._child
        if child is None:
            return None
        child.signal(SIGTERM)
        if not child.ended.wait(within_s):
            self.kill()
            return None
        self.is_running()
        return child.code
