"""One node of a real Apache Kafka on this machine: broker and controller in one, no Docker.

Contract:

* `BrokerConfig.start` returns when the broker answers an admin call, or raises an error that says
  what to do. Ports are free ones unless chosen; the data folder is a temporary one, removed at the
  end, unless chosen.
* The broker runs in a session of its own behind `workers.broker.reaper`, so Ctrl-C in the terminal
  does not reach it, and it ends with its owner if `Lifetime` says so.
* A data folder belongs to one broker at a time. It keeps its cluster id, so a restart on the same
  folder and port is the same cluster to its clients.
* One thread uses an `EmbeddedBroker` at a time.

Several nodes that are one cluster: `workers.broker.cluster`. Left out on purpose: TLS and
authentication, but as `BrokerConfig.properties`. It is for laptops and tests.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, NamedTuple

from workers.broker.folders import cache_folder, new_cluster_id, nodes_of
from workers.broker.jars import OnProgress, fetch_jars, unheard
from workers.broker.java import JavaSource, find_java
from workers.broker.log import explain
from workers.broker.ports import free_port, is_free
from workers.broker.properties import Quorum, server_properties
from workers.errors import ProvisioningError
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

HOST: Final = "localhost"
FIRST_NODE: Final = 1
_GUARD: Final = Path(__file__).with_name("reaper.py")
_PORT_ATTEMPTS: Final = 3
_STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05


class Lifetime(StrEnum):
    """When the broker ends by itself, as `workers.broker.reaper` takes it."""

    OWNER = "stdin"
    """With the process that started it, however that ends."""

    DETACHED = "none"
    """Never: it is stopped by hand."""


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """How to run the broker. Picklable; nothing happens before `start` or `open`.

    Attributes:
        port: of the clients; None picks a free one.
        host: by which clients and other nodes reach it.
        data: the data folder; None makes a temporary one that goes away with the broker.
        lifetime: when it ends by itself; the pid of a process: with that one.
        heap_mb: of the Java machine; the process takes about 150 MB more.
        java: where Java comes from.
        start_timeout_s: how long `start` waits for the broker to answer.
        cache: where the jars are; None is the user's cache folder.
        jvm_options: extra options of the Java machine; they win. ``-XX:TieredStopAtLevel=1`` starts
            with a third less work and serves slower: for tests.
        properties: extra lines for ``server.properties``; they win.
        prefix: words in front of each command of it, such as ``ip netns exec NAME``.
    """

    port: int | None = None
    host: str = HOST
    data: Path | None = None
    lifetime: Lifetime | int = Lifetime.OWNER
    heap_mb: int = 512
    java: JavaSource = JavaSource.AUTO
    start_timeout_s: float = 60.0
    cache: Path | None = None
    jvm_options: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def start(self, *, on_progress: OnProgress = unheard) -> EmbeddedBroker:
        """Fetch what is missing, start the broker, and wait until it answers.

        Args:
            on_progress: called with the bytes of the jars, in the first run only.

        Raises:
            ProvisioningError: no Java, no jars, busy port, folder in use, full disk, or a broker
                that does not come up; the message says which and what to do.
        """
        if self.data is not None and (there := nodes_of(self.data)) > 1:
            raise ProvisioningError(
                f"The data folder {self.data} holds a cluster of {there} nodes: say --nodes "
                f"{there}, or choose another folder with --data."
            )
        kafka = self.find_kafka(on_progress=on_progress)
        with self.folder() as data:
            broker = EmbeddedBroker(config=self, kafka=kafka, data=data)
            broker.start()
        return broker

    def find_kafka(self, *, on_progress: OnProgress = unheard) -> Kafka:
        """Find Java, and fetch the jars that are missing."""
        java = find_java(self.java)
        return Kafka(java, fetch_jars(self.cache or cache_folder(), on_progress=on_progress))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """The data folder for a start; a temporary one goes away when that fails."""
        data = self.data.absolute() if self.data else Path(tempfile.mkdtemp(prefix="vigie-broker-"))
        try:
            yield data
        except BaseException:
            if self.data is None:
                shutil.rmtree(data, ignore_errors=True)
            raise

    @contextmanager
    def open(self, *, on_progress: OnProgress = unheard) -> Iterator[EmbeddedBroker]:
        """`start`, and stop at the end of the block."""
        broker = self.start(on_progress=on_progress)
        try:
            yield broker
        finally:
            broker.stop()


class Kafka(NamedTuple):
    """What runs a broker: a Java, and the jars of Kafka."""

    java: Path
    jars: list[Path]


class BusyPortError(ProvisioningError):
    """A port that the broker needs is another program's."""


