"""What a database that goes away, or a gateway that stands still, does to the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from tests.support.gateway import Rig
from tests.support.postgres import Postgres
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.store import database as opening
from workers.gateway.store import positions
from workers.gateway.store.database import Database, DatabaseUnavailableError, open_database


def test_a_connection_that_was_ended_is_another_one_next_time(
    postgres: Postgres, postgres_url: str
) -> None:
    with open_database(postgres_url) as database:
        with (  # noqa: PT012 - where it fails is what it is about
            pytest.raises(DatabaseUnavailableError),
            database.begin() as connection,
        ):
            connection.execute(text("SELECT 1"))
            assert postgres.end_connections(postgres_url.rpartition("/")[2]) == 1
            connection.execute(text("SELECT 1"))

        with database.begin() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1


def test_who_stands_still_in_a_transaction_holds_nobody_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_IDLE_S", 0.3)
    with open_database(postgres_url) as still, open_database(postgres_url) as other:
        still.migrate()
        with (  # noqa: PT012 - it goes wrong in the middle
            pytest.raises(DatabaseUnavailableError),
            still.begin() as stopped,
        ):
            assert positions.advance(stopped, "t", {0: None}, {0: 5})
            with other.begin() as connection:  # waits for the row, but not for ever
                assert positions.advance(connection, "t", {0: None}, {0: 6})
            positions.advance(stopped, "t", {0: 5}, {0: 7})

        with other.read() as connection:
            assert positions.next_offsets(connection, "t") == {0: 6}


class _Failing(Database):
    """Fails as no database should, a number of times."""

    failures = 0

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("what nobody thought of")
        with super().begin() as connection:
            yield connection


def test_an_error_that_nobody_thought_of_ends_no_delivery(database: Database) -> None:
    failing = _Failing(database.engine)
    rig = Rig(failing)
    rig.subscribe("a")
    rig.opens()

    failing.failures = 2

    assert rig.deliver().types("a") == ["incident.opened"]


def test_what_cannot_be_written_down_is_sent_again_and_what_can_is_not(
    database: Database,
) -> None:
    rig = Rig(database)
    unsaid, said = rig.subscribe("a"), rig.subscribe("b")
    rig.receivers.outcomes["a"] = [Outcome(verdict=Verdict.DELIVERED, status=2**70)]
    rig.opens()

    rig.deliver()
    assert [state for _, state, _ in rig.states(unsaid) + rig.states(said)] == [
        "waiting",
        "delivered",
    ]
    first, again = rig.go_on(60).of("a")

    assert first == again
    assert len(rig.receivers.of("b")) == 1
