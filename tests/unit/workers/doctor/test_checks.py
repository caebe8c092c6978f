"""`vigie doctor`: what is wrong is found, and every wrong thing has a cure."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.support.broker import produce
from tests.support.models import encoded, reading_records
from tests.support.registry import document, registry_running
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.doctor import checks
from workers.doctor.checks import Finding
from workers.kafka.client import Connection


def make_settings(**sections) -> Settings:
    return Settings.model_validate(sections)


def test_a_missing_package_is_broken_and_a_missing_extra_is_not():
    versions = {"torch": None}
    finding = checks.packages(lambda name: versions.get(name, "1"))
    assert (finding.state, "torch" in finding.found) == ("broken", True)

    finding = checks.packages(lambda name: None if name == "jgo" else "1")
    assert (finding.state, "vigie[broker]" in finding.fix) == ("note", True)


@pytest.mark.parametrize(
    ("limit", "state"),
    [(256, "broken"), (1_024, "note"), (65_536, "fine"), (resource.RLIM_INFINITY, "fine")],
)
def test_few_open_files_are_named_with_the_command_that_raises_them(limit, state):
    finding = checks.open_files(limit)

    assert finding.state == state
    assert ("ulimit" in finding.fix) == (state != "fine")


def test_a_long_temporary_folder_breaks_the_sockets_of_ray(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    finding = checks.disk()

    assert finding.state == "broken"
    assert "TMPDIR" in finding.fix


def test_a_broker_that_is_named_and_that_is_away_is_broken(free_port):
    named = make_settings(kafka={"bootstrap": f"127.0.0.1:{free_port}"})

    finding = checks.kafka(named)

    assert finding.state == "broken"
    assert "vigie broker start" in finding.fix
    assert checks.topics(named).state == "note"


@pytest.mark.kafka
def test_a_broker_that_answers_is_fine_and_its_missing_topics_are_broken(bootstrap):
    settings = make_settings(kafka={"bootstrap": bootstrap}, topics={"readings": "never-made"})

    assert checks.kafka(settings).state == "fine"
    finding = checks.topics(settings)
    assert finding.state == "broken"
    assert "never-made" in finding.found
    assert finding.fix == "vigie topics create"


def test_a_registry_that_answers_is_fine_and_one_that_is_away_or_rejects_us_is_broken():
    with registry_running() as running:
        named = make_settings(registry={"url": running.url})
        assert checks.registry(named).state == "fine"
        running.instead = lambda _path: document({}, 403)
        assert checks.registry(named).state == "broken"
        running.stop()
        assert "registry.url" in checks.registry(named).fix
    assert checks.registry(make_settings()).state == "fine"


def test_a_folder_without_a_model_is_broken(tmp_path):
    finding = checks.model(make_settings(model={"path": tmp_path}))

    assert finding.state == "broken"
    assert checks.model(make_settings()).state == "fine"


def test_an_empty_cache_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("VIGIE_CACHE_DIR", str(tmp_path))

    assert checks.jars().state == "note"


def test_a_check_that_raises_is_a_finding():
    def faint() -> Finding:
        raise ZeroDivisionError("why")

    finding = checks.run(faint)

    assert finding.state == "broken"
    assert "why" in finding.found


def test_doctor_ends_with_1_and_says_it_in_json(tmp_path: Path, capsys, free_port):
    wrong = tmp_path / "vigie.toml"
    wrong.write_text("[kafka]\nbootstap = 'x'\n")
    skipped = [name for name in checks.all_checks(Settings()) if name != "python"]
    skip = [part for name in skipped for part in ("--skip", name)]

    code = cli.main(["doctor", "--config", str(wrong), "--json", *skip])

    result = json.loads(capsys.readouterr().out)
    assert code == ExitCode.FAILURE
    assert [one["name"] for one in result["checks"]] == ["settings", "python"]
    assert "bootstap" in result["checks"][0]["found"]


def test_doctor_of_nothing_wrong_ends_with_0(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    skipped = [name for name in checks.all_checks(Settings()) if name != "python"]
    skip = [part for name in skipped for part in ("--skip", name)]

    assert cli.main(["doctor", *skip]) == ExitCode.OK
    assert "Nothing is broken" in capsys.readouterr().out


def test_an_unknown_check_is_a_usage_error(capsys):
    assert cli.main(["doctor", "--skip", "raay"]) == ExitCode.USAGE
    assert "raay" in capsys.readouterr().err


def test_a_codec_that_is_missing_is_a_note_with_its_package(monkeypatch):
    assert checks.codecs().state == "fine"
    monkeypatch.setitem(sys.modules, "snappy", None)

    finding = checks.codecs()

    assert (finding.state, finding.found) == (
        "note",
        "records compressed with snappy cannot be read",
    )
    assert "pip install python-snappy" in finding.fix


SENSORS = ["pump-1", "pump-2", "pump-3"]


@pytest.fixture
def fill(connection, make_topic):
    """Make a topic with these records (arguments of `send`), and settings that read it."""

    def make(records, *, compression: str | None = None, **configs) -> Settings:
        topic = make_topic(partitions=2, **configs)
        options = {"compression_type": compression}
        produce(Connection(bootstrap=connection.bootstrap, options=options), topic, records)
        return make_settings(kafka={"bootstrap": connection.bootstrap}, topics={"readings": topic})

    return make


@pytest.mark.kafka
def test_a_topic_that_needs_a_missing_codec_is_broken(fill, monkeypatch):
    """Whoever compresses: here it is the broker, as the topic says."""
    records = encoded(reading_records(SENSORS, 50))
    settings = fill(records, **{"compression.type": "lz4"})
    assert checks.records(settings).state == "fine"
    monkeypatch.setitem(sys.modules, "lz4.frame", None)

    finding = checks.records(settings)

    assert finding.state == "broken"
    assert settings.topics.readings in finding.found
    assert "pip install lz4" in finding.found


@pytest.mark.kafka
def test_records_that_are_keyed_by_their_sensor_are_fine(fill):
    finding = checks.records(fill(encoded(reading_records(SENSORS, 50)), compression="zstd"))

    assert finding == Finding("fine", "150 of the first and latest records can be read")


@pytest.mark.kafka
def test_sensors_in_several_partitions_are_broken_and_named(fill):
    records = encoded(reading_records(SENSORS, 300))
    spread = [{**one, "key": None, "partition": n % 2} for n, one in enumerate(records)]

    finding = checks.records(fill(spread))

    assert finding.state == "broken"
    assert "3 sensors come in several partitions (pump-1 in 0, 1; pump-2 in 0, 1" in finding.found
    assert "vigie repartition" in finding.fix


@pytest.mark.kafka
def test_records_without_a_key_are_a_note_if_each_sensor_keeps_its_partition(fill):
    """A partitioner of one's own may look at the value."""
    records = encoded(reading_records(SENSORS, 20))
    placed = [{**one, "key": None, "partition": n % 3 % 2} for n, one in enumerate(records)]

    finding = checks.records(fill(placed))

    assert (finding.state, "60 have no key" in finding.found) == ("note", True)


