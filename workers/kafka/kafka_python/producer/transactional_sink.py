"""The exactly-once `Sink` on kafka-python: a unit of work is one transaction.

Outputs and offsets become visible together, or never. What kafka-python leaves open is closed here:

* It can commit a transaction that lost records (a batch that expired, a sequence error while it
  commits), so everything is flushed and every future looked at before the offsets go.
* Its waits have no end, so `Transactions` gives each one the deadline of the unit.
* After a failure its producer is in one of many states, not all of them usable, and may hold
  offsets of the failed unit which it would send with the next. So a producer that saw any failure
  is thrown away. Another is made under the same transactional id, and its ``init_transactions``
  makes the broker end whatever the old one left open: abort it, or finish the commit that was under
  way. After that, and not before, the committed offsets tell what happened.
* The first copy of a request that it repeated may come to the broker when the transaction is over,
  and would end, or add to, the next one. So such a producer is thrown away, too, once its
  transaction has ended: what is still on its way belongs to an epoch that is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from workers.errors import SettingsError, VigieError
from workers.kafka.client import CommittedOffset, Generation, OffsetCommitter
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.access import Access
from workers.kafka.kafka_python.admin.probe import broker_answers
from workers.kafka.kafka_python.clients import make_producer
from workers.kafka.kafka_python.errors import asking, committing
from workers.kafka.kafka_python.options import session_timeout_ms
from workers.kafka.kafka_python.producer.base import ProducerConfig, ProducingSink
from workers.kafka.kafka_python.producer.transactions import Transactions

log = logging.getLogger(__name__)

_ABORT_TIMEOUT_S: Final = 2.0
_ASK_TIMEOUT_S: Final = 1.0
_RETRY_BACKOFF_MS: Final = 5
_DELIVERY_SHARE: Final = 0.75  # of the transaction's time; the rest is for offsets and commit
_REQUEST_SHARE: Final = 0.5  # of the delivery's time: one repeat on a new connection fits


@dataclass(frozen=True, kw_only=True)
class TransactionalSinkConfig(ProducerConfig):
    """How to publish, exactly once; opening fences the predecessor.

    Attributes:
        transactional_id: stable over restarts and used by one worker at a time: a new producer with
            it ends what its predecessor left open, and fences it.
        transaction_timeout_s: the broker aborts a transaction that is open for longer; less than
            the session timeout of the consumer, so that a hanging transaction is aborted before
            another member gets the partitions.
    """

    transactional_id: str
    transaction_timeout_s: float = 8.0

    def __post_init__(self) -> None:
        """Reject timeouts that contradict each other.

        Raises:
            SettingsError: names both.
        """
        session_s = session_timeout_ms(self.connection) / 1000
        if self.transaction_timeout_s >= session_s:
            raise SettingsError(
                f"processing.transaction_timeout_s ({self.transaction_timeout_s:g}) must be less "
                f"than the session timeout, kafka.client.session_timeout_ms ({session_s:g} s): "
                "lower the one or raise the other."
            )
        delivery_ms, request_ms = self._timeouts_ms()
        if delivery_ms >= self.transaction_timeout_s * 1000:
            raise SettingsError(
                f"kafka.client.delivery_timeout_ms ({delivery_ms:g}) must be less than "
                f"processing.transaction_timeout_s ({self.transaction_timeout_s:g} s): lower the "
                "one or raise the other."
            )
        if request_ms >= delivery_ms:
            raise SettingsError(
                f"kafka.client.request_timeout_ms ({request_ms:g}) must be less than "
                f"kafka.client.delivery_timeout_ms ({delivery_ms:g}, from processing."
                "transaction_timeout_s unless set): lower the one or raise the other."
            )

    @property
    def access(self) -> Access:
        """Who publishes, for errors."""
        return Access.writing(self.connection, transactional_id=self.transactional_id)

    def sink(self, offsets: OffsetCommitter) -> ProducingSink:
        """Make the sink; it has no producer before `Sink.begin`."""
        return _TransactionalSink(self, offsets)

    def producer(self) -> Any:
        """Make the client; it owns the transactional id when this returns.

        Raises:
            BrokerUnavailableError: the broker does not answer, or cannot end what the predecessor
                left open in time (``max_block_ms``).
        """
        delivery_ms, request_ms = self._timeouts_ms()
        producer = make_producer(
            self.connection,
            client_id=self.client_id,
            transactional_id=self.transactional_id,
            transaction_timeout_ms=int(self.transaction_timeout_s * 1000),
            delivery_timeout_ms=int(delivery_ms),
            request_timeout_ms=int(request_ms),
            # The broker needs a moment to finish a transaction and asks for a repeat meanwhile:
            # the client's nap between repeats is most of what a transaction costs.
            retry_backoff_ms=_RETRY_BACKOFF_MS,
        )
        try:
            with asking(f"taking over the transactions of {self.transactional_id}", self.access):
                producer.init_transactions()
        except VigieError as error:
            producer.close(timeout=0)
            if "InvalidTransactionTimeout" in repr(error.__cause__):
                raise SettingsError(
                    f"processing.transaction_timeout_s ({self.transaction_timeout_s:g} s) is more "
                    "than the broker allows (transaction.max.timeout.ms): lower it."
                ) from error
            raise
        return producer

    def _timeouts_ms(self) -> tuple[float, float]:
        """For delivery and for one request: the user's, or fitting the transaction's."""
        options = self.connection.options
        whole_ms = self.transaction_timeout_s * 1000
        delivery_ms = options.get("delivery_timeout_ms", whole_ms * _DELIVERY_SHARE)
        return delivery_ms, options.get("request_timeout_ms", delivery_ms * _REQUEST_SHARE)


class _TransactionalSink(ProducingSink):
    """See `workers.kafka.client.Sink`."""

    def __init__(self, config: TransactionalSinkConfig, offsets: OffsetCommitter) -> None:
        super().__init__(config, offsets)
        self._is_open = False  # between begin and commit or abort
        self._transactions: Any = None

    def begin(self) -> None:
        self._end()
        if self._producer is not None:
            self._renew()
            try:
                self._transactions.begin()
            except KafkaError:
                self._discard()  # fenced, say, while it was idle
        if self._producer is None:
            self._produce()
            self._transactions.begin()
        self._is_open = True

    def settle(self, deadline: Deadline) -> None:
        """Nothing to do: a transaction is seen whole or not at all."""

    def commit(
        self, offsets: Mapping[int, CommittedOffset], generation: Generation, *, deadline: Deadline
    ) -> None:
        """End the unit.

        1. Flush, and look at every future: the client would commit without the lost ones.
        2. Check that no partition was taken away since ``generation``.
        3. Add the offsets, under the generation of the poll. 4. Commit.
        5. If a copy of a request may still be on its way: another producer.
        """
        with self._throwing_away():
            self._settle(deadline)
        self._offsets.check_held(offsets, generation)
        positions = {
            TopicPartition(self._offsets.topic, partition): OffsetAndMetadata(
                item.next_offset, item.metadata, -1
            )
            for partition, item in offsets.items()
        }
        what = "The transaction was not committed as far as known"
        with self._throwing_away(), committing(self._access, what):
            if positions:
                self._transactions.add_offsets(positions, generation.token, deadline)
            self._transactions.commit(deadline)
        self._is_open = False
        if not self._transactions.is_settled:
            self._discard()
            self._make_successor()

    def abort(self) -> None:
        """End the unit, within seconds, and settle it if the broker answers.

        Politely if nothing has gone wrong yet. Otherwise the successor of the producer that was
        thrown away is made here and not in `begin`: until it is there, the broker answers no
        question about the committed offsets.
        """
        self._end()
        self._make_successor()

    def close(self) -> None:
        """Abort what is open, so that no reader waits for it, and close the producer."""
        self._end()
        super().close()

    def _end(self) -> None:
        """Abort what is open; throw the producer away if that cannot be done cleanly."""
        if not self._is_open:
            return
        self._is_open = False
        failed = any(future.failed() for future in self._futures)
        self._forget()
        if failed:
            self._discard()
        if self._producer is None:
            return
        try:
            self._transactions.abort(Deadline.after(_ABORT_TIMEOUT_S))
        except KafkaError as error:
            log.warning(
                "a transaction was left to be aborted by its successor (%s)", type(error).__name__
            )
            self._discard()
        else:
            if not self._transactions.is_settled:
                self._discard()

    def _make_successor(self) -> None:
        """Make the successor of a producer that was thrown away, if the broker answers."""
        if self._producer is None and broker_answers(
            self._config.connection, timeout_s=_ASK_TIMEOUT_S
        ):
            try:
                self._produce()
            except VigieError as error:
                log.warning("a transaction is still to be settled: %s", error)

    def _produce(self) -> None:
        """Make the producer, which settles what its predecessor left open."""
        self._renew()
        self._transactions = Transactions(self._producer)

    @contextmanager
    def _throwing_away(self) -> Iterator[None]:
        """Throw the producer away if the block fails."""
        try:
            yield
        except VigieError:
            self._discard()
            raise
