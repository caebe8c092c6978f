"""A real Apache Kafka on this machine: one node, broker and controller in one, no Docker.

Contract:

* `BrokerConfig.start` returns when the broker answers an admin call, or raises an error that says
  what to do. Ports are free ones unless chosen; the data folder is a temporary one, removed at the
  end, unless chosen.
* The broker runs in a session of its own behind `workers.broker.reaper`, so Ctrl-C in the terminal
  does not reach it, and it ends with its owner if `Lifetime` says so.
* A data folder belongs to one broker at a time. It keeps its cluster id, so a restart on the same
  folder and port is the same cluster to its clients.
* One thread uses an `EmbeddedBroker` at a time.

Left out on purpose: more than one node, TLS, authentication. It is for laptops and tests.
"""

from __future__ import annotations

import base64
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
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from workers.broker.folders import cache_folder
from workers.broker.jars import OnProgress, fetch_jars, unheard
from workers.broker.java import JavaSource, find_java
from workers.broker.log import explain
from workers.broker.ports import free_port, is_free
from workers.errors import ProvisioningError
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

HOST: Final = "localhost"
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
        data: the data folder; None makes a temporary one that goes away with the broker.
        lifetime: when it ends by itself; the pid of a process: with that one.
        heap_mb: of the Java machine; the process takes about 150 MB more.
        java: where Java comes from.
        start_timeout_s: how long `start` waits for the broker to answer.
        cache: where the jars are; None is the user's cache folder.
        jvm_options: extra options of the Java machine; they win. ``-XX:TieredStopAtLevel=1`` starts
            with a third less work and serves slower: for tests.
        properties: extra lines for ``server.properties``; they win.
    """

    port: int | None = None
    data: Path | None = None
    lifetime: Lifetime | int = Lifetime.OWNER
    heap_mb: int = 512
    java: JavaSource = JavaSource.AUTO
    start_timeout_s: float = 60.0
    cache: Path | None = None
    jvm_options: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)

    def start(self, *, on_progress: OnProgress = unheard) -> EmbeddedBroker:
        """Fetch what is missing, start the broker, and wait until it answers.

        Args:
            on_progress: called with the bytes of the jars, in the first run only.

        Raises:
            ProvisioningError: no Java, no jars, busy port, folder in use, full disk, or a broker
                that does not come up; the message says which and what to do.
        """
        java = find_java(self.java)
        cache = self.cache or cache_folder()
        jars = fetch_jars(cache, on_progress=on_progress)
        data = self.data.absolute() if self.data else Path(tempfile.mkdtemp(prefix="vigie-broker-"))
        broker = EmbeddedBroker(config=self, java=java, jars=jars, data=data)
        try:
            broker.start()
        except BaseException:
            if self.data is None:
                shutil.rmtree(data, ignore_errors=True)
            raise
        return broker

    @contextmanager
    def open(self, *, on_progress: OnProgress = unheard) -> Iterator[EmbeddedBroker]:
        """`start`, and stop at the end of the block."""
        broker = self.start(on_progress=on_progress)
        try:
            yield broker
        finally:
            broker.stop()


class EmbeddedBroker:
    """One broker on its folder and port; made by `BrokerConfig.start`.

    `stop` and `start` again keep the address and, on a chosen folder, the data. Tests use that,
    and `kill`, `suspend` and `resume`, to be unkind.
    """

    def __init__(self, *, config: BrokerConfig, java: Path, jars: list[Path], data: Path) -> None:
        self.data = data
        self.log_path = data / "broker.log"
        self.port = config.port or 0
        self._config = config
        self._java = java
        self._class_path = os.pathsep.join(map(str, jars))
        self._properties_path = data / "server.properties"
        self._controller_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for ``bootstrap_servers``."""
        return f"{HOST}:{self.port}"

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
        if self.is_running():
            raise ProvisioningError(f"This broker is running already, at {self.bootstrap}.")
        if self._process is not None:
            self._reap()  # it ended by itself: a full disk, a kill
        with _disk_explained(self.data):
            self.data.mkdir(parents=True, exist_ok=True)
            with _owned(self.data) as lock:
                self._format()
                for _ in range(_PORT_ATTEMPTS):
                    self._choose_ports()
                    self._launch(lock)
                    if self._wait_ready():
                        return
                    # Another program took a free port between our look and the broker's bind.
                    taken, self.port = self.port, self._config.port or 0
                raise ProvisioningError(_busy(taken))

    def stop(self) -> None:
        """End the broker politely, within 20 s by force. A temporary folder is removed."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._process.terminate()
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
        # its process is a zombie already, and hold the port meanwhile.
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while not is_free(self.port) and time.monotonic() < deadline:
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
            raise ProvisioningError(_busy(self.port))
        self.port = self.port or free_port()
        if not self._controller_port or not is_free(self._controller_port):
            self._controller_port = free_port()

    def _format(self) -> None:
        """Give the folder its cluster id, once."""
        if (self.data / "log" / "meta.properties").exists():
            return
        self._choose_ports()
        self._write_properties()
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        argv = [
            *self._java_argv(heap_mb=128), "-XX:TieredStopAtLevel=1",
            "kafka.tools.StorageTool", "format", "--standalone",
            f"--cluster-id={cluster}", "--config", str(self._properties_path),
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise ProvisioningError(explain(done.stdout + done.stderr, data=self.data))

    def _java_argv(self, *, heap_mb: int) -> list[str]:
        return [
            str(self._java), f"-Xmx{heap_mb}m", "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            f"-Djava.io.tmpdir={self.data}", *self._config.jvm_options, "-cp", self._class_path,
        ]  # fmt: skip

    def _write_properties(self) -> None:
        """Describe a single node whose internal topics need no second one."""
        controller = f"{HOST}:{self._controller_port}"
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}"
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": controller,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.data / "log",
            "num.partitions": "4",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": 16 * 2**20,
        } | self._config.properties
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        self._properties_path.write_text(text, encoding="utf-8")

    def _launch(self, lock: IO[str]) -> None:
        """Start the guard with the broker; both hold the folder's lock while they live."""
        self._write_properties()
        config = self._config
        guard = [sys.executable, "-I", "-S", str(_GUARD), "--watch", str(config.lifetime)]
        if config.data is None:
            guard += ["--remove", str(self.data)]
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

    def _wait_ready(self) -> bool:
        """Wait until an admin call is answered; False: the broker's port was taken.

        Raises:
            ProvisioningError: the process ended or the time is up.
        """
        deadline = time.monotonic() + self._config.start_timeout_s
        while time.monotonic() < deadline:
            if not self.is_running():
                self._reap()
                tail = self.log_tail(200)
                if "Address already in use" in tail:
                    return False
                raise ProvisioningError(explain(tail, data=self.data))
            if admin_of(Connection(bootstrap=self.bootstrap)).answers(timeout_s=5):
                return True
            time.sleep(_POLL_S)
        tail = self.log_tail()
        self.kill()
        raise ProvisioningError(
            f"The broker did not answer within {self._config.start_timeout_s:g} s. "
            f"The end of its log:\n{tail or '(empty)'}"
        )


def _busy(port: int) -> str:
    return (
        f"Port {port} is in use by another program (perhaps another broker): stop that, choose "
        "another with --port, or leave --port out and a free one is picked."
    )


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
