"""`vigie denoise`: what it prints, writes and draws, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from detector.artifact import save
from detector.scoring import Detector
from detector.views.joined import Views
from tests.support.files import START_NS
from tests.support.fleets import CHANNELS, make_fleet, trained
from workers.cli import main as cli
from workers.cli.views.denoising import noise_facts, show_noise
from workers.data.writer import open_readings
from workers.denoise.account import noise_account

ROWS = 300


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("denoise")
    with open_readings(folder / "pumps.csv", CHANNELS) as writer:
        for number, values in enumerate(make_fleet(rows=ROWS, seed=3).noisy):
            rows = values.copy()
            rows[100, 1] = np.nan
            writer.write(
                sensors=[f"s{number}"] * ROWS,
                ts_ns=START_NS + np.arange(ROWS, dtype=np.int64) * 10**9,
                values=rows,
                labels=np.zeros(ROWS, np.int8),
            )
    save(trained(), folder / "model")
    return folder


def without_noise():
    """A model whose training found none."""
    detector = trained()
    told = {**detector.identity.training, "denoising": {"why": "no channel shows white noise"}}
    views = [one for one in detector.views if one.kind != "denoising"]
    return Detector(replace(detector.identity, training=told), Views(views), detector.head)


def run(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["denoise", *map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_file_goes_in_and_a_file_a_picture_and_figures_come_out(files, capsys, tmp_path):
    out, picture = tmp_path / "clean.csv", tmp_path / "before-after.png"

    code, said, _ = run(
        capsys, files / "pumps.csv", "-m", files / "model", "--settled", "--json",
        "-o", out, "--picture", picture,
    )  # fmt: skip

    told, training = json.loads(said), trained().identity.training["denoising"]
    assert code == 0
    lag = training["lag"]
    assert (told["rows"], told["cleaned"], told["settled"], told["as_they_came"]) == (
        2 * ROWS, 2 * (ROWS - 15 + lag), 2 * (ROWS - 15), 2 * (15 - lag),
    )  # fmt: skip
    flow = told["channels"]["flow"]
    assert flow["noise"] == training["noise"][1]
    assert flow["settled_gain_db"] == training["settled_gain_db"][1]
    assert 0.3 < flow["removed_share_of_noise"] < 1.3
    assert flow["filled"] == 2
    assert told["lag"] == told["lag_s"] == lag
    header, *rows = out.read_text().splitlines()
    assert header.replace('"', "") == ",".join(["ts,sensor_id", *CHANNELS, "label,settled"])
    assert len(rows) == 2 * ROWS
    assert picture.stat().st_size > 20_000


def test_a_table_for_people(files, capsys):
    code, said, _ = run(capsys, files / "pumps.csv", "-m", files / "model", "--only", "s1")

    words = " ".join(said.split())
    assert code == 0
    for part in (
        "300 readings of 1 sensor: 285 cleaned, 15 as they came", "causal, dB", "temperature",
        "Wiener bound", "1 value predicted", "with hindsight, known",
    ):  # fmt: skip
        assert part in words


def test_a_model_without_noise_changes_nothing_and_says_so(files, capsys, tmp_path):
    save(without_noise(), tmp_path / "quiet")

    code, said, _ = run(
        capsys, files / "pumps.csv", "-m", tmp_path / "quiet", "-o", tmp_path / "same.csv",
        "--picture", tmp_path / "same.png",
    )  # fmt: skip

    assert code == 0
    assert "nothing is taken for noise: no channel shows white noise" in " ".join(said.split())
    before, after = (
        [line.split(",") for line in path.read_text().replace('"', "").splitlines()]
        for path in (files / "pumps.csv", tmp_path / "same.csv")
    )
    flow = 2 + CHANNELS.index("flow")
    changed = [
        row for row, (one, other) in enumerate(zip(before, after, strict=True)) if one != other
    ]
    assert changed == [101, 101 + ROWS]  # missing before
    assert all(float(after[row][flow]) > 0 for row in changed)


@pytest.mark.parametrize(
    ("arguments", "ended"),
    [
        ([], (2, "vigie train")),
        (["-m", "quiet", "--settled"], (1, "has no settled values")),
        (["-m", "model", "--only", "nobody"], (1, "nobody")),
    ],
)
def test_what_cannot_be_cleaned_ends_with_a_reason(files, capsys, tmp_path, arguments, ended):
    save(without_noise(), tmp_path / "quiet")
    folders = {"quiet": tmp_path / "quiet", "model": files / "model"}

    code, _, error = run(capsys, files / "pumps.csv", *(folders.get(one, one) for one in arguments))

    assert code == ended[0]
    assert ended[1] in " ".join(error.replace("│", " ").split())


def test_training_says_what_can_be_expected_of_each_channel(capsys):
    account = noise_account(trained())
    told = replace(
        account, channels=[replace(account.channels[0], impulsive=True), *account.channels[1:]]
    )

    show_noise(told)

    words = " ".join(capsys.readouterr().out.split())
    first = told.channels[0]
    gain, away = first.gain_db["causal"], first.from_bound_db("causal")
    assert f"speed {first.noise:.3g} {gain:.1f} ({away:+.1f})" in words
    assert "removed" not in words
    facts = dict(noise_facts(told))
    assert facts["impulses"].endswith("noise of speed")
    assert f"{told.lag} reading" in facts["settled"]
