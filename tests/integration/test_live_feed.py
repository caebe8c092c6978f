"""The page's readings from a real broker: followed without a group, and never far behind."""

from __future__ import annotations

import time

import numpy as np
import pytest

from schemas.codec.content_type import DENOISED_JSON, READING_JSON
from schemas.codec.encoding import DenoisedEncoder, ReadingEncoder
from schemas.settings import Settings
from tests.support.broker import produce
from tests.support.page import rows_of
from tests.support.wait import wait_until
from workers.gateway.live import LiveFeed
from workers.gateway.live.feed import following
from workers.kafka.admin import TopicSpec
from workers.kafka.factory import admin_of

pytestmark = pytest.mark.kafka

SECOND_NS = 10**9
CHANNELS = ("flow", "level")


def records(start_ns, number):
    """Readings, and the same cleaned, of one sensor."""
    times = start_ns + np.arange(number) * SECOND_NS
    values, zeros = np.ones((number, 2)), np.zeros(number, np.int64)
    plain = ReadingEncoder(CHANNELS)
    cleaned = DenoisedEncoder(CHANNELS)
    readings = [plain.encode("pump", int(ts), [1.0, 2.0]) for ts in times]
    frames = [
        cleaned.encode(
            "pump",
            times[i : i + 1],
            values[i : i + 1],
            np.array([0.25]),
            zeros[i : i + 1],
            zeros[i : i + 1],
            model="m@1",
            source=("r", 0),
        )
        for i in range(number)
    ]
    return readings, frames


def send(connection, topic, values, content_type):
    produce(
        connection,
        topic,
        [
            {"key": b"pump", "value": value, "headers": [("content-type", content_type.encode())]}
            for value in values
        ],
    )


def test_what_is_in_the_topics_is_on_the_page_and_what_is_too_much_is_left_out(
    connection, make_topic
):
    names = {kind: make_topic() for kind in ("readings", "denoised")}
    missing = f"{names['readings']}-anomalies"
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap": connection.bootstrap},
            "topics": {**names, "anomalies": missing},
        }
    )
    readings, frames = records(time.time_ns() - 60 * SECOND_NS, 30)
    send(connection, names["denoised"], frames, DENOISED_JSON)
    send(connection, names["readings"], readings, READING_JSON)
    live = LiveFeed(max_sensors=5)

    with following(settings, live, most_behind=20):
        wait_until(lambda: missing in live.following.said, within=20, what="the missing topic")
        admin_of(connection).create_topics([TopicSpec(name=missing, partitions=1, configs={})])
        wait_until(lambda: live.rows("pump"), within=30, what="rows")
        found = wait_until(
            lambda: (rows := rows_of(live, "pump"))["next"][0] == 20 and rows,
            within=10,
            what="the last 20",
        )
        assert live.following.is_following
        assert len(found["cleaned"]["ts"]) == 20

        more, cleaned = records(time.time_ns(), 5)
        send(connection, names["denoised"], cleaned, DENOISED_JSON)
        send(connection, names["readings"], more, READING_JSON)
        wait_until(
            lambda: rows_of(live, "pump")["next"][:2] == [25, 25], within=10, what="new ones"
        )
