"""Contestant: the plain loop of `benchmarks.plain`, exactly once.

The same work and the same options, in transactions, by the safe loop: keep every future, flush,
look at every future, offsets with the generation of the poll, commit. `retry_backoff_ms` is 5, as
Vigie has it; with the client's 100 a transaction takes seven times as long. No rebalance is handled
and no failure: an error ends it.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata

from benchmarks.plain import Histories, Model, PlainJob, Publisher, finished, handle
from benchmarks.processes import Gate
from workers.kafka.kafka_python.options import consumer_options


def run_transactional(job: PlainJob, gate: Gate) -> dict[str, int]:
    """Consume, score, publish and commit until the ends or until `stop`; return what was seen."""
    torch.set_num_threads(1)
    model, histories = Model(), Histories()
    group = job.topics.denoised
    publisher = Publisher(job.connection, transactional_id=group, retry_backoff_ms=5)
    producer = publisher.producer
    producer.init_transactions()
    consumer = KafkaConsumer(
        job.topics.readings,
        group_id=group,
        max_poll_records=5_000,
        **consumer_options(job.connection),
    )
    gate.wait()
    done: dict[int, int] = {}
    positions: dict[Any, OffsetAndMetadata] = {}
    flagged, commit_at_s = 0, 0.0
    try:
        while not (job.stop.is_set() if job.stop else finished(consumer, job.ends, done)):
            polled = consumer.poll(timeout_ms=100)
            generation = consumer.group_metadata()
            if job.ready and consumer.assignment():
                job.ready.set()
            records = []
            for tp, batch in polled.items():
                end = job.ends.get(tp.partition, batch[-1].offset + 1)
                records += [record for record in batch if record.offset < end]
                done[tp.partition] = batch[-1].offset + 1
                positions[tp] = OffsetAndMetadata(batch[-1].offset + 1, "", -1)
            if records:
                if not commit_at_s:
                    producer.begin_transaction()
                    commit_at_s = time.monotonic() + job.transaction_s
                flagged += handle(records, job, model, histories, publisher)
            if commit_at_s and (not records or time.monotonic() >= commit_at_s):
                _commit(publisher, positions, generation)
                positions, commit_at_s = {}, 0.0
        if commit_at_s:
            _commit(publisher, positions, consumer.group_metadata())
    finally:
        consumer.close()
        publisher.close()
    return {"flagged": flagged}


def _commit(publisher: Publisher, positions: dict[Any, Any], generation: Any) -> None:
    publisher.settle()
    publisher.producer.send_offsets_to_transaction(positions, generation)
    publisher.producer.commit_transaction()
