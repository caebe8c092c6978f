"""`vigie size`: what it prints, and how it refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from schemas.settings import Settings
from tests.support.sizing import round_figures
from workers.cli import main as cli
from workers.cli.exits import ExitCode

CHART = Path(__file__).parents[5] / "deploy" / "helm" / "vigie"


RUNS = ("--sensors", "10000000")
"""More than one `vigie run` carries, by these figures."""


@pytest.fixture
def figures(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(round_figures().model_dump_json())
    return str(path)


def run(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["size", *arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_the_table_names_what_limits_the_answer_and_what_was_assumed(capsys, figures):
    code, out, _ = run(capsys, "--sensors", "100000", "--measured", figures)

    assert code == ExitCode.OK
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("partit"))
    assert int(lines["partitions"]) > 4
    assert "limited by        processor time" in out
    assert "100.0 us of a core: 20.0 reading, 40.0 scoring, 40.0 publishing" in out
    assert "measured 2026-11-30, made up" in out


def test_the_settings_are_toml_that_the_program_takes(capsys, figures):
    _, out, _ = run(capsys, "--sensors", "100000", "--measured", figures, "--toml")

    settings = Settings.model_validate(tomllib.loads(out))

    assert settings.workers.min_ingest >= 17


def test_the_chart_s_values_hold_the_same_settings_and_its_schema_takes_them(capsys, figures):
    arguments = ("--sensors", "100000", "--gpu", "--encoding", "frame", "--measured", figures)
    _, out, _ = run(capsys, *arguments, "--values")
    _, settings, _ = run(capsys, *arguments, "--toml")

    values = yaml.safe_load(out)

    assert values["config"] == tomllib.loads(settings)
    schema = json.loads((CHART / "values.schema.json").read_text())
    config = {**schema["properties"]["config"], "$defs": schema["$defs"]}
    jsonschema.validate(values["config"], config)
    with pytest.raises(jsonschema.ValidationError):  # so it does look
        jsonschema.validate({"topics": {"partition": 3}}, config)


def test_values_say_of_how_many_releases_they_are_one(capsys, figures):
    _, table, _ = run(capsys, *RUNS, "--measured", figures)
    _, out, _ = run(capsys, *RUNS, "--measured", figures, "--values")

    runs = table.partition("runs")[2].split()[0]
    assert int(runs) > 1
    assert out.startswith(f"# Of {runs} releases, each with a config.kafka.instance of its own.\n")
    assert yaml.safe_load(out).keys() == {"config", "ray"}


def test_one_form_of_the_settings_is_printed(capsys):
    code, _, err = run(capsys, "--sensors", "10", "--toml", "--values")

    assert code == ExitCode.USAGE
    assert "one of --toml, --values and --json" in err


def test_json_holds_the_same_answer(capsys, figures):
    arguments = ("--sensors", "100000", "--every", "0.5s", "--measured", figures)
    _, out, _ = run(capsys, *arguments, "--json")
    _, settings, _ = run(capsys, *arguments, "--toml")

    found = json.loads(out)

    assert found["fleet"]["every_s"] == 0.5
    assert found["settings"] == tomllib.loads(settings)
    assert found["partitions"] == found["settings"]["topics"]["partitions"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--sensors"),
        (("--sensors", "0"), "--sensors"),
        (("--sensors", "10", "--every", "often"), "is no time span"),
        (("--sensors", "10", "--every", "0"), "every must be in"),
        (("--sensors", "10", "--busy", "1.5"), "busy must be in"),
        (("--sensors", "10", "--recover", "1s"), "recovery within 1 s is not possible"),
        (("--sensors", "10", "--encoding", "avro"), "--encoding"),
        (("--sensors", "10", "--measured", "nowhere.json"), "nowhere.json cannot be read"),
        (("--sensors", "10", "--from-run", "ftp://x"), "does not begin with http://"),
    ],
)
def test_what_is_wrong_is_named(capsys, arguments, named):
    code, out, err = run(capsys, *arguments)

    assert code == ExitCode.USAGE
    assert named in " ".join(err.replace("│", " ").split())
    assert out == ""


def test_two_sources_of_figures_are_refused(capsys, figures):
    code, _, err = run(
        capsys, "--sensors", "10", "--measured", figures, "--from-run", "http://127.0.0.1:1"
    )

    assert code == ExitCode.USAGE
    assert "not both" in err
