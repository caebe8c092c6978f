"""`vigie compare`: what it prints and draws, and how it ends."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.compared import SECOND_NS, START_NS, curved_rows
from workers.cli import main as cli
from workers.data.writer import open_readings

CHANNELS = ("load", "heat", "flow", "level")
QUICK = ["-R", "4", "--bottleneck", "2", "--max-steps", "30"]


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    return write(tmp_path_factory.mktemp("compare") / "pump.csv", faulty=slice(0))


def write(path, *, faulty):
    rows = 800
    with open_readings(path, CHANNELS) as writer:
        labels = np.zeros(rows, np.int8)
        labels[faulty] = 1
        writer.write(
            sensors=["pump-1"] * rows,
            ts_ns=START_NS + np.arange(rows, dtype=np.int64) * SECOND_NS,
            values=curved_rows(rows),
            labels=labels,
        )
    return str(path)


def run(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["compare", *arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_figures_of_three_methods_for_scripts(readings, capsys, tmp_path):
    picture = tmp_path / "compare.png"
    code, out, _ = run(
        capsys, readings, *QUICK, "--bottlenecks", "2,1", "--json",
        "-o", str(picture),
    )  # fmt: skip

    told = json.loads(out)
    assert code == 0
    assert [one["method"] for one in told["methods"]] == [
        "PCA",
        "linear autoencoder",
        "non-linear autoencoder",
    ]
    assert (told["training_rows"], told["held_out_rows"]) == (560, 240)
    assert told["detection_by"] == "faults put in"
    assert sum(told["faults_put_in"].values()) == told["methods"][0]["detection"]["events"] == 2
    for one in told["methods"]:
        assert one["fit_s"] > 0
        assert set(one["by_channel"]) == set(CHANNELS)
        assert 0 < one["unexplained"] < 1.5
    assert [one["bottleneck"] for one in told["bottlenecks"]] == [1, 2]
    assert told["bottlenecks"][1]["PCA"] == pytest.approx(told["methods"][0]["unexplained"])
    assert told["relation"]["sensor"] == "pump-1"
    assert picture.stat().st_size > 10_000


def test_a_table_for_people_says_how_faults_were_judged(tmp_path, capsys):
    path = write(tmp_path / "pump.csv", faulty=slice(700, 720))

    code, out, _ = run(capsys, path, *QUICK)

    assert code == 0
    words = " ".join(out.split())
    for said in ("variance left", "non-linear", "560 readings train", "heat", "1 labelled event"):
        assert said in words


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--bottlenecks", "1,two"], 2, "1,2,4,8"),
        (["--bottlenecks", "0,1"], 2, "1,2,4,8"),
        (["--budget", "never"], 2, "budget"),
        (["--bottleneck", "400"], 1, "latent_size"),
        (["-R", "900"], 1, "receptive_field"),
        (["--axis", "load", "-o", "axis.png"], 1, "two or three different channels"),
        (["--axis", "load", "--axis", "heat"], 2, "name the picture: --out"),
        (["-o", "compare.foo"], 2, "a picture ends in"),
    ],
)
def test_what_cannot_be_compared_ends_with_a_reason(readings, capsys, arguments, code, said):
    ended, _, error = run(capsys, readings, *QUICK, *arguments)

    assert ended == code
    assert said in error
