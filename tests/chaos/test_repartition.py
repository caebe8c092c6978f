"""`vigie repartition` with its workers killed and suspended under it: only the source decides.

A producer without keys writes readings that come up to a second late, to the partitions in turn.
Workers of both hops are killed and suspended meanwhile. At the end the readings' topic holds each
record once, each sensor in one partition, in the order that the source alone determines: the judges
are those of the stream where they fit, and a sort.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from kafka import KafkaProducer

from schemas.settings import StreamSettings
from tests.chaos import checkers
from tests.chaos.cluster import Cluster, open_cluster
from tests.chaos.commits import Commit, read_commits
from tests.chaos.pipeline import Pipeline
from tests.chaos.reader import digest, following
from tests.chaos.segments import Fate, topic_fates
from tests.chaos.transactions import remainder
from tests.support.broker import read_settled
from tests.support.repartition import reorder_state
from tests.support.wait import wait_until
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection, Record
from workers.kafka.factory import admin_of
from workers.kafka.kafka_python.options import producer_options
from workers.stream.repartition.build import Hop
from workers.stream.repartition.inputs import ShuffledInput
from workers.stream.state.reorder import Bound, ReorderState

# A minute and a half, for `make test-all`; tests/integration/test_repartition.py has shorter kills.
pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

SOURCES: Final = 3
BOUND_S: Final = 4.0
LATE_S: Final = 1.0
SENSORS: Final = 7
PER_S: Final = 200
TRIED: Final = 30
"""Commits of a partition that are tried, evenly over the run."""
TOPICS: Final = {"source": SOURCES, "shuffled": 2, "readings": 3, "letters": 1}
SETTINGS: Final = {
    "kafka.group": "order",
    "repartition.source": "source",
    "repartition.shuffled": "shuffled",
    "repartition.max_disorder_s": str(BOUND_S),
    "topics.readings": "readings",
    "topics.dead_letters": "letters",
    "workers.ingest": "2",
    "workers.max_restarts": "1000",
    "workers.stall_timeout_s": "15",
    "processing.flush_timeout_s": "5",
}


@contextmanager
def load(connection: Connection) -> Iterator[None]:
    """Readings without keys, in turn to each partition, some late, some that are none."""
    over = threading.Event()

    def send() -> None:
        rng = random.Random(5)
        producer = KafkaProducer(**producer_options(connection))
        number = 0
        while not over.wait(1 / PER_S):
            late_s = rng.choice((0.0, 0.0, 0.0, rng.random() * LATE_S))
            ts = int((time.time() - late_s) * 1e3)
            body = {"sensor_id": f"s{rng.randrange(SENSORS)}", "ts": ts, "values": {"n": number}}
            value = b"no reading" if number % 97 == 96 else json.dumps(body).encode()
            producer.send("source", value=value, partition=number % SOURCES)
            number += 1
        producer.close(timeout=20)

    thread = threading.Thread(target=send, name="load")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def strike(pipeline: Pipeline, rng: random.Random) -> None:
    """Kill or suspend one worker of either hop, while readings flow."""
    wait_until(lambda: len(pipeline.processes("IngestActor")) == 4, within=60, what="all workers")
    victim = rng.choice(pipeline.processes("IngestActor"))
    if rng.random() < 0.3:
        victim.send_signal(signal.SIGSTOP)  # until it is replaced, or its partitions move
        time.sleep(2.0)
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGCONT)
    else:
        victim.kill()
    time.sleep(rng.random() * 3.0)


def expected_of(source: Sequence[Any]) -> tuple[dict[str, list[bytes]], list[bytes]]:
    """What has to be written of each sensor, in order; and the dead letters."""
    found: dict[str, list[tuple[int, int, int, bytes]]] = defaultdict(list)
    bad = []
    for record in source:
        if record.value == b"no reading":
            bad.append(record.value)
            continue
        body = json.loads(record.value)
        place = (body["ts"], record.partition, record.offset)
        found[body["sensor_id"]].append((*place, record.value))
    return {sensor: [value for *_, value in sorted(own)] for sensor, own in found.items()}, bad


def restorable(shuffled: Sequence[Any], commits: Sequence[Commit]) -> list[str]:
    """Commits from which a new state does not go on as one that was never disturbed."""
    wrong = []
    bound = Bound(max_disorder_ms=int(BOUND_S * 1e3), max_held=100_000)
    for partition in range(TOPICS["shuffled"]):
        log = [record_of(record) for record in shuffled if record.partition == partition]
        own = [commit for commit in commits if commit.partition == partition]
        for commit in own[:: max(len(own) // TRIED, 1)]:
            undisturbed = released(reorder_state(bound=bound)[0], log, commit.next_offset)
            state, read_from = reorder_state(
                bound=bound, committed=(commit.next_offset, commit.metadata)
            )
            again = [record for record in log if record.offset >= read_from]
            if released(state, again, commit.next_offset) != undisturbed:
                wrong.append(f"partition {partition} from {commit.next_offset}")
    return wrong


def released(state: ReorderState, log: Sequence[Record], start: int) -> list[int]:
    """The offsets of what goes on from an offset on, when what lies before was read at once."""
    shuffled = ShuffledInput(StreamSettings())
    before = [record for record in log if record.offset < start]
    behind = [record for record in log if record.offset >= start]
    if before:
        state.polled(shuffled.accept(before))
    request = state.polled(shuffled.accept(behind)) if behind else None
    return [] if request is None else [record.offset for record in request.released]


def record_of(record: Any) -> Record:
    where = record.topic, record.partition, record.offset, record.timestamp
    return Record(*where, record.key, record.value, record.headers)


def judged(cluster: Cluster, seen: Sequence[tuple[str, int, int, int]]) -> checkers.Violations:
    """The judges of the stream: commits, transactions, and a reader that was there all the time."""
    direct, final, aborted = cluster.direct, {}, []
    for topic in ("readings", "letters"):
        for record in read_settled(direct, topic, within=60.0):
            final[topic, record.partition, record.offset] = digest(record)
        fates = topic_fates(cluster.log, topic)
        aborted += [(topic, *at) for at, fate in fates.items() if fate is Fate.ABORTED]
    left = remainder(direct, tuple(TOPICS), within_s=60.0)
    violations = [
        *checkers.seen_live(list(seen), final, aborted),
        *checkers.closed(left.unfinished, left.stable, left.ends, left.held),
    ]
    for hop, topic in ((Hop.REKEY, "source"), (Hop.REORDER, "shuffled")):
        commits = read_commits(direct, f"order.{hop.value}", topic)
        backward = [
            f"{topic} {partition}: {one.next_offset} before {other.next_offset}"
            for partition in range(TOPICS[topic])
            for own in [[commit for commit in commits if commit.partition == partition]]
            for one, other in pairwise(own)
            if one.next_offset > other.next_offset
        ]
        violations += checkers.found("commits that go backward", backward)
        violations += checkers.found("hops without a commit", [] if commits else [hop])
        if hop is Hop.REORDER:
            shuffled = read_settled(direct, "shuffled", within=60.0)
            violations += checkers.found(
                "commits that do not allow the restore", restorable(shuffled, commits)
            )
    return violations


def test_workers_killed_under_it_change_neither_what_is_written_nor_its_order(
    tmp_path: Path,
) -> None:
    rng = random.Random(7)
    with open_cluster(tmp_path / "kafka") as cluster:
        direct = cluster.direct
        admin_of(direct).create_topics(
            [TopicSpec(name=name, partitions=number) for name, number in TOPICS.items()]
        )
        assignments = {**SETTINGS, "kafka.bootstrap": direct.bootstrap}
        pipeline = Pipeline(assignments, tmp_path / "run", command="repartition")
        try:
            pipeline.start()
            with following(direct, ("readings", "letters"), denoised="") as reader:
                with load(direct):
                    for _ in range(5):
                        strike(pipeline, rng)
                source = read_settled(direct, "source", within=60.0)
                wait_until(
                    lambda: len(reader.seen) >= len(source) or not pipeline.is_running(),
                    within=90,
                    what="everything written",
                )
                assert pipeline.drain(within_s=60.0) == 0, pipeline.log_tail()
                violations = judged(cluster, reader.seen)
        finally:
            left = pipeline.close()
        told = json.loads(pipeline.result.read_text())
        written = read_settled(direct, "readings", within=60.0)
        letters = read_settled(direct, "letters", within=60.0)
    assert not left
    assert not violations
    expected, bad = expected_of(source)
    found: dict[str, list[Any]] = defaultdict(list)
    for record in written:
        found[record.key.decode()].append(record)
    assert {sensor: [r.value for r in own] for sensor, own in found.items()} == expected
    assert all(len({record.partition for record in own}) == 1 for own in found.values())
    assert sorted(letter.value for letter in letters) == sorted(bad)
    assert len(source) > 1_000
    assert told["reorder"]["late"] == told["reorder"]["early"] == 0
    deaths = pipeline.events("worker_died", "worker_replaced")
    assert len(deaths) >= 2, "a run without a death shows nothing"
