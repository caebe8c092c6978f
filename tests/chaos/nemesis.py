"""What carries out the faults: one function a kind, each of which gives the way back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psutil
from kafka.errors import InvalidPartitionsError

from schemas.settings import Settings
from tests.chaos.brokers import (
    KILL_GROUPS,
    KILL_TRANSACTIONS,
    Brokers,
    NoVictimError,
    Undo,
    nothing,
)
from tests.chaos.cluster import Cluster
from tests.chaos.hooks.switches import Switches
from tests.chaos.leaders import asked
from tests.chaos.load import Load
from tests.chaos.pipeline import Pipeline
from tests.chaos.proxy import FAIR, Passage, Weather
from tests.chaos.schedule import OF_SEVERAL, Fault, FaultBatch, Kind
from tests.support import netns
from workers.errors import VigieError
from workers.kafka.kafka_python.consumer.source import SourceConfig

_ADDED_WITHIN_S: Final = 60.0
_AT_WORK_S: Final = 10.0
_VICTIM_WITHIN_S: Final = 45.0
_RIVAL_WITHIN_S: Final = 60.0
_FIGHT_S: Final = 90.0
_JOIN_WITHIN_S: Final = 15.0
_SEND_WITHIN_S: Final = 15.0
LATE_REQUESTS: Final = {24: "AddPartitions", 25: "AddOffsets", 26: "EndTxn", 28: "TxnOffsetCommit"}
"""What a producer says of a transaction, by the protocol's numbers."""


