"""Secrets that change under way: new settings, once the broker takes them.

The files of secrets (`schemas.settings.secret_files`) are looked at every few seconds. When one has
changed, the settings are read anew and one connection is tried with them. A secret that comes
before the broker knows it therefore stops nothing: what runs goes on with the old one, and the new
one is tried again until it is good.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from schemas.settings import InvalidSettingsError, Settings, SettingsSource
from workers.errors import VigieError
from workers.kafka.factory import admin_of, connection_of

__all__ = ["SecretRotation"]

log = logging.getLogger(__name__)

_EVERY_S: Final = 5.0
_ASK_WITHIN_S: Final = 5.0


class SecretRotation:
    """What a program that runs knows of its secrets; `take` from any thread."""

    def __init__(self, source: SettingsSource, *, every_s: float = _EVERY_S) -> None:
        """Of the source that the settings in use were read from; `watching` begins to look."""
        self._source, self._every_s = source, every_s
        self._known = dict(source.fingerprint())
        self._fresh: Settings | None = None
        self._lock = threading.Lock()
        self._said = ""

    def take(self) -> Settings | None:
        """The settings with the new secrets, once; None while nothing is new."""
        with self._lock:
            fresh, self._fresh = self._fresh, None
        return fresh

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look until the block ends; without a file of a secret there is nothing to look at."""
        if not self._source.secret_files:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(stop,), name="vigie-secrets", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(2 * _ASK_WITHIN_S)

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(self._every_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the watch outlives whatever it finds
                self._say(f"looking failed ({type(error).__name__})")  # its text may show one

    def look(self) -> None:
        """Look once, and try what is new."""
        now = self._source.fingerprint()
        # One that cannot be read at the moment is being replaced.
        changed = sorted(str(path) for path in now if self._known.get(path) != now[path])
        if not changed:
            return
        try:
            fresh = self._source.load()
            if not admin_of(connection_of(fresh.kafka)).answers(timeout_s=_ASK_WITHIN_S):
                self._say("the broker does not answer")
                return
        except (VigieError, InvalidSettingsError) as error:
            self._say(str(error))
            return
        self._known.update(now)
        self._said = ""
        log.info("new secrets in %s; going on with them", ", ".join(changed))
        with self._lock:
            self._fresh = fresh

    def _say(self, why: str) -> None:
        """Once, not at every look."""
        if why != self._said:
            self._said = why
            log.warning("new secrets cannot be used yet, the old ones stay: %s", why)
