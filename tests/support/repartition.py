"""Records between the hops of `vigie repartition`, in any order that workers may write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from schemas.settings import Settings, StreamSettings
from tests.support.broker import MakeTopic
from tests.support.partitions import batch_of
from tests.support.streams import make_settings
from workers.kafka.admin import Admin, TopicSpec
from workers.kafka.client import Connection, Record
from workers.kafka.factory import admin_of, connection_of, sink_of, source_of
from workers.stream.loop import IngestLoop
from workers.stream.repartition.build import (
    Hop,
    build_rekey_loop,
    build_reorder_loop,
    settings_of,
)
from workers.stream.repartition.inputs import ShuffledInput
from workers.stream.state.rekey import SourceBatch
from workers.stream.state.reorder import Bound, ReorderState, ShuffledBatch, plan_reorder
from workers.stream.state.shuffled import Arrival, ClockMark

SOURCES = 3
BYTES_A_RECORD = 4
_INPUT = ShuffledInput(StreamSettings())


class Sent(NamedTuple):
    """A record between the hops; one without a header does not belong there."""

    offset: int
    header: Arrival | ClockMark | None
    sensor: str = ""

    def record(self) -> Record:
        match self.header:
            case Arrival():
                headers: tuple[tuple[str, bytes], ...] = (("own", b"1"), self.header.header())
            case ClockMark():
                headers = self.header.headers()
            case None:
                headers = ()
        return Record("s", 0, self.offset, 1, self.sensor.encode(), b"v", headers)


def shuffled_log(noise: bytes) -> list[Sent]:
    """A log at its worst: skewed sources, silent ones, late records, repeats, strangers, holes.

    Zeros are the dullest record.
    """
    log, offset = [], 0
    clocks, source_offsets = [0] * SOURCES, [0] * SOURCES
    for number in range(len(noise) // BYTES_A_RECORD):
        who, when, how_late, what = noise[number * BYTES_A_RECORD :][:BYTES_A_RECORD]
        # The third source is seldom heard of, for some time not at all.
        source = (0, 1, 0, 1, 0, 1, 0, 2 if number % 90 > 45 else 1)[who % 8]
        clocks[source] += when % 5
        clock_ms = max(clocks[source] - 3, 0) if what % 32 == 31 else clocks[source]
        header: Arrival | ClockMark | None
        match what // 32:
            case 0 | 1 | 2 | 3 | 4:
                late = (0, 0, 1, 2, 5, 9, 20, 70)[how_late % 8]
                header = Arrival(
                    source, source_offsets[source], clock_ms, clocks[source] - late, clock_ms
                )
                source_offsets[source] += 1
            case 5 | 6:
                clocks[how_late % SOURCES] += when % 9
                header = ClockMark(how_late % SOURCES, clocks[how_late % SOURCES])
            case _:
                header = None
        log.append(Sent(offset, header, "aab"[who // 8 % 3]))
        offset += (1, 1, 1, 1, 1, 1, 2, 9)[who // 32]
    return log


def shuffled_batch(log: Sequence[Sent]) -> ShuffledBatch:
    """One poll's records."""
    return _INPUT.accept([sent.record() for sent in log])


def source_batch(records: Sequence[Any], **how: Any) -> SourceBatch:
    """As `batch_of`, of a source whose timestamps all lie behind the clock on the wall."""
    batch = batch_of(records, **how)
    return SourceBatch(
        offsets=batch.offsets,
        stamps_ms=batch.stamps_ms,
        readings=batch.readings,
        failures=batch.failures,
        clocks_ms=batch.stamps_ms,
        parts={},
    )


def reorder_state(
    *, bound: Bound, committed: tuple[int, str] | None = None, sources: int = SOURCES
) -> tuple[ReorderState, int]:
    """A state as a worker makes it of a commit, and the offset from which it reads."""
    plan, point = plan_reorder(committed, beginning=0, end=10**9)
    return ReorderState(0, plan, point, bound=bound, sources=sources), plan.read_from


def repartition_settings(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    *,
    max_disorder_s: float = 2.0,
    sources: int = 3,
    **sections: dict[str, Any],
) -> Settings:
    """Settings with topics of their own, fewer partitions between the hops than behind them."""
    repartition = {
        "source": make_topic(partitions=sources),
        "shuffled": make_topic(partitions=2),
        "max_disorder_s": max_disorder_s,
    }
    return make_settings(
        connection, make_topic, group, partitions=4, repartition=repartition, **sections
    )


@contextmanager
def open_hop(settings: Settings, hop: Hop, *, slot: int = 0) -> Iterator[IngestLoop]:
    """A loop as a worker runs it; closing it leaves without draining, as a kill would."""
    own, repartition = settings_of(settings, hop), settings.repartition
    with ExitStack() as stack:
        source = stack.enter_context(source_of(own, slot).open())
        sink = stack.enter_context(sink_of(own, slot).open(source))
        admin = admin_of(connection_of(settings.kafka))
        if hop is Hop.REKEY:
            partitions = partitions_of(admin, repartition.shuffled)
            yield build_rekey_loop(
                slot=slot, source=source, sink=sink, settings=settings, partitions=partitions
            )
        else:
            yield build_reorder_loop(
                slot=slot,
                source=source,
                sink=sink,
                settings=settings,
                sources=lambda: partitions_of(admin, repartition.source),
            )


def partitions_of(admin: Admin, topic: str) -> int:
    return admin.check_topics([TopicSpec(name=topic, partitions=1)])[0].partitions
