"""What `vigie train` and `vigie backtest` say of the rows and sensors that they were given."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.models import plant_values
from workers.cli import main as cli
from workers.cli.exits import ExitCode

CHANNELS = ("flow", "pressure", "temperature")
NASTY = (
    "Speed [/min]", "[bold]x", "$a_{$", "a/../b", "{0}", "%s", "\u202ex", "😀", "泵", "x" * 249,
    ":bug:",
)  # fmt: skip
QUICK = [
    "--detector",
    "plain",
    "--receptive-field",
    "8",
    "--latent-size",
    "4",
    "--max-steps",
    "30",
    "--device",
    "cpu",
]
BEGIN_S = 1_700_000_000


def write(
    path: Path,
    rows: int,
    *,
    sensor: str = "pump",
    channels: Sequence[str] = CHANNELS,
    step_s: int = 1,
    labels: Sequence[int] = (),
    repeat: int = 1,
) -> Path:
    """Rows of one sensor, each of them `repeat` times; appended to what is there."""
    values = plant_values(rows, seed=3)
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if fresh:
            writer.writerow(["ts", "sensor_id", *channels, "label"])
        for row in np.repeat(np.arange(rows), repeat).tolist():
            picked = [f"{values[row, i % 3]:.4f}" for i in range(len(channels))]
            writer.writerow([BEGIN_S + row * step_s, sensor, *picked, int(row in labels)])
    return path


def change(path: Path, *, row: int, column: int, to: Callable[[str], str]) -> None:
    """Put another value into a cell."""
    lines = path.read_text().splitlines()
    fields = lines[1 + row].split(",")
    fields[column] = to(fields[column])
    lines[1 + row] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backtest with labels draws a picture where it is called."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    """A command's output, with blanks for line breaks."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        code = cli.main([str(one) for one in arguments])
        output = capsys.readouterr()
        assert code == ExitCode.OK, output.err
        return " ".join(output.out.split())

    return run


def two_rates(tmp_path: Path) -> Path:
    path = write(tmp_path / "rates.csv", 600, sensor="fast")
    return write(path, 100, sensor="slow", step_s=60)


def test_a_sensor_of_another_rate_is_named_with_the_reason_and_the_way_out(tmp_path, say):
    path = two_rates(tmp_path)

    trained = say("train", path, "-o", tmp_path / "m", *QUICK)
    tested = say("backtest", path, "-m", tmp_path / "m")

    reason = "sensor slow: its steps of 60 s are longer than the gap of 10 s"
    assert "learned from 600 readings of 1 sensor," in trained
    assert re.search(r"alike +shares within 0\.\d\d of each other, states within \d", trained)
    assert f"not learned {reason}" in trained
    assert f"not scored {reason}" in tested
    for told in (trained, tested):
        assert "vigie train FILE... --only slow -o FOLDER" in told
        assert "--resample 60s" in told
        assert "--max-gap 60" in told


@pytest.mark.parametrize("ways", [["--only", "slow"], ["--resample", "60s"], ["--max-gap", "60"]])
def test_each_way_out_of_different_rates_leads_out(tmp_path, say, ways):
    path = two_rates(tmp_path)
    if ways[0] == "--resample":
        path = write(tmp_path / "long.csv", 12_000, sensor="fast")
        path = write(path, 200, sensor="slow", step_s=60)

    trained = json.loads(say("train", path, "-o", tmp_path / "m", *QUICK, *ways, "--json"))
    tested = json.loads(say("backtest", path, "-m", tmp_path / "m", *ways, "--json"))

    assert trained["training"]["not_learned"] == []
    assert tested["not_scored"] == []


def test_a_sensor_that_is_not_there_cannot_be_the_only_one(tmp_path, capsys):
    path = two_rates(tmp_path)

    assert cli.main(["train", str(path), "--only", "slwo"]) == ExitCode.FAILURE
    assert "no sensor 'slwo'; there are 'fast', 'slow'" in capsys.readouterr().err


def test_rows_are_accounted_for_by_reason_and_by_sensor(tmp_path, say):
    path = write(tmp_path / "t.csv", 400, sensor="a", labels=range(5, 15))
    path = write(path, 400, sensor="b", labels=range(7))
    path = write(path, 9, sensor="c", repeat=2)

    told = say("train", path, "-o", tmp_path / "m", *QUICK)
    result = json.loads(say("train", path, "-o", tmp_path / "m", *QUICK, "--json"))

    assert "read 818 rows" in told
    assert "17 of 818 rows: labelled anomalous, not learned from (a 10, b 7)" in told
    assert "9 of 818 rows: a time that repeats (c 9)" in told
    assert "sensor c: 9 readings, at least 80 are needed" in told
    assert result["rows_read"] == 818
    assert result["left_out"] == {
        "a time that repeats": {"c": 9}, "labelled anomalous": {"a": 10, "b": 7},
    }  # fmt: skip
    training = result["training"]
    unlearned = sum(one["readings"] for one in training["not_learned"])
    assert training["sensors"] == 2
    assert "not used 5 readings: they lie between gaps too close for a window" in told
    assert result["readings_not_used"] == 5
    assert training["rows"] + unlearned + 5 + 9 + 17 == 818


