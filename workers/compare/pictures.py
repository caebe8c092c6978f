"""Pictures of a comparison: the relation that a line misses, and errors by size of the bottleneck.

Needs matplotlib (the `plot` extra), imported only when a picture is drawn, and never a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workers.compare.methods import Method
from workers.pictures import new_figure, save
from workers.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from workers.compare.errors import Errors
    from workers.compare.relation import Relation

_CLOUD = "#9aa5b1"
_COLORS = {Method.PCA: "#c2410c", Method.LINEAR: "#7c8a99", Method.NONLINEAR: "#0b5cad"}
_MARKS = {Method.PCA: "o", Method.LINEAR: "x", Method.NONLINEAR: "s"}
_NAME_LETTERS = 40
_PAIR = 2
_RIM = 0.01
"""Single readings far out would be islands beside the sheet."""
_LONG_EDGE = 6.0
"""Edges so many times as long as usual span a hole in the cloud: the sheet has one too."""


def draw(
    path: Path,
    relation: Relation | None,
    by_bottleneck: Mapping[Method, Sequence[Errors]],
    bottlenecks: Sequence[int],
) -> Path:
    """Draw what there is to a file; its ending chooses the format (png, svg, pdf).

    Args:
        path: where to; its folder is made if need be.
        relation: drawn on the left; None where no two channels can be drawn.
        by_bottleneck: errors of each method, drawn on the right if there are several bottlenecks.
        bottlenecks: theirs, ascending.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    panels = (relation is not None) + (len(bottlenecks) > 1)
    figure = new_figure(6.4 * max(panels, 1), 5.4)
    if relation is not None:
        _draw_relation(figure, relation, panels)
    if len(bottlenecks) > 1:
        _draw_errors(figure, by_bottleneck, bottlenecks, panels)
    return save(figure, path, dpi=120)


def _draw_relation(figure: Figure, relation: Relation, panels: int) -> None:
    flat = len(relation.channels) == _PAIR
    axis: Any = figure.add_subplot(1, panels, 1, **({} if flat else {"projection": "3d"}))
    axis.scatter(
        *relation.cloud.T,
        s=7 if flat else 12,
        color=_CLOUD if flat else "#333333",
        alpha=0.5,
        linewidths=0,
        label="held-out readings",
    )
    for method, line in relation.lines.items():
        label = f"{method.value}: leaves {100 * relation.unexplained[method]:.1f} % of the variance"
        if flat:
            axis.plot(*line.T, color=_COLORS[method], linewidth=2.6, label=label)
        else:
            _draw_sheet(axis, line, relation.latents[method], _COLORS[method], label)
    sides: list[Any] = [axis.set_xlabel, axis.set_ylabel]
    if not flat:
        sides.append(axis.set_zlabel)
    for say, channel, unit in zip(sides, relation.channels, relation.units, strict=True):
        say(_named(channel) + (f" [{_named(unit)}]" if unit else ""), parse_math=False)
    numbers = "one number" if flat else "two numbers"
    axis.set_title(
        f"{_named(relation.sensor)}: {numbers} for {len(relation.channels)} channels",
        loc="left", fontsize=11, parse_math=False,
    )  # fmt: skip
    if flat:
        _plain(axis)
        low, high = np.quantile(relation.cloud, [0.0, 1.0], axis=0)
        room = 0.08 * np.where(high > low, high - low, 1.0)
        axis.set_xlim(low[0] - room[0], high[0] + room[0])
        axis.set_ylim(low[1] - room[1], high[1] + 3 * room[1])
    axis.legend(loc="upper left", fontsize=9, framealpha=0.9)


def _draw_sheet(axis: Any, line: Any, latents: Any, color: str, label: str) -> None:
    """The image of the bottleneck's plane, as far as the cloud reaches."""
    from matplotlib.tri import Triangulation

    low, high = np.quantile(latents, [_RIM, 1.0 - _RIM], axis=0)
    inside = ((latents >= low) & (latents <= high)).all(axis=1)
    line, latents = line[inside], latents[inside]
    mesh = Triangulation(*latents.T)
    corners = latents[mesh.triangles]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    mesh.set_mask(edges > _LONG_EDGE * np.median(edges))
    axis.plot_trisurf(
        line[:, 0], line[:, 1], line[:, 2], triangles=mesh.get_masked_triangles(),
        color=color, alpha=0.45, linewidth=0, shade=False, label=label,
    )  # fmt: skip


def _draw_errors(
    figure: Figure,
    by_bottleneck: Mapping[Method, Sequence[Errors]],
    bottlenecks: Sequence[int],
    panels: int,
) -> None:
    axis: Any = figure.add_subplot(1, panels, panels)
    for method, errors in by_bottleneck.items():
        axis.plot(
            bottlenecks,
            [100 * one.unexplained for one in errors],
            color=_COLORS[method],
            marker=_MARKS[method],
            markersize=8,
            linewidth=2 if method is not Method.LINEAR else 1.2,
            linestyle="--" if method is Method.LINEAR else "-",
            label=method.value,
        )
    first = next(iter(by_bottleneck.values()))[0]
    floor = 100 * float(first.noise.sum() / first.power.sum()) if first.power.sum() else 0.0
    if floor:
        axis.axhline(
            floor, color="#555555", linewidth=1, linestyle=":", label="noise of the sensors"
        )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(bottlenecks, [str(one) for one in bottlenecks])
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(axis="y", which="minor", labelsize=8)
    axis.set_xlabel("numbers in the bottleneck")
    axis.set_ylabel("variance left on held-out time [%]")
    axis.set_title("Error by size of the bottleneck", loc="left", fontsize=11)
    _plain(axis)
    axis.legend(fontsize=9)


def _plain(axis: Any) -> None:
    axis.grid(color="#e5e8eb", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _named(text: str) -> str:
    """A name as it can be drawn: on one line, and no longer than there is room for."""
    text = printable(text)
    return text if len(text) <= _NAME_LETTERS else f"{text[: _NAME_LETTERS - 1]}…"
