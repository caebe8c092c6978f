"""`vigie simulate` and `vigie replay` on a real broker: what is in the topic is what was meant."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schemas.codec import Decoder
from tests.support.broker import read_all
from workers.cli import main as cli
from workers.data.files import read_files
from workers.plant.physics import CHANNEL_NAMES

pytestmark = pytest.mark.kafka


def sensors_in(connection, topic):
    """{sensor: (ts_ns, values)} of everything in the topic, decoded by the headers."""
    records = read_all(connection, topic)
    decoded = Decoder(CHANNEL_NAMES).decode(
        [record.value for record in records],
        [dict(record.headers)["content-type"] for record in records],
    )
    assert not decoded.failures
    assert [record.key.decode() for record in records] == list(decoded.readings.sensors)
    names = np.repeat(decoded.readings.sensors, decoded.readings.counts)
    return {
        name: (decoded.readings.ts_ns[names == name], decoded.readings.values[names == name])
        for name in sorted(set(names.tolist()))
    }


@pytest.mark.parametrize("packing", ["readings", "frames", "arrow"])
def test_a_replayed_file_is_in_the_topic(tmp_path, connection, make_topic, capsys, packing):
    path, topic = tmp_path / "plant.csv", make_topic(partitions=3)
    simulated = ["simulate", "-o", str(path), "--machines", "4", "--rows", "150"]
    assert cli.main(simulated) == 0
    capsys.readouterr()

    flags = ["--topic", topic, "--bootstrap", connection.bootstrap, "--frame-rows", "40", "--json"]
    assert cli.main(["replay", str(path), "--as", packing, *flags]) == 0

    assert json.loads(capsys.readouterr().out)["readings"] == 600
    found = sensors_in(connection, topic)
    expected = read_files([path]).sensors
    assert list(found) == [sensor.sensor for sensor in expected]
    for sensor in expected:
        ts_ns, values = found[sensor.sensor]
        assert np.array_equal(ts_ns, sensor.ts_ns)
        assert np.array_equal(values, sensor.values, equal_nan=True)


def test_a_replay_says_what_the_stream_will_reject(tmp_path, connection, make_topic, capsys):
    path, topic = tmp_path / "two.csv", make_topic()
    path.write_text("ts,flow\n2255-01-01T00:00:00Z,1\n2026-01-01T00:00:00Z,2\n")
    command = ["replay", str(path), "--topic", topic, "--bootstrap", connection.bootstrap]
    names = ["--set", "stream.channels.speed=flow"]

    assert cli.main([*command, *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["records"], told["rejected"]) == (2, {"clock": 1})

    assert cli.main(command) == 0
    assert "will reject 1 of these records at clock" in capsys.readouterr().out
    assert len(read_all(connection, topic)) == 4  # said, not held back


def test_simulated_readings_are_in_the_topic(connection, make_topic, capsys):
    topic = make_topic(partitions=2)
    where = ["--topic", topic, "--bootstrap", connection.bootstrap]

    arguments = ["simulate", "--machines", "5", "--rows", "40", "--per-second", "2000", "--json"]
    assert cli.main([*arguments, *where, "--start", "2026-02-01T00:00:00Z"]) == 0

    said = json.loads(capsys.readouterr().out)
    found = sensors_in(connection, topic)
    assert said["readings"] == 200
    assert said["took_s"] >= 0.09
    assert [len(ts_ns) for ts_ns, _ in found.values()] == [40] * 5
    assert {int(ts_ns[0]) for ts_ns, _ in found.values()} == {1_769_904_000_000_000_000}


def test_a_topic_that_is_not_there_is_named(tmp_path, connection, capsys):
    where = ["--topic", "vigie.nowhere", "--bootstrap", connection.bootstrap]

    assert cli.main(["simulate", "--machines", "1", "--rows", "1", *where]) == 2
    assert "vigie.nowhere" in capsys.readouterr().err
