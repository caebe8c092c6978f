"""What a source does between the client's IO thread and its caller."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from workers.errors import TransactionAbortedError
from workers.kafka.kafka_python.membership import Change, Membership, Note


class Note_(Note):  # noqa: N801 - a note that is read while the IO thread takes another
    notes: Any

    def __getattribute__(self, name: str) -> Any:
        if name == "partitions":
            super().__getattribute__("notes").append(Note(Change.REVOKED, frozenset({9})))
        return super().__getattribute__(name)


def test_a_rebalance_during_the_check_of_a_commit_does_no_harm():
    membership = object.__new__(Membership)
    membership.notes = deque()
    membership.held, membership._epochs, membership._topic = {3}, {3: 1}, "t"
    note = Note_(Change.REVOKED, frozenset({3}))
    note.notes = membership.notes
    membership.notes.extend([note, Note(Change.REVOKED, frozenset({4}))])

    with pytest.raises(TransactionAbortedError, match=r"t\[3\]"):
        membership.check_held({3}, {3: 1})
