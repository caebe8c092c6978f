"""The second hop of `vigie repartition` on the simulated Kafka: every schedule writes the same.

Its state hangs on the order of the log, so it is the one that a restart can get wrong; the first
hop remembers a number.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.deterministic.broker import Fate, Log
from tests.deterministic.schedule import MOST_EVENTS, POLLS
from tests.deterministic.world import BYTES_AN_EVENT, Process, World
from tests.support.logs import Rules
from tests.support.partitions import close
from tests.support.repartition import (
    BYTES_A_RECORD,
    SOURCES,
    Sent,
    reorder_state,
    shuffled_batch,
    shuffled_log,
)
from workers.kafka.client import Record
from workers.stream.loop import IngestLoop
from workers.stream.repartition.build import Clocks, build_reorder_loop
from workers.stream.state import reorder
from workers.stream.state.reorder import Bound, ReorderPoint, ReorderState

RUNS = 60
PATIENCE = 300
"""Schedules in which a planted bug has to show."""

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reorder, "WINDOW", 3)


def named(sent: Sent, partition: int) -> Record:
    """As on the wire; sensors are of one partition, and a value tells its place."""
    record = sent.record()
    return record._replace(
        topic="r",
        partition=partition,
        key=f"{sent.sensor}{partition}".encode(),
        value=b"%d:%d" % (partition, sent.offset),
    )


class ReorderWorld(World):
    """Workers of the second hop."""

    def __init__(self, logs: Mapping[int, Sequence[Sent]], bound: Bound, **how: Any) -> None:
        super().__init__(logs, Rules(receptive_field=1, max_records=2, max_age_ms=2), **how)  # type: ignore[arg-type]
        self.settings = self.settings.model_copy(
            update={
                "repartition": self.settings.repartition.model_copy(
                    update={
                        "max_disorder_s": bound.max_disorder_ms / 1e3,
                        "max_held_records": bound.max_held,
                    }
                )
            }
        )

    def _written(self, logs: Mapping[int, Any]) -> dict[int, Log]:
        return {p: Log([named(sent, p) for sent in log]) for p, log in logs.items()}

    def new_loop(self, process: Process, source: Any, sink: Any) -> IngestLoop:
        return build_reorder_loop(
            slot=0,
            source=source,
            sink=sink,
            settings=self.settings,
            sources=lambda: SOURCES,
            clocks=Clocks(monotonic_s=self.clock, wall_s=self.clock, pause=self.clock.advance),
        )

    def restores_from(self, metadata: str) -> int:
        point = ReorderPoint.decode(metadata)
        assert point is not None
        return point.windows[0]


def played(seed: int) -> tuple[ReorderWorld, Mapping[int, Sequence[Sent]], Bound]:
    rng = random.Random(seed)
    logs = {
        partition: log
        for partition in range(rng.randint(1, 3))
        if (log := shuffled_log(rng.randbytes(BYTES_A_RECORD * rng.randint(1, 60))))
    }
    # Small polls would restore for longer than the simulated broker waits for a transaction.
    bound = Bound(max_disorder_ms=rng.randint(1, 20), max_held=rng.randint(1, 60))
    world = ReorderWorld(
        logs, bound, workers=rng.randint(1, 3), poll=rng.choice(POLLS[2:]), in_flight=2
    )
    world.play(rng.randbytes(BYTES_AN_EVENT * rng.randint(10, MOST_EVENTS)))
    world.finish()
    return world, logs, bound


def check(world: ReorderWorld, logs: Mapping[int, Sequence[Sent]], bound: Bound) -> None:
    """What a `read_committed` reader finds of each partition's sensors is what nobody disturbed."""
    found: dict[str, list[bytes]] = defaultdict(list)
    letters = []
    for sent in world.broker.sent:
        if sent.transaction.fate is Fate.COMMITTED:
            if sent.topic == world.settings.topics.dead_letters:
                letters.append(sent.value)
            else:
                assert sent.key is not None
                assert sent.value is not None
                found[sent.key.decode()].append(sent.value)
    expected: dict[str, list[bytes]] = defaultdict(list)
    strangers = []
    for partition, log in logs.items():
        state, _ = reorder_state(bound=bound)
        request = state.polled(shuffled_batch(log))
        assert request is not None
        close(state, request.number)
        sensors = {sent.offset: sent.sensor for sent in log}
        for record in request.released:
            expected[f"{sensors[record.offset]}{partition}"].append(
                b"%d:%d" % (partition, record.offset)
            )
        strangers += [b"%d:%d" % (partition, s.offset) for s in log if s.header is None]
    assert found == expected, "what is written differs"
    assert sorted(letter or b"" for letter in letters) == sorted(strangers), "dead letters differ"


@pytest.mark.parametrize("part", range(4))
def test_every_schedule_writes_what_an_undisturbed_run_does(part: int) -> None:
    for seed in range(part * RUNS, (part + 1) * RUNS):
        check(*played(seed))


def restore_one_record_late(patch: pytest.MonkeyPatch) -> None:
    plan = reorder.plan_reorder

    def late(*arguments: Any, **named: Any) -> Any:
        found, point = plan(*arguments, **named)
        if point is not None and found.read_from < found.next_offset:
            found = replace(found, read_from=found.read_from + 1)
        return found, point

    patch.setattr("workers.stream.repartition.build.plan_reorder", late)


def forget_what_is_held(patch: pytest.MonkeyPatch) -> None:
    plan = reorder.plan_reorder
    patch.setattr(
        "workers.stream.repartition.build.plan_reorder",
        lambda *arguments, **named: (plan(*arguments, **named)[0], None),
    )


def write_what_was_written_again(patch: pytest.MonkeyPatch) -> None:
    """What went on while restoring goes on once more."""
    patch.setattr(ReorderState, "polled", lambda self, batch: self._request(batch, 0))


@pytest.mark.parametrize(
    "plant", [restore_one_record_late, forget_what_is_held, write_what_was_written_again]
)
def test_the_simulation_finds_a_planted_bug(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    def run_many() -> None:
        for seed in range(PATIENCE):
            check(*played(seed))

    with pytest.raises(AssertionError, match=r"differs?|stuck"):
        run_many()
