"""The actors as the supervisor sees them: handles whose calls never block.

The supervisor works on these protocols, so its tests need no cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workers.errors import ClusterError, VigieError
from workers.stream.health import Health, Phase
from workers.version import own_version


class ActorLostError(VigieError):
    """An actor's process is gone for good: killed, out of memory, or its machine lost."""


class ActorAwayError(VigieError):
    """An actor's process is gone, and Ray starts another behind the same handle."""


class ActorEndedError(VigieError):
    """An actor has ended and does not come back.

    Attributes:
        cause: what it died of; None when it ended by itself.
        health: the last one of an ingest worker, if it could still be had.
    """

    def __init__(self, cause: BaseException | None, *, health: Health | None = None) -> None:
        super().__init__(str(cause or "it ended by itself"))
        self.cause, self.health = cause, health


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """A sign of life of an actor. A plain value that pickles.

    Attributes:
        node: where its process runs, as Ray names it.
        pid: its process there.
        begun, ended: scoring calls since it started.
        health: of an ingest worker; None of a scorer.
        version: of Vigie there; older ones do not say it.
    """

    node: str
    pid: int
    begun: int = 0
    ended: int = 0
    health: Health | None = None
    version: str = field(default_factory=own_version)

    @property
    def is_loading(self) -> bool:
        """Whether it still loads its model or connects, and may hold the interpreter for long."""
        return self.health is not None and self.health.phase is Phase.STARTING


class OtherVersionError(ClusterError):
    """An actor's node has another version of Vigie than its driver."""


def other_version(heartbeat: Heartbeat, driver: str) -> OtherVersionError | None:
    """The error of an actor whose node has another version than the driver; None if it has not."""
    version = getattr(heartbeat, "version", "an older version")
    if version == driver:
        return None
    return OtherVersionError(
        f"Ray node {heartbeat.node} has Vigie {version}, its driver has {driver}: "
        "start the nodes of the cluster again with the driver's image"
    )


class ActorHandle(Protocol):
    """One actor, from its start to its end."""

    def heartbeat(self) -> Heartbeat | None:
        """The heartbeat asked for before, if it has come; then asks again. None: not yet.

        Raises:
            ActorEndedError: there will be none any more.
            ActorAwayError: it died, and another is on its way.
        """

    def restart(self) -> bool:
        """Have another process take its place behind the handle; False if its kind cannot."""

    def stop(self) -> None:
        """Ask it to finish what it has and end."""

    def kill(self) -> None:
        """End its process for good, whatever it does."""


class ActorLauncher(Protocol):
    """Starts actors."""

    def ingest(self, slot: int, scorers: Sequence[ActorHandle]) -> ActorHandle:
        """Start an ingest worker that has its scoring done by `scorers`, or does it itself."""

    def scorer(self) -> ActorHandle:
        """Start a scorer."""

    def connect(self, workers: Sequence[ActorHandle], scorers: Sequence[ActorHandle]) -> None:
        """Have ingest workers send their calls to these scorers from now on."""

    def leaving_nodes(self) -> frozenset[str]:
        """Nodes that are about to go, as heartbeats name them; Ray starts nothing there any more.

        Raises:
            ClusterLostError: the cluster is gone.
        """

    def wait(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        """Return when the run of one of these ingest workers is over, at most after `timeout_s`."""
