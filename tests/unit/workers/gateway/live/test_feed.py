"""Records of the topics become what the page shows, as the stream reads them."""

from __future__ import annotations

import numpy as np

from schemas.codec.content_type import DENOISED_ARROW, DENOISED_JSON, FRAME_JSON, READING_JSON
from schemas.codec.encoding import DenoisedEncoder, FrameEncoder, ReadingEncoder
from schemas.settings import Settings
from tests.support.page import rows_of
from workers.gateway.live import LiveFeed
from workers.gateway.live.feed import Taker
from workers.kafka.client import Record

NS = 10**9
START_S = 1_800_000_000
TIMES = (START_S + np.arange(5)) * NS
VALUES = np.arange(10.0).reshape(5, 2)


def record(topic, value, content_type, *, stamp_s=START_S):
    headers = [("content-type", content_type.encode())]
    return Record(topic, 0, 0, stamp_s * 1000, b"pump", value, headers)


def denoised(content_type=DENOISED_JSON, latent=None):
    encoder = DenoisedEncoder(("flow", "level"), content_type)
    value = encoder.encode(
        "pump",
        TIMES,
        VALUES + 0.5,
        np.full(5, 0.25),
        np.arange(5),
        np.zeros(5, np.int64),
        latent=latent,
        model="m@1",
        source=("vigie.readings", 0),
    )
    return record("vigie.denoised", value, content_type)


def settings():
    return Settings.model_validate({"stream": {"channels": {"level": "tank.level"}}})


def test_readings_of_all_formats_meet_their_cleaned_ones():
    live = LiveFeed(max_sensors=5)
    taker = Taker(settings(), live)
    names = ("flow", "tank.level")
    plain = ReadingEncoder(names).encode("pump", int(TIMES[0]), VALUES[0].tolist())
    frame = FrameEncoder(names).encode("pump", TIMES[1:], VALUES[1:])

    taker.take(
        [
            denoised(),
            record("vigie.readings", plain, READING_JSON),
            record("vigie.readings", frame, FRAME_JSON),
        ]
    )

    rows = rows_of(live, "pump")
    assert rows["measured"]["ts"] == rows["cleaned"]["ts"] == (TIMES // 10**6).tolist()
    assert rows["measured"]["values"] == VALUES.T.tolist()
    assert rows["cleaned"]["values"] == (VALUES + 0.5).T.tolist()


def test_readings_that_come_before_the_channels_are_known_wait_for_them():
    live = LiveFeed(max_sensors=5)
    taker = Taker(settings(), live)
    plain = ReadingEncoder(("flow", "tank.level")).encode("pump", int(TIMES[0]), [1.0, 2.0])

    taker.take([record("vigie.readings", plain, READING_JSON)])
    assert live.rows("pump") is None
    taker.take([denoised()])

    assert rows_of(live, "pump")["measured"]["values"] == [[1.0], [2.0]]


def test_arrow_frames_are_read_as_well():
    live = LiveFeed(max_sensors=5)
    Taker(settings(), live).take([denoised(DENOISED_ARROW)])

    assert rows_of(live, "pump")["cleaned"]["score"] == [0.25] * 5


def test_what_cannot_be_read_or_has_a_wrong_clock_is_left_out():
    live = LiveFeed(max_sensors=5)
    late = ReadingEncoder(("flow", "tank.level")).encode("pump", int(TIMES[0]), [1.0, 2.0])
    years = START_S - 400 * 86_400

    Taker(settings(), live).take(
        [
            denoised(),
            record("vigie.denoised", b"{}", DENOISED_JSON),
            record("vigie.denoised", b"", "text/plain"),
            record("vigie.readings", b"no reading", READING_JSON),
            record("vigie.readings", late, READING_JSON, stamp_s=years),
            record("vigie.anomalies", b"no anomaly", READING_JSON),
        ]
    )

    assert rows_of(live, "pump")["measured"]["ts"] == []
    assert len(rows_of(live, "pump")["cleaned"]["ts"]) == 5


def test_frames_of_all_formats_say_where_the_sensor_is_on_the_map():
    for content_type in (DENOISED_JSON, DENOISED_ARROW):
        live = LiveFeed(max_sensors=5)
        Taker(settings(), live).take([denoised(content_type, latent=[1.25, -3.0])])

        trail = live.trail("pump")
        assert trail is not None
        assert (trail["ts"], trail["way"]) == ([int(TIMES[-1]) // 10**6], [[1.25, -3.0]])