@dataclass
class Nemesis:
    """Jepsen's word for who does the harm: everything that can be harmed, and what is under way.

    Attributes:
        pipeline: the one that works; a fight may change it.
        make_rival: makes a pipeline of the same settings, with a folder of its own.
        rivals: those that lost a fight, to be closed at the end.
        partitions: of the source now.
    """

    cluster: Cluster
    pipeline: Pipeline
    load: Load
    switches: Switches
    settings: Settings
    make_rival: Callable[[], Pipeline]
    partitions: int
    brokers: Brokers = field(init=False)
    rivals: list[Pipeline] = field(default_factory=list)
    _weather: dict[Kind, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.brokers = Brokers(self.cluster, self.settings.topics.readings)

    def strike(self, batch: FaultBatch) -> list[str]:
        """Carry out a batch and undo what it did; what could not be done, by name and reason."""
        began_s = time.monotonic()
        left = list(batch.faults)
        undoes: list[tuple[float, Undo]] = []
        missed: list[str] = []
        while left or undoes:
            now_s = time.monotonic() - began_s
            if left and left[0].after_s <= now_s:
                fault = left.pop(0)
                try:
                    undo = _ACTIONS[fault.kind](self, fault)
                except (NoVictimError, psutil.Error) as error:
                    missed.append(f"{fault.kind}: {error}")
                    continue
                undoes.append((time.monotonic() - began_s + fault.seconds, undo))
                undoes.sort(key=lambda one: one[0])
            elif undoes and undoes[0][0] <= now_s:
                undoes.pop(0)[1]()
            else:
                time.sleep(0.02)
        return missed

    # -- processes -------------------------------------------------------------------------------

    def _victim(self, actor: str, pick: int) -> psutil.Process:
        """One of the actors; three times of four one that is old enough to be at work."""
        until_s = time.monotonic() + _VICTIM_WITHIN_S
        while not (found := self.pipeline.processes(actor)):
            if time.monotonic() > until_s or not self.pipeline.is_running():
                raise NoVictimError(f"no {actor} is there")
            time.sleep(0.1)
        old = [one for one in found if time.time() - one.create_time() > _AT_WORK_S]
        chosen = old if old and pick % 4 else found
        return chosen[pick % len(chosen)]

    def kill(self, fault: Fault, actor: str) -> Undo:
        self._victim(actor, fault.pick).kill()
        return nothing

    def suspend(self, fault: Fault, actor: str) -> Undo:
        victim = self._victim(actor, fault.pick)
        victim.suspend()
        return partial(_resume, victim)

    def suspend_in_send(self, fault: Fault) -> Undo:
        """Suspend the ingest worker that sends outputs next, while they are under way."""
        self.switches.set("stopped_pid", 0.0)
        self.switches.set("stops_in_send", 1.0)
        until_s = time.monotonic() + _SEND_WITHIN_S
        while not self.switches.get("stopped_pid") and time.monotonic() < until_s:
            time.sleep(0.02)
        self.switches.set("stops_in_send", 0.0)
        pid = int(self.switches.get("stopped_pid"))
        if not pid:
            raise NoVictimError("nobody sends anything")
        return partial(_resume, psutil.Process(pid))

    def kill_driver(self, fault: Fault) -> Undo:
        if not self.pipeline.is_running():
            raise NoVictimError("the driver is gone already")
        self.pipeline.kill_driver()
        return self.revive

    def revive(self) -> None:
        """Start the pipeline if it is down."""
        if not self.pipeline.is_running():
            self.pipeline.start()

    def suspend_driver(self, fault: Fault) -> Undo:
        driver = self.pipeline.driver
        if driver is None:
            raise NoVictimError("the driver is gone")
        driver.suspend()
        return partial(_resume, driver)

    # -- network ---------------------------------------------------------------------------------

    def cut(self, fault: Fault) -> Undo:
        self.cluster.cut()
        return nothing

    def change_weather(self, fault: Fault, **changes: Any) -> Undo:
        self._weather[fault.kind] = changes
        self._set_weather()
        return partial(self._clear_weather, fault.kind)

    def be_late(self, fault: Fault) -> Undo:
        """Have one kind of a transaction's requests reach the broker when it has been repeated."""
        kind = sorted(LATE_REQUESTS)[fault.pick % len(LATE_REQUESTS)]
        return self.change_weather(fault, up=Passage.LATE, late_requests=(kind,))

    def _clear_weather(self, kind: Kind) -> None:
        self._weather.pop(kind, None)
        self._set_weather()

    def _set_weather(self) -> None:
        merged = {
            name: value for changes in self._weather.values() for name, value in changes.items()
        }
        self.cluster.set_weather(Weather(**merged) if merged else FAIR)

    # -- scorers and clocks ----------------------------------------------------------------------

    def turn(self, fault: Fault, switch: str) -> Undo:
        self.switches.set(switch, fault.amount)
        return partial(self.switches.set, switch, 0.0)

    def add_to(self, fault: Fault, switch: str) -> Undo:
        self.switches.set(switch, self.switches.get(switch) + round(fault.amount))
        return nothing

    def jump(self, fault: Fault) -> Undo:
        self.load.jump(fault.amount, fault.pick)
        return nothing

    # -- the group -------------------------------------------------------------------------------

    def intrude(self, fault: Fault) -> Undo:
        """Join the group, hold what it gives us without reading it, and leave."""
        over, held = threading.Event(), threading.Event()
        config = SourceConfig(
            connection=self.cluster.direct,
            topic=self.settings.topics.readings,
            group=self.settings.kafka.group,
            assignment=self.settings.kafka.assignment,
            client_id="chaos-intruder",
        )

        def stay() -> None:
            # The broker may be away at the same time; then the intruder is, too.
            with contextlib.suppress(VigieError), config.open(should_stop=over.is_set) as source:
                while not over.is_set():
                    if source.poll(timeout_s=0.1, max_records=100).assigned:
                        held.set()

        thread = threading.Thread(target=stay, name="chaos-intruder", daemon=True)
        thread.start()

        def leave() -> None:
            held.wait(_JOIN_WITHIN_S)  # else nothing happened at all
            over.set()
            thread.join()

        return leave

    def add_partition(self, fault: Fault) -> Undo:
        self.brokers.need_running()
        asked(self.cluster.direct, self._add_partition, within_s=_ADDED_WITHIN_S)
        self.partitions += 1
        return nothing

    def _add_partition(self, admin: Any) -> None:
        # Refused where the answer of the time before was lost: then it is there.
        with contextlib.suppress(InvalidPartitionsError):
            admin.create_partitions({self.settings.topics.readings: self.partitions + 1})

    def fight(self, fault: Fault) -> Undo:
        """Start a second pipeline with the same ids; only one of the two may go on."""
        rival = self.make_rival()
        rival.start()
        rival.wait_for("IngestActor", within_s=_RIVAL_WITHIN_S)
        return partial(self._end_fight, rival)

    def _end_fight(self, rival: Pipeline) -> None:
        until_s = time.monotonic() + _FIGHT_S
        while self.pipeline.is_running() and rival.is_running() and time.monotonic() < until_s:
            time.sleep(0.1)
        if rival.is_running() and not self.pipeline.is_running():
            self.pipeline, rival = rival, self.pipeline
        rival.kill_driver()
        self.rivals.append(rival)


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):  # it may have been killed meanwhile
        process.resume()


