"""`docker compose up` without Docker: the services of a compose file, natively, in its order.

Each service is a container of `tests.support.container` with an address of its own, where its name
leads for all others; conditions, health checks, volumes, secrets, users, tmpfs and the grace of a
stop are those of the file. Vigie's image is its Dockerfile's; foreign images are stood for by
`tests.support.compose_twins`. Stricter than Docker: what is to end has one try, and what is to stay
a few restarts. Left out: what publishes ports on the host, memory limits, GPUs, building, pulling.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.compose_file import DONE, HEALTHY, ours, read_compose, seconds, words_of
from tests.support.compose_twins import TWINS, Twin
from tests.support.container import Container, Mounts
from tests.support.dockerfile import Image
from tests.support.netns import Network
from tests.support.wait import wait_until

_HEALTH_EVERY_S: Final = 1.0
_MOST_RESTARTS: Final = 10


@dataclass(kw_only=True)
class Service:
    """One service that runs, or ran."""

    name: str
    spec: dict[str, Any]
    container: Container
    _looked_s: float = field(default=0.0, repr=False)
    _healthy: bool = field(default=False, repr=False)
    _restarts: int = 0

    @property
    def ports(self) -> list[int]:
        """On which it listens, by the file."""
        published = [port.rpartition(":")[2] for port in self.spec.get("ports", [])]
        return [int(port) for port in [*published, *self.spec.get("expose", [])]]

    @property
    def address(self) -> str:
        """Where it is reached."""
        assert self.container.node is not None
        return self.container.node.address

    def meets(self, condition: str) -> bool:
        """Whether it is as far as somebody waits for.

        Raises:
            AssertionError: it never will be.
        """
        if condition == DONE:
            if self.container.is_running():
                return False
            assert self.container.wait(0) == 0, self.trouble()
            return True
        return condition != HEALTHY or self.is_healthy()

    def is_healthy(self) -> bool:
        """What its health check says, asked once a second until it is content."""
        if not self._healthy and time.monotonic() - self._looked_s > _HEALTH_EVERY_S:
            kind, *words = self.spec["healthcheck"]["test"]
            assert kind == "CMD"
            try:
                self._healthy = self.container.execute(words, within_s=120).returncode == 0
            except AssertionError:  # it ended meanwhile
                self._healthy = False
            self._looked_s = time.monotonic()
        return self._healthy

    def restart_if_it_ended(self) -> None:
        """As `restart: unless-stopped` has it; on a busy machine Ray's nodes may need that.

        Raises:
            AssertionError: it ended too often.
        """
        if self.container.is_running():
            return
        assert self._restarts < _MOST_RESTARTS, self.trouble()
        self._restarts, self._healthy = self._restarts + 1, False
        self.container.remove()
        self.container.start()

    def trouble(self) -> str:
        """That it ended, and what it said last."""
        said = self.container.log.read_text(errors="replace")[-4000:]
        return f"{self.name} ended with {self.container.wait(0)}:\n{said}"


@dataclass(kw_only=True)
class Stack:
    """The services of a compose file.

    Attributes:
        checkout: with the file; its relative paths begin there.
        folder: for volumes, logs and secrets.
        image: of Vigie, with the mounts that hold its environment.
        profiles: that are on.
        skipped: services that have no twin here, which the caller is to say.
    """

    checkout: Path
    folder: Path
    network: Network
    image: Image
    environment: Mounts
    profiles: frozenset[str]
    secrets: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, Service] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._document = read_compose(self.checkout / "docker-compose.yml", self.environ)
        self._specs = {
            name: spec
            for name, spec in self._document["services"].items()
            if not spec.get("profiles") or self.profiles & set(spec["profiles"])
        }
        self._nodes = {name: self.network.add() for name in self._specs}
        lines = ["127.0.0.1 localhost", *(f"{n.address} {s}" for s, n in self._nodes.items())]
        (self.folder / "hosts").write_text("\n".join([*lines, ""]))
        (self.folder / "resolv.conf").write_text("")  # nobody beyond is asked for a name

    def up(self, *, within_s: float) -> None:
        """Start each service when those that it waits for are so far."""
        waiting = dict(self._specs)

        def all_started() -> bool:
            self.tend()
            for name, spec in list(waiting.items()):
                if self._may_start(spec):
                    self._start(name, waiting.pop(name))
            return not waiting

        wait_until(all_started, within=within_s, what="docker compose up")

    def tend(self) -> None:
        """Start what ended and is to stay again, as Docker does."""
        for service in self.running.values():
            if service.spec["restart"] == "unless-stopped":
                service.restart_if_it_ended()

    def down(self) -> dict[str, int]:
        """Stop whatever runs, last started first, with its grace; returns the exit codes."""
        codes = {}
        for name, service in reversed(self.running.items()):
            how = signal.Signals[service.spec.get("stop_signal", "SIGTERM")]
            grace_s = seconds(service.spec.get("stop_grace_period", "10s"))
            codes[name] = service.container.stop(how, grace_s)
        return codes

    def _may_start(self, spec: Mapping[str, Any]) -> bool:
        waits = spec.get("depends_on", {})
        return all(
            other in self.running and self.running[other].meets(wait["condition"])
            for other, wait in waits.items()
            if other in self._specs or wait.get("required", True)
        )

    def _start(self, name: str, spec: dict[str, Any]) -> None:
        is_ours = name in ours(self._specs)
        if not is_ours and TWINS[name].why_not():
            self.skipped.append(f"{name}: {TWINS[name].why_not()}")
            return
        container = self._ours(name, spec) if is_ours else self._foreign(name, spec, TWINS[name])
        self.running[name] = Service(name=name, spec=spec, container=container)
        container.start()

    def _ours(self, name: str, spec: dict[str, Any]) -> Container:
        image = self.image
        default = [] if "entrypoint" in spec else image.command
        command = [
            *words_of(spec.get("entrypoint", image.entrypoint)),
            *words_of(spec.get("command", default)),
        ]
        uid, _, gid = image.user.partition(":")
        path = image.env["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        return Container(
            command=command,
            env=image.env | {"PATH": path} | spec.get("environment", {}),
            user=(int(uid), int(gid)),
            mounts=[*self.environment, *self._mounts(spec, int(uid))],
            folder=image.folder,
            **self._common(name, spec),
        )

    def _foreign(self, name: str, spec: dict[str, Any], twin: Twin) -> Container:
        return Container(
            command=twin.command(words_of(spec.get("command", []))),
            env={"PATH": twin.path(), "HOME": "/tmp"} | spec.get("environment", {}),
            user=twin.user(),
            mounts=[
                *self.environment,
                *twin.mounts(spec.get("environment", {}), self.folder),
                *self._mounts(spec, twin.user()[0]),
            ],
            **self._common(name, spec),
        )

    def _common(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        tmpfs = spec.get("tmpfs", [])
        return {
            "name": name,
            "log": self.folder / f"{name}.log",
            "tmpfs": [tmpfs] if isinstance(tmpfs, str) else tmpfs,
            "shm_size": spec.get("shm_size", "64mb").replace("b", ""),
            "read_only": spec["read_only"],
            "init": spec.get("init", False),
            "node": self._nodes[name],
        }

    def _mounts(self, spec: dict[str, Any], uid: int) -> Iterator[tuple[Path, str, str]]:
        yield self.folder / "hosts", "/etc/hosts", "ro"
        yield self.folder / "resolv.conf", "/etc/resolv.conf", "ro"
        for secret in spec.get("secrets", []):
            file = Path(self._document["secrets"][secret]["file"]).name
            yield self.secrets / file, f"/run/secrets/{secret}", "ro"
        for volume in spec.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source in self._document["volumes"]:
                place = self.folder / "volumes" / source
                if not place.exists():  # a new one is its first user's, as the image's folder is
                    place.mkdir(parents=True)
                    os.chown(place, uid, uid)
            else:
                place = self.checkout / source
            yield place, target, mode[0] if mode else "rw"


@contextmanager
def removed_at_the_end(stack: Stack) -> Iterator[Stack]:
    """Whatever happens, no process of it is left."""
    try:
        yield stack
    finally:
        for service in reversed(stack.running.values()):
            service.container.remove()
