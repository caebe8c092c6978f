"""`vigie simulate` to files, and the options that say which column is what."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer

from workers.cli import main as cli
from workers.cli.options import FileOptions, unbundled
from workers.data.files import read_files


@pytest.mark.parametrize("name", ["plant.csv", "plant.parquet"])
def test_simulate_writes_labelled_readings(tmp_path, capsys, name):
    path, truth = tmp_path / name, tmp_path / "faults.json"
    arguments = ["simulate", "-o", str(path), "--machines", "3", "--rows", "3600", "--seed", "4"]

    assert cli.main([*arguments, "--faults-file", str(truth), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    sensors = read_files([path]).sensors
    assert [sensor.sensor for sensor in sensors] == ["pump-001", "pump-002", "pump-003"]
    assert said["readings"] == sum(len(sensor.ts_ns) for sensor in sensors) == 10_800
    labels = {sensor.sensor: sensor.labels for sensor in sensors if sensor.labels is not None}
    assert said["anomalous"] == sum(int(one.sum()) for one in labels.values()) > 0
    for fault in json.loads(truth.read_text()):
        sensor = next(one for one in sensors if one.sensor == fault["sensor_id"])
        inside = (sensor.ts_ns >= fault["start_ms"] * 10**6) & (
            sensor.ts_ns <= fault["end_ms"] * 10**6
        )
        assert inside.any()
        assert labels[sensor.sensor][inside].all()


def test_one_seed_writes_one_file(tmp_path):
    for name in ("one.csv", "two.csv"):
        path = str(tmp_path / name)
        assert cli.main(["simulate", "-o", path, "--machines", "1", "--rows", "50"]) == 0

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_a_file_goes_on_where_another_ended(tmp_path):
    whole, rest = tmp_path / "whole.csv", tmp_path / "rest.csv"
    fixed = ["--machines", "1", "--faults", "0"]
    assert cli.main(["simulate", "-o", str(whole), "--rows", "300", *fixed]) == 0
    assert (
        cli.main(["simulate", "-o", str(rest), "--rows", "100", "--first-row", "200", *fixed]) == 0
    )

    ((all_rows,), (last_rows,)) = (read_files([path]).sensors for path in (whole, rest))
    assert np.array_equal(all_rows.values[200:], last_rows.values)
    assert np.array_equal(all_rows.ts_ns[200:], last_rows.ts_ns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "--forever", "-o", "x.csv"], "a file needs an end"),
        (["simulate", "-o", "x.csv", "--machines", "1", "--faults", "99"], "do not fit"),
        (["simulate", "-o", "x.csv", "--start", "soon"], "--start"),
        (["replay", "x.csv", "--epoch", "hours"], "--epoch"),
        (["replay", "x.csv", "--channel", "=P1"], "NAME=COLUMN"),
        (["replay", "x.csv", "--sensor", "a", "--sensor-id", "b"], "contradict each other"),
        (["replay", "x.csv", "--timezone", "Bonn"], "no time zone 'Bonn'"),
        (["replay", "x.csv", "--resample", "often"], "not an interval"),
        (["replay", "x.csv", "--max-left-out", "2"], "--max-left-out"),
        (["replay", "x.csv", "--thousands", "."], "thousands mark"),
    ],
)
def test_wrong_options_are_usage_errors(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file_is_named_before_any_broker_is_asked(tmp_path, capsys):
    assert cli.main(["replay", str(tmp_path / "gone.csv")]) == 1
    assert "gone.csv: no such file" in capsys.readouterr().err


def test_column_options_become_a_layout():
    layout = FileOptions(
        channel=["pressure=P1", "flow"], delimiter=r"\t", epoch="ms", ignore=["x"], time=["when"],
        missing=["Bad", "-9999"], units_row=False, long="tag=value",
    ).layout()  # fmt: skip

    assert layout.channels == {"pressure": "P1", "flow": "flow"}
    assert (layout.delimiter, layout.epoch, layout.units_row) == ("\t", "ms", False)
    assert (layout.ignore, layout.time, layout.missing) == (("x",), ("when",), ("Bad", "-9999"))
    assert layout.long == ("tag", "value")


def test_options_win_over_the_file_of_the_layout(tmp_path):
    path = tmp_path / "layout.toml"
    path.write_text('time = "at"\nsensor = "machine"\nmissing = [-9999]\n')

    layout = FileOptions(
        layout_file=path, time=["when"], sensor_id="p", label=["s=A", "s=B"]
    ).layout()

    assert layout.label == ("s", ("A", "B"))
    assert (layout.time, layout.missing) == (("when",), ("-9999",))
    assert (layout.sensor, layout.sensor_id) == ((), "p")


def test_a_wrong_key_of_the_file_is_named_with_the_file(tmp_path):
    path = tmp_path / "layout.toml"
    path.write_text('colour = "red"\n')

    with pytest.raises(typer.BadParameter, match=r"layout\.toml: colour: there is no such key"):
        FileOptions(layout_file=path).layout()


def test_a_channel_given_twice_is_rejected():
    with pytest.raises(typer.BadParameter, match="new name"):
        FileOptions(channel=["a=x", "a=y"]).layout()


def test_a_bundle_reaches_its_command_whole_and_the_command_line_in_parts():
    seen: list[object] = []

    def command(*, files: FileOptions, quick: bool = False) -> None:
        seen.extend((files, quick))

    app = typer.Typer()
    app.command()(unbundled(command))
    app(["--time", "when", "--ignore", "a", "--ignore", "b", "--quick"], standalone_mode=False)

    assert seen == [FileOptions(time=["when"], ignore=["a", "b"]), True]