_ACTIONS: Final[dict[Kind, Callable[[Nemesis, Fault], Undo]]] = {
    Kind.KILL_INGEST: lambda nemesis, fault: nemesis.kill(fault, "IngestActor"),
    Kind.KILL_SCORER: lambda nemesis, fault: nemesis.kill(fault, "ScorerActor"),
    Kind.KILL_DRIVER: Nemesis.kill_driver,
    Kind.KILL_BROKER: lambda nemesis, fault: nemesis.brokers.kill(fault),
    Kind.STOP_INGEST: lambda nemesis, fault: nemesis.suspend(fault, "IngestActor"),
    Kind.STOP_SCORER: lambda nemesis, fault: nemesis.suspend(fault, "ScorerActor"),
    Kind.STOP_IN_SEND: Nemesis.suspend_in_send,
    Kind.STOP_DRIVER: Nemesis.suspend_driver,
    Kind.STOP_BROKER: lambda nemesis, fault: nemesis.brokers.suspend(fault),
    Kind.RESTART_BROKER: lambda nemesis, fault: nemesis.brokers.restart(fault),
    Kind.FULL_DISK: lambda nemesis, fault: nemesis.brokers.fill_disk(fault),
    Kind.CUT: Nemesis.cut,
    Kind.HOLD: lambda nemesis, fault: nemesis.change_weather(
        fault, up=Passage.HELD, down=Passage.HELD
    ),
    Kind.HALF_OPEN: lambda nemesis, fault: nemesis.change_weather(fault, up=Passage.SWALLOWED),
    Kind.LOSE_ANSWERS: lambda nemesis, fault: nemesis.change_weather(fault, down=Passage.SWALLOWED),
    Kind.LATE: Nemesis.be_late,
    Kind.DELAY: lambda nemesis, fault: nemesis.change_weather(fault, latency_s=fault.amount),
    Kind.THROTTLE: lambda nemesis, fault: nemesis.change_weather(fault, bytes_per_s=fault.amount),
    Kind.SLICE: lambda nemesis, fault: nemesis.change_weather(
        fault, slice_bytes=max(int(fault.amount), 1)
    ),
    Kind.SLOW_CLOSE: lambda nemesis, fault: nemesis.change_weather(fault, close_s=fault.amount),
    Kind.SLOW_SCORER: lambda nemesis, fault: nemesis.turn(fault, "score_delay_s"),
    Kind.FAILING_SCORER: lambda nemesis, fault: nemesis.add_to(fault, "failures"),
    Kind.WRONG_SIZE: lambda nemesis, fault: nemesis.add_to(fault, "wrong_sizes"),
    Kind.EVENT_CLOCK: Nemesis.jump,
    Kind.WALL_CLOCK: lambda nemesis, fault: nemesis.turn(fault, "wall_offset_s"),
    Kind.INTRUDER: Nemesis.intrude,
    Kind.ADD_PARTITION: Nemesis.add_partition,
    Kind.RIVAL: Nemesis.fight,
    Kind.MOVE_LEADERS: lambda nemesis, fault: nemesis.brokers.move_leaders(fault),
    Kind.KILL_GROUPS: lambda nemesis, fault: KILL_GROUPS(nemesis.brokers, fault),
    Kind.KILL_TRANSACTIONS: lambda nemesis, fault: KILL_TRANSACTIONS(nemesis.brokers, fault),
    Kind.STOP_FOLLOWER: lambda nemesis, fault: nemesis.brokers.suspend_follower(fault),
    Kind.STOP_TWO: lambda nemesis, fault: nemesis.brokers.suspend_two(fault),
    Kind.PART_BROKER: lambda nemesis, fault: nemesis.brokers.part(fault),
    Kind.POWER_LOSS: lambda nemesis, fault: nemesis.brokers.lose_power(fault),
}


def impossible(folder_mounted: object, placement: str, *, nodes: int = 1) -> frozenset[Kind]:
    """Kinds that cannot happen here."""
    without: set[Kind] = set()
    if nodes == 1:
        without |= OF_SEVERAL
    elif netns.why_not():
        without.add(Kind.PART_BROKER)
    if folder_mounted is None:
        without.add(Kind.FULL_DISK)
    if placement != "actors":
        without |= {Kind.KILL_SCORER, Kind.STOP_SCORER}
    return frozenset(without)
