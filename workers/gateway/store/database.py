"""Opening the database: one engine for SQLite and PostgreSQL, and the schema brought up to date."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from workers.errors import SettingsError, VigieError

__all__ = ["Database", "DatabaseUnavailableError", "is_unavailable", "open_database"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_MS: Final = 10_000
_AGAIN_S: Final = 0.02
_POOL: Final = 16
_IDLE_S: Final = 15
"""How long a transaction may stand still before PostgreSQL ends it."""
_PATIENCE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    # A server that went away without a word is given up within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class DatabaseUnavailableError(VigieError):
    """The database does not answer: start it, or correct gateway.database; then again."""


class Database:
    """The engine, and transactions on it."""

    def __init__(self, engine: Engine) -> None:
        """Of an open engine."""
        self.engine = engine
        self._reading = engine.execution_options(vigie_reads=True)
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads only: on SQLite it waits for no writer, and none for it.

        Raises:
            DatabaseUnavailableError: see `begin`.
        """
        with self._guarded(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back by an error.

        On SQLite it takes the lock for writing at once, so that two never wait for each other.

        Raises:
            DatabaseUnavailableError: it does not answer; whether a commit under way happened is
                not known.
        """
        with self._in_turn(), self._guarded(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One after the other on SQLite: who finds its file locked naps, and comes late again."""
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=_BUSY_MS / 1000):
            raise DatabaseUnavailableError(
                "The database does not answer (another transaction does not end)."
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if is_unavailable(error):
                raise DatabaseUnavailableError(
                    f"The database does not answer ({_brief(error)}): start it, or correct "
                    "gateway.database."
                ) from error
            raise

    def migrate(self) -> None:
        """Bring the schema up to date; two gateways may do so at once.

        Raises:
            SettingsError: the database is of a later version of Vigie.
            DatabaseUnavailableError: see `begin`.
        """
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.begin() as connection:
            if not self.is_sqlite:  # one migrates, the others wait
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(748123971)")
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except Exception as error:
                if "Can't locate revision" in str(error):
                    raise SettingsError(
                        "gateway.database was written by a later version of Vigie: use that one, "
                        "or another database"
                    ) from error
                raise


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the database is gone or busy, rather than the statement wrong."""
    return error.connection_invalidated or isinstance(error, OperationalError)


@contextmanager
def open_database(url: str) -> Iterator[Database]:
    """Open a database; its schema is not looked at.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL.

    Raises:
        SettingsError: it cannot be used, and why.
    """
    engine = _engine(url)
    try:
        yield Database(engine)
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_engine(parsed)
        if parsed.get_backend_name() != "postgresql":
            raise SettingsError(
                f"gateway.database is of {parsed.get_backend_name()}: use sqlite:///vigie.db or "
                "postgresql+psycopg://user:password@host/database"
            )
        return _postgres_engine(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(
            "gateway.database is no URL of a database, such as sqlite:///vigie.db"
        ) from error
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"gateway.database needs the package {error.name}: pip install 'vigie[postgres]'"
        ) from error


def _postgres_engine(url: URL) -> Engine:
    """One that keeps no lock for a gateway that stands still, or whose machine is gone."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_pre_ping=True,
        connect_args=_PATIENCE | dict(url.query),
        hide_parameters=True,  # an error is logged, and they are other people's texts
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # Not as an option of the connection, which a pooler in between would refuse.
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_S}s'")
        connection.commit()

    return engine


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        with suppress(OSError):  # the first connection says what is wrong
            Path(url.database).touch(mode=0o600)  # incidents and names are nobody else's business
    engine = create_engine(
        url,
        pool_size=_POOL,
        max_overflow=_POOL,
        connect_args={"timeout": _BUSY_MS / 1000},
        hide_parameters=True,
    )
    _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, so that who reads never waits; foreign keys; transactions that begin when we say so."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # or the driver begins them itself, too late
        cursor = connection.cursor()
        _write_ahead(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("vigie_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _write_ahead(cursor: Any) -> None:
    """Turn the log on; while another process does so, SQLite does not wait by itself."""
    deadline_s = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def _brief(error: DBAPIError) -> str:
    return str(error.orig).strip().split("\n")[0][:200]
