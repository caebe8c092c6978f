"""The actors as the supervisor sees them: handles whose calls never block.

The supervisor works on these protocols, so its tests need no cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workers.errors import VigieError
from workers.stream.health import Health
from workers.supervision.status import ScorerPulse


class WorkerGoneError(VigieError):
    """An actor's process is gone: killed, out of memory, or its machine lost."""


class WorkerAwayError(VigieError):
    """An actor's process is gone, and Ray starts another behind the same handle."""


class Worker(Protocol):
    """One ingest actor, from its start to its end."""

    def over(self) -> bool:
        """Whether its run has ended."""
        ...

    def result(self) -> Health:
        """How its run ended; only when it is over.

        Raises:
            WorkerGoneError: the process died.
            Exception: whatever the run raised.
        """
        ...

    def health(self) -> Health | None:
        """The health asked for before, if it has come; then asks again. None: not yet."""
        ...

    def last_health(self) -> Health | None:
        """Ask once more and wait a moment: after its run failed, the actor still answers."""
        ...

    def stop(self) -> None:
        """Ask it to drain and end."""
        ...

    def use_scorers(self, scorers: Sequence[Scorer]) -> None:
        """Have it send its calls to these from now on."""
        ...

    def kill(self) -> None:
        """End its process, whatever it does."""
        ...


class Scorer(Protocol):
    """One scorer actor."""

    def pulse(self) -> ScorerPulse | None:
        """The pulse asked for before, if it has come; then asks again. None: not yet.

        Raises:
            WorkerGoneError: it is gone for good, or could not even begin.
            WorkerAwayError: it died, and another is on its way.
        """
        ...

    def restart(self) -> None:
        """End its process and have another one take its place behind the same handle."""
        ...

    def kill(self) -> None:
        """End it for good."""
        ...


class Staff(Protocol):
    """Hires workers."""

    def ingest(self, slot: int, scorers: Sequence[Scorer]) -> Worker:
        """Start an ingest worker."""
        ...

    def scorer(self) -> Scorer:
        """Start a scorer."""
        ...

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> None:
        """Return when one of them is over, at the latest after `timeout_s`."""
        ...
