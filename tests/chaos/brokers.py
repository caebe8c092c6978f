"""The faults of brokers, one alone or several: killed, suspended, full, parted, without power.

Of several one is struck at a time, so that what was acknowledged is somewhere: three copies survive
one loss, and who takes two of three may lose what Kafka never promised to keep. Only `suspend_two`
takes two, and harms neither's disk.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kafka import TopicPartition
from kafka.errors import KafkaError

from tests.chaos.cluster import Cluster, Node
from tests.chaos.leaders import GROUPS, TRANSACTIONS, all_in_sync, move, replicas
from tests.chaos.power import lose_power
from tests.chaos.schedule import Fault

Undo = Callable[[], None]

_IN_SYNC_WITHIN_S: Final = 60.0
_MOVED_WITHIN_S: Final = 15.0
_LOOK_S: Final = 0.3


class NoVictimError(Exception):
    """The fault could not be carried out: nobody was there to meet it."""


@dataclass
class Brokers:
    """Who harms the brokers. Each method carries out a fault and gives the way back.

    Attributes:
        topic: of the readings.
        lost_bytes: that power cuts took.
    """

    cluster: Cluster
    topic: str
    lost_bytes: int = 0
    _struck: list[Node] = field(default_factory=list)

    def heal(self) -> None:
        """Start what is down."""
        for node in self.cluster.nodes:
            if not node.broker.is_running():
                if node.disk is not None:
                    node.disk.free()
                node.broker.start()

    def need_running(self) -> None:
        """Pass if every broker runs."""
        if not all(node.broker.is_running() for node in self.cluster.nodes):
            raise NoVictimError("the broker is down already")

    def kill(self, fault: Fault) -> Undo:
        """SIGKILL."""
        node = self._claim(self._picked(fault))
        node.broker.kill()
        return self._revive

    def restart(self, fault: Fault) -> Undo:
        """End it in good order."""
        node = self._claim(self._picked(fault))
        node.broker.stop()
        return self._revive

    def suspend(self, fault: Fault) -> Undo:
        """SIGSTOP: its connections stay, and nothing is answered."""
        return self._suspend(self._claim(self._picked(fault)))

    def fill_disk(self, fault: Fault) -> Undo:
        """Leave no byte free on the disk of its log."""
        picked = self._picked(fault)
        if picked.disk is None:
            raise NoVictimError("no disk that could be filled")
        disk = picked.disk
        self._claim(picked)
        disk.fill()

        def free() -> None:
            disk.free()
            self._revive()

        return free

    def move_leaders(self, fault: Fault) -> Undo:
        """Have another broker lead each partition, those of the coordinators too."""
        with self._asking():
            wanted = {
                at: one.nodes[(one.nodes.index(one.leader) + 1 + fault.pick % 2) % len(one.nodes)]
                for at, one in replicas(self.cluster.direct).items()
                if one.leader in one.nodes
            }
            move(self.cluster.direct, wanted)
        return nothing

    def kill_coordinator(self, fault: Fault, at: TopicPartition) -> Undo:
        """SIGKILL of who coordinates groups, or transactions, and not the other."""
        with self._asking():
            node = self._node(self._alone(at))
        self._claim(node).broker.kill()
        return self._revive

    def suspend_follower(self, fault: Fault) -> Undo:
        """SIGSTOP of one that follows, until the others go on without it."""
        with self._asking():
            leader = replicas(self.cluster.direct)[TopicPartition(self.topic, 0)].leader
        followers = [node for node in self.cluster.nodes if node.broker.node != leader]
        return self._suspend(self._claim(followers[fault.pick % len(followers)]))

    def suspend_two(self, fault: Fault) -> Undo:
        """SIGSTOP of two: who writes has to wait."""
        first = self._claim(self._picked(fault))
        second = self.cluster.nodes[(fault.pick + 1) % len(self.cluster.nodes)]
        resume = self._suspend(first)
        second.broker.suspend()

        def resume_both() -> None:
            second.broker.resume()
            resume()

        return resume_both

    def part(self, fault: Fault) -> Undo:
        """Pull its cable to the other brokers; clients reach it, and it thinks that it leads."""
        node = self._picked(fault)
        if node.peers is None:
            raise NoVictimError("no cable of its own")
        peers = node.peers
        self._claim(node)
        peers.cut()

        def mend() -> None:
            peers.heal()
            self._struck.clear()

        return mend

    def lose_power(self, fault: Fault) -> Undo:
        """SIGKILL, and the unflushed tails of its files are gone."""
        until_s = time.monotonic() + _IN_SYNC_WITHIN_S
        with self._asking():
            # Else it may be the one of two that has the newest records.
            while not all_in_sync(self.cluster.direct):
                if time.monotonic() > until_s:
                    raise NoVictimError("some copy is behind for long")
                time.sleep(_LOOK_S)
        node = self._claim(self._picked(fault))
        node.broker.kill()
        self.lost_bytes += lose_power(node.log, random.Random(fault.pick))
        return self._revive

    def _picked(self, fault: Fault) -> Node:
        return self.cluster.nodes[fault.pick % len(self.cluster.nodes)]

    def _node(self, number: int) -> Node:
        for node in self.cluster.nodes:
            if node.broker.node == number:
                return node
        raise NoVictimError("nobody leads")

    def _claim(self, node: Node) -> Node:
        if not node.broker.is_running():
            raise NoVictimError("the broker is down already")
        if self._struck and len(self.cluster.nodes) > 1:
            raise NoVictimError("another broker is struck already")
        self._struck.append(node)
        return node

    def _suspend(self, node: Node) -> Undo:
        node.broker.suspend()

        def resume() -> None:
            node.broker.resume()
            self._struck.clear()

        return resume

    def _revive(self) -> None:
        self.heal()
        self._struck.clear()

    def _alone(self, at: TopicPartition) -> int:
        """Who leads a partition of coordinators, when the other kind is led by somebody else."""
        direct, other = self.cluster.direct, TRANSACTIONS if at == GROUPS else GROUPS
        until_s = time.monotonic() + _MOVED_WITHIN_S
        while time.monotonic() < until_s:
            now = replicas(direct)
            if at not in now or other not in now:
                break
            if now[at].leader != now[other].leader:
                return now[at].leader
            others = sorted(now[at].in_sync - {now[other].leader})
            if others:
                move(direct, {at: others[0]})
            time.sleep(_LOOK_S)
        raise NoVictimError("the coordinators cannot be told apart")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            raise NoVictimError(f"the brokers do not say who leads ({error!r})") from error


def nothing() -> None:
    """Nothing to undo."""


KILL_GROUPS: Final = partial(Brokers.kill_coordinator, at=GROUPS)
KILL_TRANSACTIONS: Final = partial(Brokers.kill_coordinator, at=TRANSACTIONS)
