"""A map as one HTML page that needs nothing else: every colour to choose from, points to point at.

Needs plotly (the `latent` extra), imported only when a page is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.wire.timestamp import short_ns
from workers.latent.colours import ACCENT, clipped_scores, hues
from workers.latent.errors import LatentError
from workers.latent.mapping import NORMAL_WORDS, Map, Way

_SIZE = 6
_FEW_TICKS = 5


def write_page(shown: Map, path: Path) -> Path:
    """Write the page; an existing file is replaced.

    Raises:
        LatentError: plotly is missing.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise LatentError("the page needs plotly: pip install 'vigie[latent]'") from error
    groups: dict[str, list[Any]] = {"sensor": _by_word(go, shown, shown.sensors)}
    if shown.kinds is not None:
        groups["label"] = _by_word(go, shown, shown.kinds)
    groups["time"] = [_by_number(go, shown, _hours(shown), _time_bar(shown))]
    if np.isfinite(shown.score).any():
        bar = {"title": "score<br>(1 = threshold)", **_score_ticks(shown.score)}
        groups["score"] = [_by_number(go, shown, clipped_scores(shown.score), bar)]
    ways = [_way(go, one) for one in shown.ways]
    traces = [trace for group in groups.values() for trace in group]
    first = next(iter(groups))
    for name, group in groups.items():
        for trace in group:
            trace.visible = name == first
    figure = go.Figure([*traces, *ways])
    _arrows(figure, shown.ways)
    figure.update_layout(**_layout(shown, _buttons(groups, len(ways))))
    path.parent.mkdir(parents=True, exist_ok=True)
    page = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    path.write_text(
        page.replace("<head>", f"<head><title>{_plain(shown.title)}</title>", 1), "utf-8"
    )
    return path


def _layout(shown: Map, buttons: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": {"text": _plain(shown.title), "x": 0.01, "xanchor": "left"},
        "template": "plotly_white",
        "xaxis_title": shown.axes[0],
        "yaxis_title": shown.axes[1],
        "hovermode": "closest",
        "legend": {"itemsizing": "constant", "title": {"text": ""}},
        "margin": {"l": 60, "r": 20, "t": 110, "b": 60},
        "updatemenus": [
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 0.0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "showactive": True,
            }
        ],
    }


def _buttons(groups: dict[str, list[Any]], ways: int) -> list[dict[str, Any]]:
    return [
        {
            "label": f"colour by {name}",
            "method": "restyle",
            "args": [
                "visible",
                [other == name for other, group in groups.items() for _ in group] + [True] * ways,
            ],
        }
        for name in groups
    ]


def _by_word(go: Any, shown: Map, words: Sequence[str]) -> list[Any]:
    """A trace for each word, so that the legend switches it."""
    of_points = np.array(words, dtype=object)
    colours = hues(list(dict.fromkeys(words)), grey=NORMAL_WORDS)
    return [
        go.Scatter(
            **_points(shown, np.flatnonzero(of_points == name)),
            name=_plain(name),
            mode="markers",
            marker={"size": _SIZE, "color": colours[name], "opacity": 0.7},
        )
        for name in colours
    ]


def _by_number(go: Any, shown: Map, numbers: npt.NDArray[np.float64], bar: dict[str, Any]) -> Any:
    return go.Scatter(
        **_points(shown, np.arange(len(shown))),
        mode="markers",
        showlegend=False,
        marker={
            "size": _SIZE,
            "color": numbers,
            "colorscale": "Viridis",
            # Below the legend, where a way has its line.
            "colorbar": {"thickness": 14, "len": 0.85, "y": 0.0, "yanchor": "bottom", **bar},
            "opacity": 0.8,
        },
    )


def _points(shown: Map, picks: npt.NDArray[np.int64]) -> dict[str, Any]:
    kinds = shown.kinds
    texts = [
        f"{_plain(shown.sensors[pick])}<br>{short_ns(int(shown.ts_ns[pick]))}"
        + (f"<br>score {shown.score[pick]:.2f}" if np.isfinite(shown.score[pick]) else "")
        + (f"<br>{_plain(kinds[pick])}" if kinds is not None else "")
        for pick in picks
    ]
    return {
        "x": shown.points[picks, 0].round(4).tolist(),
        "y": shown.points[picks, 1].round(4).tolist(),
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _way(go: Any, way: Way) -> Any:
    place = np.linspace(0, 1, len(way.points))
    return go.Scatter(
        x=way.points[:, 0].round(4).tolist(),
        y=way.points[:, 1].round(4).tolist(),
        text=[f"{_plain(way.sensor)}, mean around<br>{short_ns(int(ts))}" for ts in way.ts_ns],
        hovertemplate="%{text}<extra></extra>",
        name=f"way of {_plain(way.sensor)} (dark: late)",
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        marker={
            "size": 9,
            "color": place.tolist(),
            "colorscale": [[0, "#ffffff"], [1, ACCENT]],
            "line": {"color": ACCENT, "width": 1},
        },
    )


def _arrows(figure: Any, ways: Sequence[Way]) -> None:
    for way in ways:
        for text, place in ((f"{_plain(way.sensor)} starts", 0), ("ends", len(way.points) - 1)):
            figure.add_annotation(
                x=way.points[place, 0],
                y=way.points[place, 1],
                text=text,
                showarrow=True,
                arrowhead=2,
                arrowcolor=ACCENT,
                font={"color": ACCENT},
                bgcolor="rgba(255,255,255,0.8)",
            )


def _hours(shown: Map) -> npt.NDArray[np.float64]:
    hours: npt.NDArray[np.float64] = (shown.ts_ns - shown.ts_ns.min()) / 3.6e12
    return hours.round(4)


def _time_bar(shown: Map) -> dict[str, Any]:
    places = np.linspace(int(shown.ts_ns.min()), int(shown.ts_ns.max()), _FEW_TICKS)
    return {
        "title": "time, UTC",
        "tickvals": ((places - places[0]) / 3.6e12).tolist(),
        "ticktext": [short_ns(int(place) // 10**9 * 10**9) for place in places],
    }


def _score_ticks(score: npt.NDArray[np.float64]) -> dict[str, Any]:
    known = clipped_scores(score[np.isfinite(score)])
    ticks = [v for v in (0.1, 0.3, 1, 3, 10, 30, 100) if known.min() <= np.log10(v) <= known.max()]
    return {"tickvals": np.log10(ticks).tolist(), "ticktext": [f"{tick:g}" for tick in ticks]}


def _plain(text: str) -> str:
    """A name as text: plotly reads a few HTML tags in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
