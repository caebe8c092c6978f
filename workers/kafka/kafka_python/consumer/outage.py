"""One warning when the broker goes, one line when it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from kafka.errors import KafkaError

log = logging.getLogger(__name__)

_PROBE_AFTER_S: Final = 3.0


class Outage:
    """What a source knows of it; see the module."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._since: float | None = None
        self._heard = time.monotonic()

    def is_doubtful(self) -> bool:
        """True when nothing was heard for a while."""
        return time.monotonic() - self._heard > _PROBE_AFTER_S

    def probe(self, ask: Callable[[], None]) -> None:
        """Ask the broker something, and take its silence for an outage."""
        try:
            ask()
        except (KafkaError, OSError) as error:
            self.began(error)
        else:
            self.ended()

    def began(self, error: BaseException) -> None:
        """No answer: warn, once per outage."""
        self._heard = time.monotonic()  # the next probe is due in a while
        if self._since is None:
            self._since = self._heard
            log.warning(
                "the broker at %s does not answer (%s); waiting for it",
                self._bootstrap,
                type(error).__name__,
            )

    def ended(self) -> None:
        """The broker answered."""
        self._heard = time.monotonic()
        if self._since is not None:
            log.info(
                "the broker at %s is back after %.1f s", self._bootstrap, self._heard - self._since
            )
            self._since = None
