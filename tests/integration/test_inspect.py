"""What inspect proposes makes training succeed; training says the same, and with --strict stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workers.cli import main as cli

QUICK = [
    "--detector",
    "plain",
    "--receptive-field",
    "8",
    "--latent-size",
    "4",
    "--max-steps",
    "20",
    "--device",
    "cpu",
]
N = 600


def readings(*, seed: int) -> Iterator[tuple[str, str]]:
    """A flow and a pressure of each row, as text."""
    rng = np.random.default_rng(seed)
    for n in range(N):
        swing = np.sin(n / 20)
        yield f"{50 + 5 * swing + rng.normal():.2f}", f"{4 + swing + 0.1 * rng.normal():.3f}"


def clock(n: int, *, every_s: int = 1) -> str:
    return str(np.datetime64("2025-10-20T00:00:00") + np.timedelta64(n * every_s, "s"))


def german() -> str:
    lines = ["Zeit;Durchfluss;Druck"]
    for n, (flow, pressure) in enumerate(readings(seed=1)):
        day, time = clock(n).split("T")
        shown = f"{day[8:]}.{day[5:7]}.{day[:4]} {time}"
        lines.append(f"{shown};{flow};{pressure}".replace(".", ",").replace(",10,2025", ".10.2025"))
    return "\n".join([*lines, ""])


def machines() -> str:
    lines = ["datetime,machineID,flow,pressure"]
    for machine in range(1, 4):
        lines += [
            f"{clock(n)},{machine},{','.join(row)}" for n, row in enumerate(readings(seed=machine))
        ]
    return "\n".join([*lines, ""])


def long() -> str:
    lines = ["ts,sensor_id,tag,value"]
    for n, (flow, pressure) in enumerate(readings(seed=1)):
        lines += [f"{clock(n)}Z,a,flow,{flow}", f"{clock(n)}Z,a,pressure,{pressure}"]
    return "\n".join([*lines, ""])


def ten_a_second() -> str:
    lines = [
        f"{clock(n // 10)}Z,{flow},{pressure}"
        for seed in range(5)
        for n, (flow, pressure) in enumerate(readings(seed=seed), seed * N)
    ]
    return "\n".join(["ts,flow,pressure", *lines, ""])


@pytest.mark.parametrize("content", [german, machines, long, ten_a_second])
def test_the_proposed_layout_makes_training_succeed(
    content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, layout = tmp_path / "readings.csv", tmp_path / "layout.toml"
    path.write_text(content())
    train = ["train", str(path), "-o", str(tmp_path / "m"), *QUICK]

    without = cli.main(train)
    inspected = cli.main(["inspect", str(path), "--write", str(layout)])
    trained = cli.main([*train, "--layout", str(layout)])

    assert (without, inspected, trained) == (1, 0, 0), capsys.readouterr().err


def with_outages(path: Path) -> Path:
    lines = [
        f"{clock(n)}Z,{-200 if n in range(100, 140) else flow},{pressure}"
        for n, (flow, pressure) in enumerate(readings(seed=1))
    ]
    path.write_text("\n".join(["ts,flow,pressure", *lines, ""]))
    return path


def test_training_says_what_looks_wrong_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_outages(tmp_path / "pump.csv")

    code = cli.main(["train", str(path), "-o", str(tmp_path / "m"), *QUICK])
    people = capsys.readouterr()
    cli.main(["train", str(path), "-o", str(tmp_path / "m"), "--json", *QUICK])
    script = capsys.readouterr()

    assert code == 0
    assert "--missing -200" in people.err
    assert "--missing -200" not in people.out
    assert [one["option"] for one in json.loads(script.out)["warnings"]] == ["--missing -200"]


def test_strict_stops_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = [
        "train", str(with_outages(tmp_path / "pump.csv")), "-o", str(tmp_path / "m"), *QUICK,
        "--budget", "1 per minute",
    ]  # fmt: skip

    refused = cli.main([*train, "--strict"])
    said, made = capsys.readouterr().err, (tmp_path / "m").exists()
    mended = cli.main([*train, "--strict", "--missing", "-200"])

    assert (refused, made, mended) == (1, False, 0)
    assert "--missing -200" in " ".join(said.split())


def test_a_refused_history_names_the_column_that_looks_like_the_sensor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(machines())

    code = cli.main(["train", str(path), "-o", str(tmp_path / "m"), *QUICK])

    assert code == 1
    assert "--sensor machineID" in " ".join(capsys.readouterr().err.split())