class EmbeddedBroker:
    """One node on its folder and port; made by `BrokerConfig.start`, or by a cluster.

    `stop` and `start` again keep the address and, on a chosen folder, the data. Tests use that,
    and `kill`, `suspend` and `resume`, to be unkind.
    """

    def __init__(
        self,
        *,
        config: BrokerConfig,
        kafka: Kafka,
        data: Path,
        node: int = FIRST_NODE,
        quorum: Quorum | None = None,
    ) -> None:
        """Store what it takes; without a `quorum` it is a cluster of its own."""
        self.data = data
        self.node = node
        self.log_path = data / "broker.log"
        self.port = config.port or 0
        self._config = config
        self._java = kafka.java
        self._class_path = os.pathsep.join(map(str, kafka.jars))
        self._properties_path = data / "server.properties"
        self._quorum = quorum
        self._controller_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for ``bootstrap_servers``."""
        return f"{self._config.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The leader of the broker's process group, None when it is not running."""
        return self._process.pid if self._process and self.is_running() else None

    def is_running(self) -> bool:
        """True while the process lives; it may still be starting or be suspended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start (again) and wait until the broker answers.

        Raises:
            ProvisioningError: see `BrokerConfig.start`.
        """
        for _ in range(_PORT_ATTEMPTS):
            self.launch()
            try:
                self._wait_ready()
            except BusyPortError as error:
                # Another program took a free port between our look and the broker's bind.
                busy, self.port = error, self._config.port or 0
            else:
                return
        raise busy

    def launch(self) -> None:
        """Start the process (again), and do not wait until it answers.

        Raises:
            ProvisioningError: see `BrokerConfig.start`.
        """
        if self.is_running():
            raise ProvisioningError(f"This broker is running already, at {self.bootstrap}.")
        if self._process is not None:
            self._reap()  # it ended by itself: a full disk, a kill
        with _disk_explained(self.data):
            self.data.mkdir(parents=True, exist_ok=True)
            with _owned(self.data) as lock:
                self._format()
                self._choose_ports()
                self._spawn(lock)

    def check_running(self) -> None:
        """Pass while the process lives.

        Raises:
            BusyPortError: it ended, for its port was taken.
            ProvisioningError: it ended; the message says why, if the log shows it.
        """
        if self.is_running():
            return
        if self._process is not None:
            self._reap()
        tail = self.log_tail(200)
        if "Address already in use" in tail:
            raise BusyPortError(_busy(self.port))
        raise ProvisioningError(explain(tail, data=self.data))

    def answers(self, *, brokers: int = 1) -> bool:
        """Whether it answers within some seconds, and knows of so many brokers."""
        return admin_of(Connection(bootstrap=self.bootstrap)).answers(timeout_s=5, brokers=brokers)

    def terminate(self) -> None:
        """Ask it to end, and do not wait for that; `stop` does."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._process.terminate()

    def stop(self) -> None:
        """End the broker politely, within 20 s by force. A temporary folder is removed."""
        if self._process is not None:
            self.terminate()
            self._reap()
        if self._config.data is None:
            shutil.rmtree(self.data, ignore_errors=True)

    def kill(self) -> None:
        """End it as a power cut would; even temporary data stays as it lies until `stop`."""
        if not self.is_running():
            return
        self._signal(signal.SIGKILL)
        self._reap()
        # Only the guard is our child. The broker's threads may take a moment more to die, even when
        # its process is a zombie already, and hold the port and the files meanwhile.
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if is_free(self.port) and _is_released(self.data / "log" / ".lock"):
                return
            time.sleep(_POLL_S)

    def suspend(self) -> None:
        """Stop the clock of the broker: it holds its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended broker go on."""
        self._signal(signal.SIGCONT)

    def log_tail(self, lines: int = 30) -> str:
        """The end of the broker's log."""
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def _choose_ports(self) -> None:
        """Fix the ports: the chosen one must be free, the others are."""
        if self.port and not is_free(self.port):
            raise BusyPortError(_busy(self.port))
        self.port = self.port or free_port()
        if not self._controller_port or not is_free(self._controller_port):
            self._controller_port = free_port()

    def _format(self) -> None:
        """Give the folder its cluster's id, once."""
        if (self.data / "log" / "meta.properties").exists():
            return
        self._choose_ports()
        self._write_properties()
        cluster = self._quorum.cluster_id if self._quorum else new_cluster_id()
        argv = [
            *self._java_argv(heap_mb=128), "-XX:TieredStopAtLevel=1",
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}",
            "--config", str(self._properties_path), *([] if self._quorum else ["--standalone"]),
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise ProvisioningError(explain(done.stdout + done.stderr, data=self.data))

    def _java_argv(self, *, heap_mb: int) -> list[str]:
        return [
            *self._config.prefix, str(self._java), f"-Xmx{heap_mb}m", "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            f"-Djava.io.tmpdir={self.data}", *self._config.jvm_options, "-cp", self._class_path,
        ]  # fmt: skip

    def _write_properties(self) -> None:
        own = {self.node: f"{self._config.host}:{self._controller_port}"}
        text = server_properties(
            node=self.node,
            clients=self.bootstrap,
            quorum=self._quorum or Quorum(cluster_id="", controllers=own),
            log=self.data / "log",
            overrides=self._config.properties,
        )
        self._properties_path.write_text(text, encoding="utf-8")

    def _spawn(self, lock: IO[str]) -> None:
        """Start the guard with the broker; both hold the folder's lock while they live."""
        self._write_properties()
        config = self._config
        guard = [sys.executable, "-I", "-S", str(_GUARD), "--watch", str(config.lifetime)]
        if config.data is None:
            guard += ["--remove", str(self.data)]
            guard += ["--within", str(self.data.parent)] if self._quorum else []
        java = self._java_argv(heap_mb=config.heap_mb)
        command = [*java, "kafka.Kafka", str(self._properties_path)]
        owned = config.lifetime is Lifetime.OWNER
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*guard, "--", *command],
                stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, cwd=self.data,
                start_new_session=True, pass_fds=(lock.fileno(),),
            )  # fmt: skip

    def _wait_ready(self) -> None:
        """Wait until an admin call is answered.

        Raises:
            ProvisioningError: the process ended or the time is up; also as `check_running`.
        """
        deadline = time.monotonic() + self._config.start_timeout_s
        while time.monotonic() < deadline:
            self.check_running()
            if self.answers():
                return
            time.sleep(_POLL_S)
        self.kill()
        raise ProvisioningError(self.silent())

    def silent(self) -> str:
        """What to say of a broker that did not answer in time."""
        return (
            f"The broker did not answer within {self._config.start_timeout_s:g} s. "
            f"The end of its log:\n{self.log_tail() or '(empty)'}"
        )


def _busy(port: int) -> str:
    return (
        f"Port {port} is in use by another program (perhaps another broker): stop that, choose "
        "another with --port, or leave --port out and a free one is picked."
    )


def _is_released(lock: Path) -> bool:
    """Whether no Kafka holds the lock of its log folder."""
    with contextlib.suppress(FileNotFoundError), lock.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@contextmanager
def _owned(data: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock; the broker inherits it, so that it ends with the broker only.

    Raises:
        ProvisioningError: a broker that runs holds it.
    """
    with (data / ".vigie.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ProvisioningError(
                f"A broker is running on the data folder {data} already: use that one, stop it "
                "(vigie broker stop), or choose another folder with --data."
            ) from error
        yield lock


@contextmanager
def _disk_explained(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"Cannot use the data folder {data} ({error.strerror or error})"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            problem = f"No space left in {data}: free some"
        raise ProvisioningError(f"{problem}: choose another folder with --data.") from error
