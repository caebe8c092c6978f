"""A real PostgreSQL of a test run's own, from the packages of the system.

It has its data in a folder that goes with it, listens on loopback only, and is as durable as one in
production (fsync), so that a crash of it means something. Root may not run it: then it runs as the
user of the packages, or as nobody.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.support.wait import wait_until
from workers.broker import reaper
from workers.broker.ports import free_port

USER: Final = "vigie"
MISSING: Final = "PostgreSQL is missing: apt-get install postgresql"
_INSTALLED: Final = Path("/usr/lib/postgresql")
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "logging_collector": "off",
}


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL that is installed; None if there is none."""
    found = {
        int(re.match(r"\d+", folder.parent.name)[0]): folder  # type: ignore[index]
        for folder in _INSTALLED.glob("[0-9]*/bin")
        if (folder / "initdb").exists()
    }
    if found:
        return found[max(found)]
    beside = shutil.which("initdb")
    return None if beside is None else Path(beside).parent


@dataclass(kw_only=True)
class Postgres:
    """A server, which may be ended and started again.

    Attributes:
        folder: with its data and its log.
    """

    programs: Path
    folder: Path
    port: int
    password: str
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's address of a database."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Make a database with a name of its own; returns that."""
        name = f"test_{secrets.token_hex(8)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *arguments: object) -> list[Any]:
        """Run a statement by itself; returns its rows."""
        with (
            psycopg.connect(self._address(), autocommit=True, connect_timeout=5) as connection,
            connection.execute(statement.encode(), arguments or None) as cursor,
        ):
            return [] if cursor.description is None else cursor.fetchall()

    def end_connections(self, database: str) -> int:
        """End the connections to a database, wherever they are; returns how many there were."""
        rows = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", database
        )
        return len(rows)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        wait_until(self._started, within=60, what="PostgreSQL")

    def _started(self) -> bool:
        """False when it ended at once: of one that was killed, some processes may still end."""
        command = [*_as_user(), str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, reaper.__file__, "--watch", "stdin", "--", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(
            lambda: process.poll() is not None or self._answers(), within=60, what="PostgreSQL"
        )
        if process.poll() is None:
            self._process = process
            return True
        assert process.stdin is not None
        process.stdin.close()
        said = (self.folder / "log").read_text(errors="replace")[-2000:]
        assert "still in use" in said, said
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends it in order, SIGQUIT at once, SIGKILL as a crash does."""
        if self._process is None:
            return
        pid_file = self.folder / "data" / "postmaster.pid"
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(pid_file.read_text().split("\n", 1)[0]), how)
        self._process.wait(timeout=60)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def _address(self) -> str:
        return self.url().replace("+psycopg", "")

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_running(**settings: str) -> Iterator[Postgres]:
    """A new server, until the end of the block; `settings` go into its postgresql.conf.

    Raises:
        FileNotFoundError: it is not installed.
    """
    programs = postgres_programs()
    if programs is None:
        raise FileNotFoundError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="vigie-postgres-"))
    try:
        server = Postgres(
            programs=programs, folder=folder, port=free_port(), password=secrets.token_hex(16)
        )
        _initialise(server, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialise(server: Postgres, settings: dict[str, str]) -> None:
    password = server.folder / "password"
    password.write_text(server.password)
    if os.geteuid() == 0:
        owner = _owner()
        for path in (server.folder, password):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    data = server.folder / "data"
    made = subprocess.run(
        [
            *_as_user(),
            str(server.programs / "initdb"),
            *("-D", str(data), "-U", USER, "--pwfile", str(password)),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    lines = [f"{name} = '{value}'" for name, value in (_SETTINGS | settings).items()]
    with (data / "postgresql.conf").open("a") as file:
        file.write("\n".join([f"port = {server.port}", *lines, ""]))


def _owner() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    owner = _owner()
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
