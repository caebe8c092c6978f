"""The part of the contract about topics and groups, looked at and changed from outside."""

from __future__ import annotations

import gc
import uuid

import pytest

from tests.contract.kafka_contract import LEAKS_SOCKETS, KafkaContract, numbered, soon
from tests.support.broker import produce
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.errors import BrokerUnavailableError, SettingsError, StoppedError, TopicError
from workers.kafka.admin import Finding, TopicSpec, TopicState, require_topics
from workers.kafka.client import CommittedOffset, Connection

pytestmark = pytest.mark.kafka


class AdminContract(KafkaContract):
    """The tests; see the module."""

    def test_topics_are_created_once_and_stay_as_they_are(self, connection, make_topic):
        admin, there = self.client.admin(connection), make_topic(partitions=2)
        new = f"test-{uuid.uuid4().hex[:12]}"
        specs = [TopicSpec(name=there), TopicSpec(name=new, partitions=3)]

        assert [f.state for f in admin.check_topics(specs)] == ["present", "missing"]
        assert admin.create_topics(specs) == [
            Finding(name=there, state=TopicState.PRESENT, partitions=2),
            Finding(name=new, state=TopicState.CREATED, partitions=3),
        ]
        assert [f.state for f in admin.create_topics(specs)] == ["present", "present"]

    def test_what_is_required_and_not_there_is_named_with_advice(self, connection, make_topic):
        admin, small = self.client.admin(connection), make_topic()
        require_topics(admin, [TopicSpec(name=small)])

        with pytest.raises(TopicError, match=f"{small} has 1 partitions, 4 are wanted") as caught:
            require_topics(admin, [TopicSpec(name=small, partitions=4), TopicSpec(name="absent")])
        assert "absent does not exist: create it with vigie topics create" in str(caught.value)

    def test_a_topic_that_the_broker_rejects_is_a_fault_of_the_settings(self, connection):
        admin, name = self.client.admin(connection), f"test-{uuid.uuid4().hex[:12]}"
        with pytest.raises(SettingsError, match=r"topics\.replication_factor"):
            admin.create_topics([TopicSpec(name=name, replication_factor=3)])
        with pytest.raises(SettingsError, match="Unknown topic config name: no"):
            admin.create_topics([TopicSpec(name=name, configs={"no": "such"})])

    def test_bounds_are_those_of_each_partition(self, connection, make_topic):
        topic = make_topic(partitions=2)
        produce(connection, topic, numbered(3, partition=1))

        admin = self.client.admin(connection)
        assert admin.topic_bounds({topic: 2}) == {(topic, 0): (0, 0), (topic, 1): (0, 3)}
        assert admin.topic_bounds({}) == {}
        with pytest.raises(TopicError):
            admin.topic_bounds({f"{topic}-absent": 1})

    def test_a_group_shows_its_members_and_positions(
        self, connection, make_topic, open_source, group
    ):
        topic, admin = make_topic(partitions=2), self.client.admin(connection)
        assert admin.describe_group(group, topic).state == "Unknown"

        source = open_source(topic)
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held == {0, 1}, within=15)
        wanted = CommittedOffset(next_offset=7, metadata="m")
        source.commit({1: wanted}, member.generation, deadline=soon())

        found = admin.describe_group(group, topic)
        assert (found.state, found.committed) == ("Stable", {1: wanted})
        assert [one.partitions for one in found.members] == [(0, 1)]
        assert admin.describe_group(group, make_topic()).committed == {}

    @LEAKS_SOCKETS
    def test_an_absent_broker_is_no_answer_and_is_not_waited_for_longer_than_asked(
        self, connection, free_port
    ):
        absent = Connection(bootstrap=f"localhost:{free_port}", wait_timeout_s=0, call_timeout_s=1)
        admin = self.client.admin(absent)

        assert self.client.admin(connection).answers(timeout_s=5)
        assert not admin.answers(timeout_s=1)
        with pytest.raises(BrokerUnavailableError, match="tried for"):
            admin.wait_for_broker()
        with pytest.raises(BrokerUnavailableError):
            admin.check_topics([TopicSpec(name="t")])
        gc.collect()  # the sockets that were refused, under this test's filter
        patient = Connection(bootstrap=absent.bootstrap)
        with pytest.raises(StoppedError):
            self.client.admin(patient).wait_for_broker(should_stop=lambda: True)