@pytest.mark.kafka
def test_a_sensor_that_moved_to_another_partition_is_fine(fill):
    records = encoded(reading_records(["pump-1"], 900))
    moved = [{**one, "partition": int(n >= 500)} for n, one in enumerate(records)]

    assert checks.records(fill(moved)).state == "fine"


@pytest.mark.kafka
def test_records_that_would_be_dead_letters_are_a_note(fill):
    bad = [{"key": b"pump-1", "value": b"no reading", "partition": 0}] * 3
    records = [{**one, "partition": 0} for one in encoded(reading_records(["pump-1"], 9))]

    finding = checks.records(fill([*records, *bad]))

    assert finding.state == "note"
    assert "3 would become dead letters (3 at decode)" in finding.found
    assert "not JSON" in finding.found


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("value", "state", "setting"),
    [
        (b'{"fields": {"x": 1}, "name": "m", "tags": {}, "timestamp": 5}', "broken", "telegraf"),
        (b"\x00\x00\x00\x00\x07\x02a", "broken", "registry.url"),
        (b'{"sensor_id": "a", "ts": 5, "values": {"x": "1.5"}}', "note", "input.numbers"),
    ],
)
def test_records_of_which_none_can_be_decoded_are_not_fine(fill, value, state, setting):
    finding = checks.records(fill([{"key": b"a", "value": value, "partition": 0}] * 9))

    assert finding.state == state
    assert "none was decoded" in finding.found
    assert setting in finding.found


@pytest.mark.kafka
def test_an_empty_topic_is_fine_and_a_missing_one_is_seen_by_another_check(fill, bootstrap):
    assert checks.records(fill([])) == Finding("fine", "the topic is empty")
    absent = make_settings(kafka={"bootstrap": bootstrap}, topics={"readings": "never-made"})
    assert checks.records(absent).state == "note"
