"""A schema registry that is away: the stream waits, and loses and doubles nothing."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from schemas.settings import Settings
from tests.support.fakes import FakeSink, FakeSource, FakeStream, make_stream, places
from tests.support.framed import framed
from tests.support.models import encoded, reading_records, small_detector
from tests.support.registry import registry_running
from workers.errors import RegistryUnavailableError, SettingsError
from workers.kafka.client import Record
from workers.stream.build import build_loop
from workers.stream.health import Phase
from workers.stream.loop import MAX_REWINDS
from workers.stream.registry_wait import RegistryWait, pause_of
from workers.stream.scoring.backend import LocalScoring

VALUES = [record["value"] for record in encoded(reading_records(["a", "b"], 30, spike_at=20))]
SMALL = {"max_poll_records": 10}
NEEDED_FROM = 25
"""Offset from which on records need the registry."""


def stream_with_registry(error: Exception) -> tuple[FakeStream, list[Exception]]:
    """A stream whose input needs the registry; it is away as long as the list holds an error."""
    stream = make_stream(VALUES, stream=SMALL)
    away = [error]
    accept = stream.loop._input.accept

    def asks(records: Any, **options: Any) -> Any:
        if away and records[-1].offset >= NEEDED_FROM:
            raise away[0]
        return accept(records, **options)

    stream.loop._input.accept = asks  # type: ignore[method-assign]
    return stream, away


def outputs(stream: FakeStream) -> Any:
    return places(stream.sink, "vigie.denoised"), stream.sink.recorded


def undisturbed() -> Any:
    stream = make_stream(VALUES, stream=SMALL)
    stream.run_to_the_end()
    return outputs(stream)


def test_it_waits_without_a_limit_of_tries_and_then_gives_the_same():
    stream, away = stream_with_registry(RegistryUnavailableError("away"))
    for _ in range(20 * MAX_REWINDS):
        stream.turn()
    position = stream.source.committed_position
    assert position is not None
    assert position.next_offset <= NEEDED_FROM
    phases = [stream.loop.health.phase]
    away.clear()
    stream.run_to_the_end()
    assert outputs(stream) == undisturbed()
    assert [*phases, stream.loop.health.phase] == [Phase.WAITING, Phase.RUNNING]
    assert stream.loop.health.rewinds == 0
    assert stream.loop._counts[0].records == len(VALUES)
    assert stream.loop._counts[0].dead_lettered == 0


def test_waiting_is_neither_a_standstill_nor_being_busy_and_never_spins():
    stream, _ = stream_with_registry(RegistryUnavailableError("away"))
    while stream.loop.health.phase is not Phase.WAITING:
        stream.turn()
    busy_s, tries = stream.loop.health.busy_s, 0
    began_s, ticks = stream.clock(), stream.loop.progress.count
    while tries < 100:
        before_s = stream.clock()
        stream.loop.step()
        assert stream.clock() - before_s <= 5.0 + 1e-6, "the group and the watchdog hear from us"
        tries += stream.clock() > before_s
    assert stream.loop.progress.count >= ticks + 100
    assert stream.clock() - began_s > 400.0
    stream.turn()
    assert stream.loop.health.busy_s == pytest.approx(busy_s, abs=1.0)


def test_the_pause_has_a_limit_however_long_it_takes():
    assert [pause_of(1), pause_of(7), pause_of(10**9)] == [0.1, 5.0, 5.0]


def test_what_was_taken_away_while_waiting_is_left_alone():
    stream, away = stream_with_registry(RegistryUnavailableError("away"))
    while stream.loop.health.phase is not Phase.WAITING:
        stream.turn()
    stream.source.take_away()
    for _ in range(10):
        stream.turn()
    away.clear()
    stream.run_to_the_end()
    assert outputs(stream) == undisturbed()


def test_a_rejection_by_the_registry_ends_the_loop():
    stream, _ = stream_with_registry(SettingsError("rejects us"))
    with pytest.raises(SettingsError, match="rejects us"):
        stream.run_to_the_end()


def test_the_wait_ends_when_the_record_is_read_and_not_with_the_next_commit():
    stream, away = stream_with_registry(RegistryUnavailableError("away"))
    while stream.loop.health.phase is not Phase.WAITING:
        stream.turn()
    away.clear()
    commits = stream.loop.health.commits
    stream.loop._commit_or_await = lambda: None  # type: ignore[method-assign]
    for _ in range(10):
        stream.turn()
    assert (stream.loop.health.phase, stream.loop.health.commits) == (Phase.RUNNING, commits)


def test_an_outage_its_end_and_the_start_of_a_partition_are_logged_once():
    stream, away = stream_with_registry(RegistryUnavailableError("away: start it"))
    with capture_logs() as logs:
        for _ in range(100):
            stream.turn()
        away.clear()
        stream.run_to_the_end()
    said = [entry["event"] for entry in logs]
    told = [name for name in said if name in {"registry_away", "registry_back"}]
    assert told == ["registry_away", "registry_back"]
    assert said.count("partition_started") == 1
    assert [e["reason"] for e in logs if e["event"] == "registry_away"] == ["away: start it"]


def test_each_lookup_ticks_so_that_many_of_them_are_no_standstill():
    pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
    pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")
    source = FakeSource([])
    with registry_running() as registry:
        loop = build_loop(
            slot=0,
            source=source,
            sink=FakeSink(source),
            table=FakeSink(source),
            scoring=LocalScoring(small_detector()),
            detector=small_detector(),
            settings=Settings.model_validate(
                {"input": {"format": "avro"}, "registry": {"url": registry.url}}
            ),
        )
        unknown = [Record("r", 0, n, 0, None, framed(n, b""), []) for n in range(50)]
        batch = loop._input.accept(unknown)
    assert len(batch.failures) == len(registry.asked) == 50
    assert loop.progress.count >= 50


def away_at(wait: RegistryWait, partition: int, offset: int) -> None:
    with pytest.raises(RegistryUnavailableError), wait.asking(partition, offset):
        raise RegistryUnavailableError("away")


def waiting_at(partition: int, offset: int) -> RegistryWait:
    wait = RegistryWait(structlog.get_logger(), lambda: 0.0)
    away_at(wait, partition, offset)
    return wait


def test_partitions_whose_schemas_are_known_end_no_wait():
    wait = waiting_at(1, 20)
    with capture_logs() as logs:
        for _ in range(5):
            wait.again([])
            with wait.asking(0, 99), wait.asking(1, 19):
                pass
            away_at(wait, 1, 20)
    assert wait
    assert wait.again([]) > pause_of(5)
    assert logs == []


def test_a_wait_ends_with_its_record_or_when_its_partition_goes():
    read, gone = waiting_at(1, 20), waiting_at(1, 20)
    with read.asking(1, 20):
        pass
    gone.left(0)
    assert gone
    gone.left(1)
    for wait in (read, gone):
        assert not wait
        assert wait.again([]) == pause_of(1)


def test_a_partition_that_is_given_back_later_starts_audibly():
    wait = waiting_at(1, 20)
    wait.again([0, 1])
    wait.left(0)
    assert [wait.is_reopening(number) for number in (0, 1, 1)] == [False, True, False]
