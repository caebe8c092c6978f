"""The most curved relation is found, and a curve follows it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.support.compared import curved_rows, linear_rows, make_history
from workers.compare.methods import Method, Plan
from workers.compare.pictures import draw
from workers.compare.relation import curvature, most_curved, relation
from workers.compare.time_split import ComparisonError, cut
from workers.pictures import PlotExtraError

PLAN = Plan(bottleneck=1, max_steps=300)


@pytest.fixture(scope="module")
def split():
    return cut(make_history(linear_rows(900), curved_rows(1_000)), 0.3)


@pytest.fixture(scope="module")
def drawn(split):
    return relation(split, PLAN)


def test_the_square_is_more_curved_than_lines_and_than_noise():
    found = curvature(curved_rows(1_000))

    assert found.argmax() in {0 * 4 + 1, 2 * 4 + 1}  # load or flow, and heat
    others = found.copy()
    others[[0, 2], 1] = 0.0
    assert others.max() < 0.3 * found.max()


def test_a_channel_of_few_values_is_no_relation():
    rows = curved_rows(1_000)
    rows[:, 1] = rows[:, 1] > 1

    assert curvature(rows)[:, 1].max() == 0.0
    assert curvature(rows)[1].max() == 0.0


def test_missing_and_few_rows_are_no_harm():
    rows = curved_rows(1_000)
    rows[::3, 0] = np.nan

    assert curvature(rows)[0, 1] == pytest.approx(curvature(curved_rows(1_000))[0, 1], rel=0.2)
    assert (curvature(rows[:20]) == 0).all()


def test_the_sensor_with_the_curve_is_drawn(split, drawn):
    number, (first, second) = most_curved(split.training.sensors)

    assert number == 1
    assert {first, second} <= {0, 1, 2}
    assert drawn.sensor == "pump-1"
    assert "heat" in drawn.channels


def test_the_curve_leaves_far_less_than_the_line(drawn):
    assert drawn.unexplained[Method.NONLINEAR] < 0.4 * drawn.unexplained[Method.PCA]
    line, curve = drawn.lines[Method.PCA], drawn.lines[Method.NONLINEAR]
    bend = np.abs(np.diff(line, 2, axis=0)).max() / np.ptp(line)
    assert bend < 1e-4
    assert np.abs(np.diff(curve, 2, axis=0)).max() / np.ptp(curve) > 10 * bend


def test_nothing_that_moves_is_said():
    split = cut(make_history(np.ones((300, 3))), 0.3)

    with pytest.raises(ComparisonError, match="no two channels"):
        most_curved(split.training.sensors)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("load", "speed"), r"no channel 'speed'; there are load, heat, flow, level"),
        (("load",), "two or three different channels"),
        (("load", "load"), "two or three different channels"),
    ],
)
def test_channels_that_cannot_be_drawn_are_named(split, names, said):
    with pytest.raises(ComparisonError, match=said):
        relation(split, PLAN, names)


def test_the_picture_names_channels_units_and_what_each_leaves(drawn, tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    path = draw(tmp_path / "new" / "p.svg", drawn, {}, [])
    text = path.read_text(encoding="utf-8")

    for name in drawn.channels:
        assert name in text
    for method, share in drawn.unexplained.items():
        assert f"{method.value}: leaves {100 * share:.1f} % of the variance" in text
    assert "numbers in the bottleneck" not in text


def test_three_channels_are_a_plane_and_a_sheet(split, tmp_path):
    three = relation(split, Plan(bottleneck=1, max_steps=20), ("load", "heat", "level"))

    assert three.latents[Method.PCA].shape == (len(three.cloud), 2)
    assert draw(tmp_path / "p.png", three, {}, []).stat().st_size > 10_000


def test_without_matplotlib_the_way_out_is_named(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(PlotExtraError, match=r"vigie\[plot\]"):
        draw(tmp_path / "p.png", drawn, {}, [])
