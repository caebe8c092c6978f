"""The picture of a sensor: what it shows, and what it says when it cannot be drawn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.backtest import plots
from workers.backtest.plots import Picture, Span, draw, telling_channels
from workers.pictures import PlotExtraError

pytest.importorskip("matplotlib", reason="needs matplotlib: uv sync --extra plot")

S = 1_000_000_000


def make_picture(n_rows=200, **changes):
    """Three channels; the second departs from what is expected in rows 100..119."""
    rng = np.random.default_rng(1)
    denoised = np.ones((n_rows, 3)) * [5.0, 50.0, 500.0]
    observed = denoised + rng.normal(size=(n_rows, 3)) * [0.1, 1.0, 10.0]
    observed[100:120, 1] += 20
    score = np.full(n_rows, 0.5)
    score[:31] = np.nan
    score[100:120] = 4.0
    fields = {
        "title": "pump-001",
        "channels": ("flow", "motor_temperature", "speed"),
        "units": ("m3/h", "degC", ""),
        "ts_ns": 1_767_225_600 * S + np.arange(n_rows, dtype=np.int64) * S,
        "observed": observed,
        "denoised": denoised,
        "score": score,
        "faults": [Span(start_ns=1_767_225_700 * S, end_ns=1_767_225_719 * S, label="shift")],
    }
    return Picture(**(fields | changes))


def drawn_text(path):
    return path.read_text(encoding="utf-8")


def test_the_picture_names_all_that_it_shows(tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    text = drawn_text(draw(make_picture(), tmp_path / "made" / "p.svg", panels=[0, 1]))

    for words in ("pump-001", "flow", "motor temperature", "[degC]", "anomaly score", "shift"):
        assert words in text
    for entry in ("measured", "denoised", "flagged", "true fault", "threshold"):
        assert entry in text
    assert "speed" not in text


def test_incidents_are_bars_by_their_severity(tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    begin = make_picture().ts_ns[100].item()
    incidents = [
        Span(start_ns=begin + i * S, end_ns=begin + (i + 5) * S, severity=severity)
        for i, severity in enumerate(["low", "high", "high"])
    ]

    text = drawn_text(draw(make_picture(incidents=incidents), tmp_path / "p.svg", panels=[1]))

    assert text.count("incident, low") == 1
    assert text.count("incident, high") == 1
    assert "incident, medium" not in text
    colors = plots._INCIDENTS
    # On a channel and on the score, and in the legend.
    assert (text.count(colors["low"]), text.count(colors["high"])) == (2 + 1, 4 + 1)


def test_without_knowledge_of_faults_none_is_in_the_legend(tmp_path, monkeypatch):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")

    assert "true fault" not in drawn_text(draw(make_picture(faults=None), tmp_path / "p.svg"))


def test_a_png_is_written_without_a_screen(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)

    path = draw(make_picture(), tmp_path / "p.png")

    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changes",
    [
        {"score": np.full(200, np.nan), "denoised": np.full((200, 3), np.nan)},
        {"observed": np.full((200, 3), np.nan)},
        {"score": np.full(200, 1e9)},
        {"faults": []},
    ],
    ids=["nothing scored", "nothing measured", "off the scale", "no fault"],
)
def test_extremes_are_drawn(tmp_path, changes):
    assert draw(make_picture(**changes), tmp_path / "p.png").stat().st_size > 10_000


def test_one_row_is_drawn(tmp_path):
    assert draw(make_picture(1, score=np.array([2.0])), tmp_path / "p.png").exists()


def test_the_telling_channel_comes_first():
    assert telling_channels(make_picture(), limit=1) == [1]
    assert telling_channels(make_picture(), limit=8) == [0, 1, 2]


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(PlotExtraError, match=r"vigie\[plot\]"):
        draw(make_picture(), tmp_path / "p.png")


@settings(max_examples=50, deadline=None)
@given(
    values=arrays(
        np.float64, st.integers(1, 90), elements=st.one_of(st.just(np.nan), st.floats(-9, 9))
    )
)
def test_thinning_keeps_extremes_and_gaps(values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "MAX_POINTS", 20)
        rows = plots._thin(values)

    kept = values[rows]
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= 30
    assert np.isnan(kept).any() == np.isnan(values).any()
    if not np.isnan(values).all():
        assert (np.nanmin(kept), np.nanmax(kept)) == (np.nanmin(values), np.nanmax(values))