def test_a_backtest_says_how_many_rows_are_labelled_and_what_was_read_as_missing(tmp_path, say):
    say("train", write(tmp_path / "t.csv", 400), "-o", tmp_path / "m", *QUICK)
    test = write(tmp_path / "b.csv", 100, labels=range(40, 50))
    change(test, row=3, column=2, to=lambda _: "-999")

    told = say("backtest", test, "-m", tmp_path / "m", "--missing", "-999")

    assert "labelled 10 rows anomalous" in told
    assert "values that --missing took (flow 1)" in told


def test_names_and_units_go_through_training_backtest_and_picture_as_they_are(tmp_path, say):
    train = write(tmp_path / "[t] {0} %s.csv", 400, channels=NASTY, sensor=NASTY[1])
    test = write(tmp_path / "😀 $a_{$.csv", 120, channels=NASTY, sensor=NASTY[1], labels=range(9))

    trained = say("train", train, "-o", tmp_path / "[bold]m", *QUICK)
    for picture in ("p.png", "p.svg"):
        tested = say(
            "backtest", test, "-m", tmp_path / "[bold]m", "--plot", tmp_path / "[/]" / picture,
            "--plot-sensor", NASTY[1], "-o", tmp_path / "scores.csv",
        )  # fmt: skip

    for name in NASTY[:6]:
        assert name in trained
    assert r"\u202ex" in trained
    assert "[bold]m" in trained.replace(" ", "")
    assert str(tmp_path / "[/]" / "p.svg") in tested
    assert (tmp_path / "[/]" / "p.svg").exists()


@pytest.mark.parametrize("word", [*NASTY[:6], "[/]"])
def test_any_word_can_be_a_label(tmp_path, say, word):
    path = write(tmp_path / "t.csv", 400)
    for row in range(20):
        change(path, row=row, column=5, to=lambda _: word)

    told = say("train", path, "-o", tmp_path / "m", *QUICK, "--label", f"label={word}")

    assert "20 of 400 rows: labelled anomalous" in told


@pytest.mark.parametrize("where", ["sensor", "channel"])
def test_a_name_that_no_stream_can_have_is_refused(tmp_path, say, capsys, where):
    channels = ("x" * 250, *CHANNELS[1:]) if where == "channel" else CHANNELS
    say("train", write(tmp_path / "t.csv", 400, channels=channels), "-o", tmp_path / "m", *QUICK)
    name = "x" * 250 if where == "sensor" else "pump"
    test = write(tmp_path / "b.csv", 60, channels=channels, sensor=name)

    assert cli.main(["backtest", str(test), "-m", str(tmp_path / "m")]) == ExitCode.FAILURE

    assert "has 250 characters" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("sensor", NASTY)
def test_any_sensor_can_be_drawn(tmp_path, say, sensor):
    say("train", write(tmp_path / "t.csv", 400), "-o", tmp_path / "m", *QUICK)
    test = write(tmp_path / "b.csv", 60, sensor=sensor, labels=[30])

    say("backtest", test, "-m", tmp_path / "m", "--plot", "p.png", "--plot-sensor", sensor)

    assert (tmp_path / "p.png").exists()


def test_a_stretch_that_blinds_the_model_is_told_with_the_file_that_leaves_it_out(
    tmp_path, say, capsys
):
    path = write(tmp_path / "t.csv", 1_000)
    for row in range(900, 912):
        change(path, row=row, column=2, to=lambda value: f"{float(value) + 12:.4f}")
    model = ["-o", tmp_path / "m", *QUICK, "--max-steps", "200"]

    assert cli.main([str(one) for one in ["train", path, *model]]) == ExitCode.OK
    told = capsys.readouterr().out
    begin = told.index("start,end,sensor_id")
    faults = tmp_path / "faults.csv"
    faults.write_text(told[begin : told.index("\n\n", begin)])
    again = say("train", path, *model, "--label-ranges", faults)

    assert "the threshold is" in told
    assert "labelled anomalous" in again
    assert "stands out" not in again


def test_the_largest_number_that_there_is_is_no_measurement(tmp_path, say, capsys):
    path = write(tmp_path / "t.csv", 400)
    change(path, row=100, column=3, to=lambda _: "1.7976931348623157e308")

    assert cli.main(["train", str(path), "-o", str(tmp_path / "m"), *QUICK]) == ExitCode.FAILURE
    told = capsys.readouterr().err
    assert "channel 'pressure' of sensor 'pump' holds 1.79769e+308" in told
    way_out = "1.7976931348623157e+308"
    assert f"--missing {way_out}" in told

    assert "(pressure 1)" in say("train", path, "-o", tmp_path / "m", *QUICK, "--missing", way_out)
