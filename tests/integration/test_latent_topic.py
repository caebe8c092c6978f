"""A map of a stretch of the topic of readings, on the embedded broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import MakeTopic, produce
from tests.support.models import SECOND_NS, START_NS, encoded, plant_values, small_detector
from workers.cli import main as cli
from workers.kafka.client import Connection

pytest.importorskip("plotly", reason="needs plotly: uv sync --all-extras")


@pytest.mark.kafka
def test_a_map_of_a_stretch_of_the_topic_holds_that_stretch_only(
    connection: Connection,
    make_topic: MakeTopic,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic, model = make_topic(), save(small_detector(), tmp_path / "model")
    records = [
        (sensor, START_NS + row * SECOND_NS, values)
        for number, sensor in enumerate(("s0", "s1"))
        for row, values in enumerate(plant_values(120, seed=number))
    ]
    produce(connection, topic, encoded(records))

    code = cli.main(
        ["latent", "map", "--model", str(model), "-o", str(tmp_path / "map.html"), "--json",
         "--bootstrap", connection.bootstrap, "--set", f"topics.readings={topic}",
         "--topic-from", "2023-11-14T22:13:50Z", "--topic-to", "2023-11-14T22:14:50Z"]
    )  # fmt: skip

    assert code == 0
    assert json.loads(capsys.readouterr().out)["windows"] == 2 * (60 - 8 + 1)
    assert (tmp_path / "map.html").is_file()
