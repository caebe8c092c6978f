"""Figures in files: ours are whole, others are read or refused with the place that is wrong."""

from __future__ import annotations

import json

import pytest

from tests.support.sizing import round_figures
from workers.errors import SettingsError
from workers.sizing.measured import our_figures, read_figures


def test_our_figures_say_where_they_come_from():
    ours = our_figures()

    assert "python -m benchmarks.sizing" in ours.protocol
    assert "cores" in ours.machine


def test_figures_come_back_from_a_file_as_they_were(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(round_figures().model_dump_json())

    assert read_figures(path) == round_figures()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"start_s": -1}, "start_s: Input should be greater than or equal to 0"),
        ({"start_s": "NaN"}, "start_s"),
        ({"more": 1}, "more: Extra inputs"),
        ({"processor": {}}, "processor.read: Field required"),
    ],
)
def test_a_file_of_other_content_is_refused_with_the_place(tmp_path, change, named):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**json.loads(round_figures().model_dump_json()), **change}))

    with pytest.raises(SettingsError, match=named):
        read_figures(path)


def test_a_file_that_is_no_json_or_is_not_there_is_refused(tmp_path):
    path = tmp_path / "mine.json"
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_figures(path)
    path.write_text("no JSON")
    with pytest.raises(SettingsError, match=r"benchmarks\.sizing --json"):
        read_figures(path)
