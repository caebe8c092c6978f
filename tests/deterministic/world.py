"""Workers on a simulated Kafka, and a script of what happens to them.

The ingest loop is the real one. A script is bytes, three an event, so that hypothesis draws it in
one go and shrinks it well. Nothing runs at the same time as anything else, but a frozen process
is one call deep in its step while the world goes on: so every interleaving of calls to the broker
can be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.settings import Settings
from tests.deterministic.broker import Broker, Log
from tests.deterministic.clients import (
    Crashed,
    Fault,
    Line,
    PlainSimSink,
    SimSource,
    SimTable,
    TransactionalSimSink,
)
from tests.deterministic.readings import CONSUMERS, MAX_STALE_TICKS, TICK_MS, on_the_wire
from tests.deterministic.scoring import SimDetector, SimScoring
from tests.support.clock import FakeClock
from tests.support.logs import MAX_GAP, Entry, Rules
from workers.errors import BrokerUnavailableError, FencedError, TransactionAbortedError
from workers.kafka.deadline import Deadline
from workers.stream.build import build_loop
from workers.stream.loop import IngestLoop
from workers.stream.scoring.backend import ScorerLostError
from workers.stream.state.restore import decode_metadata

BYTES_AN_EVENT = 3
_DEEPEST = 2
_FAULTS = [*Fault, Fault.REFUSED, Fault.NO_ANSWER, Fault.FREEZE]
_PATIENCE = 1_500


class _Idle:
    """Stands for the facts about a process of the operating system."""

    rss, user, system = 0, 0.0, 0.0

    def cpu_times(self) -> _Idle:
        return self

    def memory_info(self) -> _Idle:
        return self


class Process:
    """A worker; over when it has crashed, or was fenced."""

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        self.line = Line(world.broker, name, incarnation, lambda: world.freeze(self))
        self.scoring = SimScoring(SimDetector.of(world.rules))
        self.is_frozen = self.is_over = False
        self._world = world
        self.loop: IngestLoop | None = None

    def step(self) -> None:
        self._run(self._step)

    def drain(self) -> None:
        self._run(self._drain)
        self.is_over = True

    def kill(self) -> None:
        self.line.killed = True
        self.is_over = self.is_over or not self.is_frozen

    def _run(self, work: Any) -> None:
        if self.is_frozen or self.is_over:
            return
        try:
            work()
        except (Crashed, FencedError, TransactionAbortedError, BrokerUnavailableError):
            # The latter two when it has tried often enough: the supervisor starts another.
            self.is_over = True

    def _step(self) -> None:
        if self.loop is None:
            self.loop = self._open()
        self.loop.step()

    def _drain(self) -> None:
        if self.loop is not None:
            self.loop.drain(Deadline.after(10.0))

    def _open(self) -> IngestLoop:
        world = self._world
        source = SimSource(self.line)
        sink = world.sink_type(self.line, source)
        sink.begin()
        loop = world.new_loop(self, source, sink)
        loop._telemetry._process = _Idle()
        return loop


class World:
    """Everything, and time."""

    def __init__(
        self,
        logs: Mapping[int, Sequence[Entry]],
        rules: Rules,
        *,
        workers: int,
        poll: int,
        in_flight: int,
        exactly_once: bool = True,
    ) -> None:
        self.rules, self.clock = rules, FakeClock(1000.0)
        self.broker = Broker(self._written(logs))
        self.sink_type = TransactionalSimSink if exactly_once else PlainSimSink
        self.settings = Settings.model_validate(
            {
                "topics": {"readings": "r"},
                "kafka": {"group": CONSUMERS},
                "stream": {
                    "max_gap_s": MAX_GAP * TICK_MS / 1e3,
                    "max_stale_s": MAX_STALE_TICKS * TICK_MS / 1e3,
                    "max_poll_records": poll,
                    "max_restore_records": rules.max_records,
                    # Half of it counts, in whole ticks.
                    "max_restore_age_s": min(rules.max_age_ms // 2 * 2 * TICK_MS / 1e3, 1e9),
                    "max_dead_letter_share": 0,
                    "max_dead_letters_in_row": 0,
                },
                "processing": {
                    "guarantee": "exactly_once" if exactly_once else "at_least_once",
                    "max_in_flight": in_flight,
                    "commit_interval_s": 0.2,
                },
            }
        )
        for log in self.broker.logs.values():
            log.visible = len(log.records) // 2
        self.names = [f"g.main.{slot}" for slot in range(workers)]
        self._incarnations = 0
        self.processes: dict[str, Process] = {}
        self.zombies: list[Process] = []
        self._script: list[bytes] = []
        self._depth = 0

    def _written(self, logs: Mapping[int, Any]) -> dict[int, Log]:
        """What lies in the source in the end."""
        return {p: on_the_wire(entries, p) for p, entries in logs.items()}

    def new_loop(self, process: Process, source: Any, sink: Any) -> IngestLoop:
        """The loop of a process."""
        return build_loop(
            slot=0,
            source=source,
            sink=sink,
            table=SimTable(process.line, self.settings.topics.sensor_state),
            scoring=process.scoring,
            detector=process.scoring.detector,  # type: ignore[arg-type]
            settings=self.settings,
            monotonic_s=self.clock,
            wall_s=self.clock,
            pause=self.clock.advance,
        )

    def restores_from(self, metadata: str) -> int:
        """The offset that a restart of this commit reads first."""
        point = decode_metadata(metadata)
        assert point is not None
        return point.restore_from

    # -- the script ------------------------------------------------------------------------------

    def play(self, script: bytes) -> None:
        whole = len(script) // BYTES_AN_EVENT * BYTES_AN_EVENT
        self._script = [script[i : i + BYTES_AN_EVENT] for i in range(0, whole, BYTES_AN_EVENT)]
        while self._script:
            self._next()

    def freeze(self, process: Process) -> None:
        """Let the world go on while this process stands in the middle of a call."""
        if self._depth == _DEEPEST:
            return
        process.is_frozen, self._depth = True, self._depth + 1
        for _ in range(12):
            if self._script:
                self._next()
        process.is_frozen, self._depth = False, self._depth - 1

    def _next(self) -> None:
        what, who, how = self._script.pop(0)
        name = self.names[who % len(self.names)]
        process = self.processes.get(name)
        if process is None or process.is_over:
            process = self.start(name)
        match what % 16:
            case 0 | 1 | 2 | 3 | 4 | 5:
                for _ in range(1 + how % 6):
                    process.step()
            case 6 | 7:
                for _ in range(1 + how // 16 % 3):
                    process.scoring.answer(how)
            case 8 | 9:
                self._write(how)
            case kind:
                self._trouble(kind, process, how)

    def _trouble(self, kind: int, process: Process, how: int) -> None:
        match kind:
            case 10 | 11:
                process.line.arm(1 + how // 8 % 12, _FAULTS[how % 8])
            case 12:
                process.line.arm_late(1 + how % 8, by=1 + how // 8 % 32)
            case 13:
                self._end(process, how)
            case 14 if how % 2:
                self.broker.group.expel(process.line.name)
                self.broker.group.lose_patience()
                for _ in range(how // 2 % 4):  # and back again, with its work under its arm
                    process.step()
            case 14:
                errors = (ScorerLostError("gone"), RuntimeError("broken"))
                process.scoring.answer(how, errors[how // 2 % 2])
            case _:
                self.broker.time_out(process.line.name)
                self.broker.group.lose_patience()
                self.clock.advance(0.3)

    def start(self, name: str) -> Process:
        """A new process under this name; one that still runs becomes a zombie."""
        old = self.processes.get(name)
        if old is not None and not old.is_over:
            self.zombies.append(old)
        self._incarnations += 1
        self.processes[name] = Process(self, name, self._incarnations)
        return self.processes[name]

    def _end(self, process: Process, how: int) -> None:
        match how % 4:
            case 0:
                process.kill()
            case 1:
                process.drain()
                self.broker.group.expel(process.line.name)
            case 2:
                self.start(process.line.name)
            case _:
                for zombie in self.zombies:
                    zombie.step()

    def _write(self, how: int) -> None:
        """More records are written, and retention deletes what nobody will read again."""
        log = self.broker.logs[how % len(self.broker.logs)]
        log.visible = min(log.visible + 1 + how // 4 % 16, len(log.records))
        for partition, committed in self.broker.committed.items():
            if how % 3 == 0:
                oldest = self.restores_from(committed.metadata)
                self.broker.logs[partition].beginning = oldest

    # -- the end ---------------------------------------------------------------------------------

    def finish(self) -> None:
        """No more faults: everything comes to its end, or fails."""
        for log in self.broker.logs.values():
            log.visible = len(log.records)
        for process in [*self.processes.values(), *self.zombies]:
            process.line.disarm()
        for turn in range(_PATIENCE):
            if self._is_done():
                return
            self._turn(turn)
        positions = {p: at.next_offset for p, at in self.broker.committed.items()}
        raise AssertionError(f"stuck at {positions}, {self.broker.group.__dict__}")

    def _turn(self, turn: int) -> None:
        for zombie in self.zombies:
            zombie.step()
        for name in self.names:
            process = self.processes.get(name)
            if process is None or process.is_over:
                process = self.start(name)
            while process.scoring.open:
                process.scoring.answer(0)
            process.step()
            if turn % 50 == 49:
                self.broker.time_out(name)
        self.clock.advance(0.3)

    def _is_done(self) -> bool:
        return all(
            p in self.broker.committed and self.broker.committed[p].next_offset == log.end
            for p, log in self.broker.logs.items()
        )
