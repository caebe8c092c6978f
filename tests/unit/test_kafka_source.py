"""What a source does between the client's IO thread and its caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from workers.errors import TransactionAbortedError
from workers.kafka.client import Committed, Generation
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python import Connection, SourceConfig
from workers.kafka.kafka_python.source import _Source


class Consumer:
    """A client that takes everything."""

    def subscribe(self, topics: list[str], *, listener: Any) -> None:
        self.listener = listener


class Note(tuple[Any, Any]):  # noqa: SLOT001 - it carries the deque
    """Read while the IO thread takes another note."""

    notes: Any

    def __iter__(self) -> Iterator[Any]:
        self.notes.append((None, {9}))
        return super().__iter__()


def test_a_rebalance_during_the_check_of_a_commit_does_no_harm():
    config = SourceConfig(connection=Connection(bootstrap="b:1"), topic="t", group="g")
    source = _Source(Consumer(), config)
    note = Note((_Source.on_revoked, {3}))
    note.notes = source._notes.changes
    source._notes.changes.extend([note, (_Source.on_revoked, {4})])

    with pytest.raises(TransactionAbortedError, match=r"t\[3\]"):
        source.commit(
            {3: Committed(next_offset=1)},
            Generation(token=None, epochs={3: 1}),
            deadline=Deadline.after(1),
        )
