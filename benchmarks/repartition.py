"""Records a second through the hops of `vigie repartition`, on one core beside an embedded broker.

    python -m benchmarks.repartition [RECORDS]

Readings of 200 sensors lie in four partitions without keys. The hops' loops run in this process as
a worker runs them: one after the other, then both in turn on a second copy.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

import structlog
from kafka import KafkaProducer

from tests.support.broker import MakeTopic, topic_maker
from tests.support.repartition import open_hop, repartition_settings
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options
from workers.stream.loop import IngestLoop
from workers.stream.repartition.build import Hop

SENSORS, SOURCES, BOUND_S = 200, 4, 2.0


def fill(connection: Connection, topic: str, records: int) -> None:
    """Write readings, each up to a second late, a thousand to a second of record time."""
    rng = random.Random(1)
    producer = KafkaProducer(**producer_options(connection))
    begin_ms = int(time.time() * 1e3) - records
    for number in range(records):
        ts = begin_ms + number - rng.randrange(1000)
        value = b'{"sensor_id":"pump-%d","ts":%d,"values":{"flow":%f,"pressure":%f,"temp":%f}}' % (
            rng.randrange(SENSORS),
            ts,
            rng.random(),
            rng.random(),
            rng.random(),
        )
        producer.send(
            topic, value=value, partition=number % SOURCES, timestamp_ms=begin_ms + number
        )
    producer.flush(timeout=120)
    producer.close()


def seconds(loops: Sequence[IngestLoop], records: int) -> float:
    """How long the loops take, in turn, until the last has written all."""
    began_s = 0.0
    while loops[-1].health.total.written < records:
        for loop in loops:
            loop.step()
        if not began_s and any(loop.health.commits for loop in loops):
            began_s = time.perf_counter()  # the group is there
    return time.perf_counter() - began_s


def main(records: int) -> None:
    """Print a line for each."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with BrokerConfig().open() as broker, ExitStack() as stack:
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=30)
        make_topic: MakeTopic = stack.enter_context(topic_maker(connection))
        settings = repartition_settings(
            connection, make_topic, "bench", sources=SOURCES, max_disorder_s=BOUND_S
        )
        fill(connection, settings.repartition.source, records)
        for hop in Hop:
            with open_hop(settings, hop) as loop:
                took_s = seconds([loop], records)
                until_s = time.monotonic() + 2 * BOUND_S
                while hop is Hop.REKEY and time.monotonic() < until_s:
                    loop.step()  # the marks behind the last record
            print(f"{hop}: {records / took_s:,.0f} records/s")
        others = repartition_settings(connection, make_topic, "whole", max_disorder_s=BOUND_S)
        same = {"source": settings.repartition.source}
        whole = others.model_copy(
            update={"repartition": others.repartition.model_copy(update=same)}
        )
        loops = [stack.enter_context(open_hop(whole, hop)) for hop in Hop]
        print(f"both in one process: {records / seconds(loops, records):,.0f} records/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
