"""What SQLAlchemy has for each dialect by itself, for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, or_, select
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["MASK", "add_to", "contains_words", "counter", "insert_new", "is_sqlite", "upsert"]

MASK: Final = "**********"
"""Stands where a secret is."""


def is_sqlite(connection: Connection) -> bool:
    """Whether only one can write at a time, so that no row has to be locked."""
    return connection.dialect.name == "sqlite"


def _insert(connection: Connection, table: Table) -> Any:
    return (sqlite if is_sqlite(connection) else postgresql).insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet; returns how many there were."""
    if not rows:
        return 0
    statement = _insert(connection, table).on_conflict_do_nothing()
    # Unasked, SQLAlchemy does not keep the count of an insert on every driver.
    counting = {"preserve_rowcount": True}
    return connection.execute(statement, list(rows), execution_options=counting).rowcount


def upsert(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or put its values in the place of those of the same primary key."""
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table).values(row)
    others = {name: statement.excluded[name] for name in row if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others))


def add_to(connection: Connection, table: Table, name: str, number: int) -> int:
    """Add to a counter, and return what it is then; until the end nobody else can."""
    statement = _insert(connection, table).values(name=name, value=number)
    return int(
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name"], set_={"value": table.c.value + number}
            ).returning(table.c.value)
        ).scalar_one()
    )


def counter(connection: Connection, table: Table, name: str) -> int:
    """What a counter is; 0 if there is none."""
    return connection.execute(select(table.c.value).where(table.c.name == name)).scalar() or 0


def contains_words(columns: Sequence[Column[str]], query: str) -> list[ColumnElement[bool]]:
    """Conditions that every word of a query is in one of several texts of lower-case letters."""
    return [
        or_(*(column.contains(word, autoescape=True) for column in columns))
        for word in query.lower().split()
    ]
