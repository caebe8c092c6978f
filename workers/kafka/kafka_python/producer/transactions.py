"""The transactional calls of kafka-python's producer, each bounded in time.

``send_offsets_to_transaction``, ``commit_transaction`` and ``abort_transaction`` wait for ever: for
a broker that is frozen, or with an offset of a topic that was deleted. Each of them only queues a
request and waits for its result; here the wait has an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from workers.kafka.deadline import Deadline

__all__ = ["Transactions"]


class Transactions:
    """One transaction after another on one producer; raises kafka-python's errors.

    After any error but one of `begin` the producer is to be thrown away: the state it is in, and
    the offsets it still holds for a repeat, belong to the unit that failed.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._sender = producer._sender  # noqa: SLF001
        self._manager = producer._transaction_manager  # noqa: SLF001

    def begin(self) -> None:
        """Begin one; says nothing to the broker."""
        self._manager.begin_transaction()

    def add_offsets(self, offsets: Mapping[Any, Any], token: object, deadline: Deadline) -> None:
        """Have the positions of the group committed with the transaction.

        Raises:
            CommitFailedError: the group has moved on since ``token``.
            FencedInstanceIdError: another member runs under the consumer's name.
            KafkaTimeoutError: no answer in time.
        """
        result = self._manager.send_offsets_to_transaction(offsets, token)
        self._wait(result, "take the offsets into the transaction", deadline)

    def commit(self, deadline: Deadline) -> None:
        """Commit; every output has to be with the broker before.

        Raises:
            KafkaTimeoutError: no answer in time: nobody knows whether it happened.
        """
        self._wait(self._manager.begin_commit(), "confirm the commit of the transaction", deadline)

    def abort(self, deadline: Deadline) -> None:
        """Abort; what is not sent yet is dropped."""
        self._wait(self._manager.begin_abort(), "confirm the abort of the transaction", deadline)

    def _wait(self, result: Any, what: str, deadline: Deadline) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=deadline.left_s() * 1000):
            raise KafkaTimeoutError(f"the broker did not {what} in time")
