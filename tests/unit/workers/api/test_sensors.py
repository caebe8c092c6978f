"""What is recorded of the sensors, as it is looked at."""

from __future__ import annotations

import io
from collections.abc import Mapping

from schemas.wire.sensor_state import encode_sensor_state
from workers.api.sensors import RecordedSensor, recorded_sensors
from workers.cli.views.plain import PlainConsole
from workers.cli.views.sensors import MOST_SHOWN, show_sensors


class Recorded:
    def __init__(self, *partitions: Mapping[bytes, bytes]) -> None:
        self.partitions = partitions

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        return self.partitions[partition]


def sensor(name: str) -> RecordedSensor:
    return RecordedSensor(
        sensor=name, partition=0, scored=1000, flagged=1, flagged_share=0.001, dropped=0, since=0,
        next_offset=1001,
    )  # fmt: skip


def shown(sensors: list[RecordedSensor], unknown: int = 0) -> str:
    text = io.StringIO()
    show_sensors(sensors, unknown=unknown, console=PlainConsole(file=text, width=120))
    return text.getvalue()


def test_the_most_flagged_sensor_comes_first_whatever_its_partition():
    table = Recorded(
        {b"a": encode_sensor_state(10, 0, 10, 0, 0), b"b": encode_sensor_state(20, 5, 8, 2, 1)},
        {b"c": encode_sensor_state(30, 2, 4, 2, 0), b"d": encode_sensor_state(3, 2, 0, 0, 0)},
    )
    found, unknown = recorded_sensors(table, range(2))
    assert [(at.sensor, at.partition) for at in found] == [("c", 1), ("b", 0), ("a", 0), ("d", 1)]
    assert (found[0].flagged_share, found[-1].flagged_share) == (0.5, 0.0)
    assert unknown == 0


def test_documents_of_another_version_are_counted_and_left_out():
    found, unknown = recorded_sensors(Recorded({b"a": b'{"v":9}', b"\xff": b"{}"}), range(1))
    assert (found, unknown) == ([], 2)
    assert "2 documents are of a version" in shown(found, unknown)


def test_a_terminal_is_not_flooded():
    text = shown([sensor(f"s{n:04}") for n in range(MOST_SHOWN + 7)])
    assert text.count("0.10%") == MOST_SHOWN
    assert "and 7 more" in text


def test_sensors_that_never_filled_a_window_are_named():
    found, _ = recorded_sensors(
        Recorded(
            {
                b"fast": encode_sensor_state(10, 0, 10, 0, 0),
                b"slow": encode_sensor_state(9, 0, 0, 0, 0),
            }
        ),
        range(1),
    )
    assert "Never scored so far: slow. They are new" in shown(found)
    assert "Never scored" not in shown([sensor("fast")])


def test_without_a_document_it_says_so():
    assert "Nothing is recorded yet" in shown([])
