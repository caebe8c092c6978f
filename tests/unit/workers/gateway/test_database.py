"""The database: its schema is that of the tables, and what is wrong with it is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from workers.errors import SettingsError
from workers.gateway.store.database import Database, DatabaseUnavailableError, open_database
from workers.gateway.store.tables import metadata


def test_the_revisions_make_the_tables_that_the_code_knows(database: Database):
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_two_gateways_that_start_at_once_make_one_schema(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'new.db'}"

    def migrate() -> None:
        with open_database(url) as opened:
            opened.migrate()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(migrate) for _ in range(2)]:
            done.result()
    with open_database(url) as opened, opened.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_a_later_version_is_left_alone(database: Database):
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SettingsError, match="later version"):
        database.migrate()


def test_who_reads_does_not_wait_for_who_writes(database: Database):
    with database.begin() as writing:
        writing.execute(text("INSERT INTO counters (name, value) VALUES ('x', 1)"))
        with database.read() as reading:
            assert reading.execute(text("SELECT count(*) FROM counters")).scalar() == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://host/db", "mysql"),
        ("nonsense", "no URL"),
        ("sqlite:////nowhere/at/all/vigie.db", "does not answer"),
        ("postgresql://nobody@127.0.0.1:9/none", "does not answer"),
    ],
)
def test_a_database_that_cannot_be_used_says_why(url: str, said: str):
    with (
        pytest.raises((SettingsError, DatabaseUnavailableError), match=said),
        open_database(url) as opened,
    ):
        opened.migrate()


def test_an_error_of_the_database_does_not_tell_what_was_to_be_kept(database: Database):
    with pytest.raises(DBAPIError) as caught, database.engine.connect() as connection:
        connection.execute(text("SELECT nothing FROM nowhere WHERE 'a' = :b"), {"b": "swordfish"})

    assert "swordfish" not in str(caught.value)


def test_nobody_else_can_read_the_file(tmp_path: Path):
    path = tmp_path / "vigie.db"
    with open_database(f"sqlite:///{path}") as opened:
        opened.migrate()

    assert path.stat().st_mode & 0o077 == 0
