"""The transactional calls of kafka-python's producer, each bounded in time.

``send_offsets_to_transaction``, ``commit_transaction`` and ``abort_transaction`` wait for ever: for
a broker that is frozen, or with an offset of a topic that was deleted. Each of them only queues a
request and waits for its result; here the wait has an end.

A request whose connection is lost is queued again, and the success of the repetition hides that the
first copy may still be on its way: it can hit a later transaction of the same producer. So every
request is counted, and every answer (decision 0008).

Tests: ``tests/chaos/test_late_requests.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)

from workers.kafka.deadline import Deadline

_REQUESTS: Final = (
    AddPartitionsToTxnRequest,
    AddOffsetsToTxnRequest,
    TxnOffsetCommitRequest,
    EndTxnRequest,
)


class Transactions:
    """One transaction after another on one producer; raises kafka-python's errors.

    After any error but one of `begin` the producer is to be thrown away: the state it is in, and
    the offsets it still holds for a repeat, belong to the unit that failed.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._sender = producer._sender  # noqa: SLF001
        self._manager = producer._transaction_manager  # noqa: SLF001
        self._requests = self._answers = 0  # of this transaction
        self._had_begun = False
        self._count(self._sender._client)  # noqa: SLF001

    @property
    def is_settled(self) -> bool:
        """Whether no copy of a request can still be on its way, once the transaction has ended.

        A transaction that the broker knew and of which no request was counted is not settled: then
        a newer client sends them in another way.
        """
        return self._requests == self._answers and (self._requests > 0 or not self._had_begun)

    def begin(self) -> None:
        """Begin one; says nothing to the broker."""
        self._manager.begin_transaction()
        self._requests = self._answers = 0

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
        self._note_begun()
        self._wait(self._manager.begin_commit(), "confirm the commit of the transaction", deadline)

    def abort(self, deadline: Deadline) -> None:
        """Abort; what is not sent yet is dropped."""
        self._note_begun()
        self._wait(self._manager.begin_abort(), "confirm the abort of the transaction", deadline)

    def _note_begun(self) -> None:
        self._had_begun = getattr(self._manager, "_transaction_started", True)

    def _count(self, client: Any) -> None:
        """Have each transactional request counted when it is sent, and each answer."""
        send = client.send

        def counting(node_id: Any, request: Any, **options: Any) -> Any:
            future = send(node_id, request, **options)
            if isinstance(request, _REQUESTS):
                self._requests += 1
                future.add_callback(self._note_answer)
            return future

        client.send = counting

    def _note_answer(self, _: object) -> None:
        self._answers += 1

    def _wait(self, result: Any, what: str, deadline: Deadline) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=deadline.left_s() * 1000):
            raise KafkaTimeoutError(f"the broker did not {what} in time")
