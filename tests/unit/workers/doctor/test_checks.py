"""`vigie doctor`: what is wrong is found, and every wrong thing has a cure."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.support.registry import document, registry_running
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.doctor import checks
from workers.doctor.checks import Finding


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
