"""The detector of a run: writes events in transactions, some of them aborted, some events twice."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.support.lives import Lives, fleet, record_of
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options

PAUSE_S: Final = 0.5
_ABORTED: Final = 0.1
_AGAIN: Final = 0.05
_UNREADABLE: Final = 0.01
_CLOSE_S: Final = 2.0


class Writer(threading.Thread):
    """Writes until it is stopped; a broker that goes away is waited for."""

    def __init__(self, connection: Connection, topic: str, *, seed: int, per_s: float) -> None:
        """Note what to write where; `start` begins."""
        super().__init__(name="chaos-writer", daemon=True)
        self._connection, self._topic = connection, topic
        self._rng, self._per_s = Random(seed), per_s
        self._lives = Lives(rng=self._rng, sensors=fleet(4, 15), going_on=30)
        self._recent = deque[Mapping[str, Any]](maxlen=50)
        self._stopping = threading.Event()
        self._producer: KafkaProducer | None = None
        self.counts = Counter[str]()
        """Transactions and records by what became of them."""

    def stop(self) -> None:
        """End what goes on, and wait until all of it is written."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Write on and on."""
        while not self._stopping.is_set():
            began_s = time.monotonic()
            size = self._rng.randint(1, 8)
            events = [self._lives.next_event() for _ in range(size)]
            if self._rng.random() < _ABORTED:
                self._abort(events)
            self._write(events)
            self._recent.extend(events)
            self._stopping.wait(max(size / self._per_s - (time.monotonic() - began_s), 0.0))
        self._write(self._lives.end_all())
        if self._producer is not None:
            self._producer.close(timeout=_CLOSE_S)

    def _write(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Until a commit is answered: what is not sure to be there is written again."""
        while not self._attempt(events, commit=True):
            self.counts["unanswered"] += 1
            time.sleep(PAUSE_S)

    def _abort(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write something that never was: others of the same incidents, and of none."""
        lies = [{**event, "id": f"{event['id']}-aborted"} for event in events]
        self._attempt(lies, commit=False)
        self.counts["aborted"] += 1

    def _attempt(self, events: Sequence[Mapping[str, Any]], *, commit: bool) -> bool:
        try:
            producer = self._open()
            producer.begin_transaction()
            records = [record_of(event) for event in events]
            if commit and self._recent and self._rng.random() < _AGAIN:
                records += [record_of(event) for event in self._rng.choices(self._recent, k=3)]
                self.counts["repeats"] += 3
            if commit and self._rng.random() < _UNREADABLE:
                records.append({"key": b"none", "value": b"{no event"})
                self.counts["unreadable"] += 1
            futures = [producer.send(self._topic, **record) for record in records]
            producer.flush(timeout=10)
            for future in futures:
                future.get(timeout=0)
            if commit:
                producer.commit_transaction()
                self.counts["committed"] += 1
            else:
                producer.abort_transaction()
        except (KafkaError, OSError, AssertionError, ValueError):
            self._drop()
            return False
        return True

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            options = producer_options(self._connection) | {
                "transactional_id": "chaos-writer",
                "transaction_timeout_ms": 10_000,
                "max_block_ms": 5_000,
                "bootstrap_timeout_ms": 3_000,
            }
            producer = KafkaProducer(**options)
            try:
                producer.init_transactions()
            except BaseException:
                _close(producer)
                raise
            self._producer = producer
        return self._producer

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer)


def _close(producer: KafkaProducer) -> None:
    """At once, whatever is under way: closing may fail for what the producer failed for."""
    with suppress(KafkaError):
        producer.close(timeout=0)
