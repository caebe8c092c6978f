"""A topic as a sink: what is delivered is on the broker, in the form of the topic of incidents."""

from __future__ import annotations

import asyncio
import json

import pytest

from schemas.api.sinks import KafkaSink
from schemas.settings import GatewaySettings, KafkaSettings, Settings
from tests.support.broker import read_settled
from tests.support.notifications import incident_event, message_of
from workers.gateway.sinks.outcome import Verdict
from workers.gateway.sinks.sender import Senders

pytestmark = pytest.mark.kafka


def test_what_is_delivered_is_on_the_broker_by_its_sensor(bootstrap, connection, make_topic):
    topic = make_topic(partitions=3)
    settings = Settings(
        kafka=KafkaSettings(bootstrap=bootstrap), gateway=GatewaySettings(deliver_timeout_s=3)
    )
    events = [incident_event(id_=str(n), sensor=f"pump-{n % 2}") for n in range(4)]

    async def run():
        async with Senders.open(settings) as senders:
            sink = KafkaSink(topic=topic)
            outcomes = [await senders.send(sink, (), message_of(one)) for one in events[:2]]
            outcomes.append(await senders.send(sink, (), message_of(*events[2:], group={})))
            there = len(await asyncio.to_thread(read_settled, connection, topic))
            # A topic that is not there holds up no other.
            missing = asyncio.create_task(
                senders.send(KafkaSink(topic=f"{topic}-missing"), (), message_of())
            )
            again = await senders.send(sink, (), message_of())
            assert not missing.done()
            return outcomes, there, await missing, again

    outcomes, there, missing, again = asyncio.run(run())
    assert all(outcome.is_delivered for outcome in outcomes), outcomes
    assert there == 4
    assert missing.verdict is Verdict.RETRY
    assert again.is_delivered
    records = read_settled(connection, topic)
    assert len(records) == 5
    by_id = {json.loads(record.value)["id"]: record for record in records}
    for event in events:
        record = by_id[event["id"]]
        assert json.loads(record.value) == event
        assert record.key == event["subject"].encode()
        assert list(record.headers) == [("content-type", b"application/cloudevents+json")]
    places = {(record.key, record.partition) for record in records}
    assert len(places) == len({record.key for record in records})
