"""Up to where a topic was taken in, and who does what only one may."""

from __future__ import annotations

from workers.gateway.store import positions
from workers.gateway.store.database import Database


def test_only_who_knows_the_position_moves_it(database: Database) -> None:
    with database.begin() as connection:
        assert positions.advance(connection, "t", {0: None, 1: None}, {0: 5, 1: 7})
    with database.begin() as connection:
        assert positions.advance(connection, "t", {0: 5}, {0: 6})
        assert not positions.advance(connection, "t", {0: 5}, {0: 9})
        assert positions.next_offsets(connection, "t") == {0: 6, 1: 7}


def test_a_partition_is_begun_once(database: Database) -> None:
    with database.begin() as connection:
        assert positions.advance(connection, "t", {0: None}, {0: 5})
    with database.begin() as connection:
        assert not positions.advance(connection, "t", {0: None}, {0: 3})
        assert positions.next_offsets(connection, "t") == {0: 5}


def test_one_holds_a_lease_until_it_is_over_or_given_up(database: Database) -> None:
    def hold(holder: str, now_ns: int) -> bool:
        with database.begin() as connection:
            return positions.hold(
                connection, "it", holder=holder, now_ns=now_ns, until_ns=now_ns + 10
            )

    assert hold("a", 0)
    assert not hold("b", 9)
    assert hold("a", 9)
    assert not hold("b", 18)
    assert hold("b", 19)
    with database.begin() as connection:
        positions.give_up(connection, holder="b")
    assert hold("a", 20)


def test_what_anybody_holds_can_be_given_up(database: Database) -> None:
    with database.begin() as connection:
        assert positions.hold(connection, "it", holder="a", now_ns=0, until_ns=10)
        positions.give_up(connection)
        assert positions.hold(connection, "it", holder="b", now_ns=0, until_ns=10)
