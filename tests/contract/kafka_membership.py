"""The part of the contract about groups: who comes, goes, comes back, and what the rest notices."""

from __future__ import annotations

import functools
import itertools
import random
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from tests.contract.kafka_contract import KafkaContract, numbered, soon
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import FencedError, StaleGenerationError
from workers.kafka.client import CommittedOffset, Connection, OpensSource
from workers.kafka.kafka_python.options import admin_options

pytestmark = pytest.mark.kafka

SESSION_S = 10.0  # what `Connection` sets; a member that comes back must not need it


def brisk(connection: Connection) -> Connection:
    """The same broker, and members that hear of a rebalance soon."""
    options = {"heartbeat_interval_ms": 200, "metadata_max_age_ms": 500}
    return Connection(bootstrap=connection.bootstrap, wait_timeout_s=10, options=options)


class Group:
    """Members that are stepped in turn; each is closed at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.members: dict[str, Member] = {}
        self._opened: dict[str, ExitStack] = {}
        self.seen: dict[int, set[bytes | None]] = {}

    def join(self, name: str, config: OpensSource) -> Member:
        opened = self._stack.enter_context(ExitStack())
        self.members[name] = Member(opened.enter_context(config.open())).starting()
        self._opened[name] = opened
        return self.members[name]

    def leave(self, name: str) -> None:
        del self.members[name]
        self._opened.pop(name).close()

    def step(self) -> bool:
        """Poll each member once."""
        for member in self.members.values():
            for partition, records in member.step(timeout_s=0.05).records.items():
                self.seen.setdefault(partition, set()).update(record.value for record in records)
        return True

    def have_seen(self, value: bytes, partitions: int) -> bool:
        """Poll each once; true if every partition has given this value."""
        self.step()
        return all(value in self.seen.get(partition, ()) for partition in range(partitions))

    def share(self, partitions: int) -> bool:
        """Poll each once; true if each partition has one owner, and the numbers are even."""
        self.step()
        held = [len(member.held) for member in self.members.values()]
        owned = set().union(*(member.held for member in self.members.values()))
        return sum(held) == partitions == len(owned) and max(held) - min(held) <= 1


class MembershipContract(KafkaContract):
    """The tests; see the module."""

    @pytest.fixture
    def members(self) -> Any:
        with ExitStack() as stack:
            yield Group(stack)

    def test_a_named_member_that_comes_back_has_its_partitions_at_once(
        self, connection, make_topic, group, members
    ):
        """And the others notice nothing."""
        topic = make_topic(partitions=4)
        one = members.join("one", self.named(connection, topic, group, "one"))
        members.join("two", self.named(connection, topic, group, "two"))
        wait_until(
            lambda: members.share(4) and self.is_settled(connection, group, topic), within=30
        )
        for _ in range(5):
            members.step()  # and nobody has anything left to join for
        mine, generation = set(members.members["two"].held), one.generation
        members.leave("two")  # closed: it does not say good-bye

        began = time.monotonic()
        two = members.join("two", self.named(connection, topic, group, "two"))
        wait_until(lambda: two.step(timeout_s=0.05) and two.held, within=SESSION_S / 2)

        assert two.held == mine
        assert time.monotonic() - began < SESSION_S / 2
        for _ in range(20):
            polled = one.step(timeout_s=0.1)
            assert not polled.assigned
            assert not polled.revoked
        assert one.generation == generation
        one.source.check_held(one.held, generation)

    def test_a_second_member_under_the_same_name_fences_the_first(
        self, connection, make_topic, group, members
    ):
        topic = make_topic()
        first = members.join("first", self.named(brisk(connection), topic, group, "name"))
        wait_until(lambda: first.step() and first.held == {0}, within=15)

        second = members.join("second", self.named(brisk(connection), topic, group, "name"))
        wait_until(lambda: second.step() and second.held == {0}, within=15)

        def is_fenced() -> bool:
            try:
                first.step(timeout_s=0.05)
            except FencedError as error:
                return "under our identity" in str(error)
            return False

        wait_until(is_fenced, within=5)
        with pytest.raises(FencedError):
            first.step()
        second.step()
        second.source.commit(
            {0: CommittedOffset(next_offset=1)}, second.generation, deadline=soon()
        )

    def test_members_that_are_removed_leave_their_partitions_to_the_others_at_once(
        self, connection, make_topic, group, members
    ):
        topic = make_topic(partitions=4)
        self.client.admin(connection).remove_members(group, ["nobody"])  # nor is there a group
        one = members.join("one", self.named(brisk(connection), topic, group, "one"))
        for name in ("two", "three"):
            members.join(name, self.named(brisk(connection), topic, group, name))
        wait_until(lambda: members.share(4), within=30)
        for name in ("two", "three"):
            members.leave(name)

        began = time.monotonic()
        self.client.admin(connection).remove_members(group, ["two", "nobody", "three"])
        wait_until(lambda: one.step() and one.held == {0, 1, 2, 3}, within=SESSION_S / 2)

        assert time.monotonic() - began < SESSION_S / 2
        assert len(self.client.admin(connection).describe_group(group, topic).members) == 1

    def test_what_is_kept_is_read_on_while_others_come_and_are_slow(
        self, connection, make_topic, group, members
    ):
        """A newcomer waits for the slowest member to join; the rest does not."""
        topic = make_topic(partitions=3)
        busy = members.join("busy", self.named(brisk(connection), topic, group, "busy"))
        slow = members.join("slow", self.named(brisk(connection), topic, group, "slow"))
        wait_until(lambda: members.share(3), within=30)
        kept = min(busy.held)

        newcomer = members.join("new", self.named(brisk(connection), topic, group, "new"))
        numbers = itertools.count()

        def has_read_on(times: int) -> bool:
            newcomer.step(timeout_s=0.02)
            number = next(numbers)
            produce(connection, topic, numbered(1, partition=kept, start=number))
            wait_until(
                lambda: busy.step(timeout_s=0.05) and b"%d" % number in busy.values(kept), within=5
            )
            return number >= times and not self.is_settled(connection, group, topic)

        wait_until(lambda: has_read_on(10), within=30)
        assert not newcomer.held
        assert [int(value) for value in busy.values(kept)] == list(range(next(numbers)))

        wait_until(lambda: members.share(3), within=30)
        assert len(newcomer.held) == len(slow.held) == 1

    def test_who_is_thrown_out_while_joining_loses_everything_and_gets_it_anew(
        self, connection, make_topic, group, members
    ):
        """Somebody else may have had it in between: it may not go on where it stood."""
        topic = make_topic(partitions=2)
        joins = members.join("joins", self.named(brisk(connection), topic, group, "joins"))
        members.join("slow", self.named(brisk(connection), topic, group, "slow"))
        wait_until(lambda: members.share(2), within=30)
        mine, old = set(joins.held), joins.generation
        client: Any = joins.source
        coordinator = client._consumer._coordinator
        members.join("new", self.named(brisk(connection), topic, group, "new"))
        wait_until(
            lambda: (
                members.members["new"].step(timeout_s=0.02)
                and joins.step(timeout_s=0.02)
                and coordinator.rejoining is True
            ),
            within=15,
        )

        self.client.admin(connection).remove_members(group, ["joins"])

        def told() -> bool:
            polled = joins.step(timeout_s=0.05)
            return bool(mine <= polled.revoked)

        wait_until(told, within=15)
        with pytest.raises(StaleGenerationError):
            joins.source.check_held(mine, old)
        wait_until(
            lambda: members.step() and sum(len(m.held) for m in members.members.values()) == 2,
            within=30,
        )

    def test_a_partition_whose_owner_dies_between_two_rounds_finds_another(
        self, connection, make_topic, group, members
    ):
        """The first round takes it away; the second, which gives it away, needs its owner."""
        topic = make_topic(partitions=3)
        dies = members.join("dies", self.named(brisk(connection), topic, group, "dies"))
        wait_until(lambda: dies.step() and len(dies.held) == 3, within=15)
        coordinator = dies.source._consumer._coordinator
        has_heard = threading.Event()

        async def dead(*_: Any) -> None:
            """The round is over for the broker; its owner never acts on it."""
            has_heard.set()
            raise RuntimeError("killed")

        coordinator._on_join_complete_async = dead
        other = members.join("other", self.named(brisk(connection), topic, group, "other"))

        def was_killed() -> bool:
            other.step(timeout_s=0.05)
            with suppress(RuntimeError):
                dies.step(timeout_s=0.05)
            return has_heard.is_set()

        wait_until(was_killed, within=15)
        coordinator.request_rejoin = lambda *_: None
        members.leave("dies")
        members.join("successor", self.named(brisk(connection), topic, group, "dies"))
        wait_until(lambda: members.share(3), within=30)

    def test_nothing_is_kept_for_who_was_thrown_out(self, connection, make_topic, group, members):
        """It has nothing to give up when it comes back, so nobody may wait for that."""
        topic = make_topic(partitions=3)
        out = members.join("a", self.named(brisk(connection), topic, group, "a"))
        members.join("b", self.named(brisk(connection), topic, group, "b"))
        wait_until(
            lambda: members.share(3) and self.is_settled(connection, group, topic), within=30
        )
        assert len(out.held) == 2
        self.client.admin(connection).remove_members(group, ["a"])
        newcomer = members.join("c", self.named(brisk(connection), topic, group, "c"))

        def both_have_come() -> bool:
            """While the third keeps them waiting."""
            out.step(timeout_s=0.05)
            newcomer.step(timeout_s=0.05)
            return len(self.client.admin(connection).describe_group(group, topic).members) == 3

        wait_until(both_have_come, within=15)
        wait_until(lambda: members.share(3), within=30)

    def test_partitions_that_are_added_are_read_even_if_the_leader_came_back(
        self, connection, make_topic, group, members
    ):
        topic = make_topic(partitions=1)
        config = self.named(brisk(connection), topic, group, "leader")
        members.join("leader", config)
        wait_until(lambda: members.share(1), within=15)
        members.leave("leader")
        member = members.join("leader", config)
        wait_until(lambda: members.share(1), within=15)

        admin = KafkaAdminClient(**admin_options(connection))
        try:
            admin.create_partitions({topic: NewPartitions(total_count=3)})
        finally:
            admin.close()

        wait_until(lambda: member.step() and member.held == {0, 1, 2}, within=15)

    def test_each_partition_goes_on_through_twenty_joins_and_leaves(
        self, connection, make_topic, group, members
    ):
        """Members with and without a name come, go, come back and are removed, one at a time or
        several at once; after each change every partition gives what is new."""
        count = 6
        quick, topic = brisk(connection), make_topic(partitions=count)
        names = (f"m-{number}" for number in itertools.count())
        chance = random.Random(20)
        present: dict[str, bool] = {}  # name -> whether it is a name in the group as well

        def config(name: str) -> OpensSource:
            if present[name]:
                return self.named(quick, topic, group, name)
            return self.source_config(quick, topic, group)

        def change() -> str:
            kinds = ["join", "join named"] if len(present) < 4 else []
            kinds += ["leave"] if len(present) > 1 else []
            kinds += ["come back"] if any(present.values()) else []
            kind = chance.choice(kinds)
            if kind.startswith("join"):
                name = next(names)
                present[name] = kind == "join named"
                members.join(name, config(name))
            elif kind == "leave":
                name = chance.choice(sorted(present))
                members.leave(name)
                if present.pop(name):
                    self.client.admin(connection).remove_members(group, [name])
            else:
                name = chance.choice([name for name, is_named in present.items() if is_named])
                members.leave(name)
                members.join(name, config(name))
            return kind

        changes = []
        for mark in range(12):
            changes.append(change())
            if mark % 3 == 2:  # before the group has settled
                for _ in range(2):
                    members.step()
                    changes.append(change())
            wanted = b"%d" % mark
            produce(
                connection,
                topic,
                [{"value": wanted, "key": b"k", "partition": p} for p in range(count)],
            )
            wait_until(
                functools.partial(members.have_seen, wanted, count),
                within=30,
                what=f"progress of every partition after {changes}",
            )
        assert len(changes) == 20
        assert {"join", "join named", "leave", "come back"} == set(changes)
        wait_until(lambda: members.share(count), within=30)

    def is_settled(self, connection: Connection, group: str, topic: str) -> bool:
        return self.client.admin(connection).describe_group(group, topic).state == "Stable"
