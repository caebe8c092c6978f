"""The benchmarks run, and give the figures that their tables promise."""

from __future__ import annotations

import json

import pytest

from benchmarks import soak, throughput

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def test_throughput_gives_every_figure_of_every_contestant(tmp_path):
    throughput.main(["--quick", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["medians"].keys() == throughput.CONTESTANTS.keys()
    for contestant in figures["medians"].values():
        assert {"readings/s", "CPU us", "peak MB"} <= contestant.keys()
        assert all(value >= 0 for value in contestant.values())
    assert figures["medians"]["vigie, JSON readings"]["repeats"] == 0
    assert len(figures["aims"]) == 6


def test_a_short_soak_accounts_for_every_record(tmp_path):
    soak.main(["--quick", "--json", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["readings"] > 10_000
    assert all(check["good"] for check in figures["checks"])
