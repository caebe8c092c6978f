"""The enabled subscriptions in memory, kept as the database has them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from schemas.api.subscriptions import SubscriptionSpec
from workers.alerts.interest import Interest, InterestIndex
from workers.errors import SettingsError
from workers.gateway.sealing import Sealer
from workers.gateway.store import subscriptions as stored

__all__ = ["Entry", "SubscriptionBook", "Subscriptions"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A subscription.

    Attributes:
        interest: what it wants.
    """

    id: str
    version: int
    spec: SubscriptionSpec
    interest: Interest
    created_ns: int


@dataclass(frozen=True, kw_only=True)
class Subscriptions:
    """The enabled subscriptions at a time; never changed."""

    version: int
    entries: Mapping[str, Entry]
    index: InterestIndex

    def of_kind(self, kind: str) -> list[Entry]:
        """Those that deliver to one kind of sink."""
        return [one for one in self.entries.values() if one.spec.sink.kind == kind]


class SubscriptionBook:
    """Reads the subscriptions that changed, when one did. For any number of threads."""

    def __init__(self, sealer: Sealer) -> None:
        """Of a database whose secrets this opens."""
        self._sealer = sealer
        self._lock = threading.Lock()
        self._unreadable = dict[str, int]()
        self._last = Subscriptions(version=-1, entries={}, index=InterestIndex.of({}))

    def read(self, connection: Connection) -> Subscriptions:
        """The subscriptions as a transaction has them."""
        version = stored.book_version(connection)
        # Within the lock the database is read only, so nobody who waits for it is waited for.
        with self._lock:
            if version != self._last.version:
                self._last = self._changed(connection, version)
            return self._last

    def _changed(self, connection: Connection, version: int) -> Subscriptions:
        now = stored.versions(connection)
        entries = {id_: one for id_, one in self._last.entries.items() if id_ in now}
        known = {id_: one.version for id_, one in entries.items()} | self._unreadable
        changed = [id_ for id_, at in now.items() if known.get(id_) != at]
        for row in stored.load_rows(connection, changed):
            entries.pop(row.id, None)
            entry = self._entry(row)
            if entry is None:
                self._unreadable[row.id] = row.version
            else:
                entries[row.id] = entry
        index = InterestIndex.of({id_: one.interest for id_, one in entries.items()})
        return Subscriptions(version=version, entries=entries, index=index)

    def _entry(self, row: Row[Any]) -> Entry | None:
        """A subscription; None for one of a later version, or sealed with another key."""
        try:
            spec = stored.spec_of(row, self._sealer)
            interest = Interest.of(spec)
        except (ValueError, SettingsError) as error:
            structlog.get_logger("vigie.gateway").error(
                "subscription_unreadable", subscription=row.id, error=str(error)
            )
            return None
        return Entry(
            id=row.id,
            version=row.version,
            spec=spec,
            interest=interest,
            created_ns=row.created_ns,
        )
