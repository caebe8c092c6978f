"""Pictures of maps and of made windows.

Needs matplotlib (the `plot` extra), imported only when a picture is drawn, and never a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from schemas.wire.timestamp import short_ns
from workers.latent.colours import ACCENT, GREY, clipped_scores, hues
from workers.latent.making import Made
from workers.latent.mapping import NORMAL_WORDS, Map, Way
from workers.pictures import new_figure, save
from workers.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = Literal["sensor", "time", "score", "label"]

_MADE = "#0072b2"
_MOST_NAMES = 12
_MOST_PANELS = 9
_MOST_LINES = 40
_SOURCES = ("#3d4852", "#e69f00", "#009e73", "#cc79a7")


def draw_map(shown: Map, path: Path, *, colour: Colour = "sensor") -> Path:
    """Draw a map to a file; its ending chooses the format (png, svg, pdf).

    With ways, the windows are grey: the picture is about the ways. Otherwise `colour` tells what
    the colour of a window means.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    figure = new_figure(9.0, 6.6)
    axes = figure.add_subplot()
    if shown.ways:
        axes.scatter(
            shown.points[:, 0],
            shown.points[:, 1],
            s=9,
            color=GREY,
            alpha=0.6,
            linewidths=0,
            label="windows",
        )
        for way in shown.ways:
            _draw_way(axes, way)
    elif colour in {"time", "score"}:
        _draw_numbers(figure, axes, shown, colour)
    else:
        kinds = shown.kinds if colour == "label" else None
        _draw_words(axes, shown, shown.sensors if kinds is None else kinds)
    axes.set_xlabel(shown.axes[0])
    axes.set_ylabel(shown.axes[1])
    axes.grid(color="#e5e8eb", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(printable(shown.title), x=0.01, ha="left", fontsize=13, parse_math=False)
    return save(figure, path)


def _draw_words(axes: Axes, shown: Map, words: Sequence[str]) -> None:
    of_points = np.array(words, dtype=object)
    colours = hues(list(dict.fromkeys(words)), grey=NORMAL_WORDS)
    for place, name in enumerate(colours):
        own = shown.points[of_points == name]
        label = printable(name) if place < _MOST_NAMES else None
        axes.scatter(
            own[:, 0], own[:, 1], s=13, color=colours[name], alpha=0.65, linewidths=0, label=label
        )
    more = len(colours) - _MOST_NAMES
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        title=f"and {more} more" if more > 0 else None,
        markerscale=2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_numbers(figure: Figure, axes: Axes, shown: Map, colour: Colour) -> None:
    if colour == "time":
        numbers, words = shown.ts_ns.astype(float), "time, UTC"
    else:
        numbers, words = clipped_scores(shown.score), "score (1 = threshold)"
    order = np.argsort(numbers, kind="stable")  # high scores lie on top
    points = shown.points[order]
    drawn = axes.scatter(points[:, 0], points[:, 1], s=13, c=numbers[order], cmap="viridis")
    bar = figure.colorbar(drawn, ax=axes, pad=0.02)
    bar.set_label(words)
    if colour == "time":
        ticks = np.linspace(numbers.min(), numbers.max(), 5)
        bar.set_ticks(ticks.tolist(), labels=[_clock(int(tick)) for tick in ticks])
    else:
        known = numbers[np.isfinite(numbers)]
        ticks = np.log10([0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300])
        if len(known):
            ticks = ticks[(ticks >= known.min()) & (ticks <= known.max())]
        bar.set_ticks(ticks.tolist(), labels=[f"{10**tick:g}" for tick in ticks])


def _draw_way(axes: Axes, way: Way) -> None:
    """A line that darkens with time, an arrow on every few of its parts, and its ends named."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    points, late = way.points, np.linspace(0.25, 1.0, max(len(way.points) - 1, 1))
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    lines = LineCollection(list(pieces), cmap="Reds", linewidths=1.8, zorder=3)
    lines.set_array(late)
    lines.set_clim(0, 1)
    axes.add_collection(lines)
    every = max(1, len(pieces) // 12)
    for start, end in pieces[::every]:
        middle = start + 0.55 * (end - start)
        axes.annotate(
            "",
            xy=tuple(middle),
            xytext=tuple(start),
            arrowprops={"arrowstyle": "-|>", "color": ACCENT, "lw": 0, "mutation_scale": 13},
            zorder=4,
        )
    shades = colormaps["Reds"]
    for place, word, where in ((0, "from", -14), (-1, "to", 12)):
        axes.scatter(
            points[place, 0], points[place, 1], s=60, color=[shades(0.25 if place == 0 else 1.0)],
            edgecolors=ACCENT, zorder=5,
        )  # fmt: skip
        axes.annotate(
            f"{printable(way.sensor)} {word} {_clock(int(way.ts_ns[place]))}",
            xy=tuple(points[place]),
            xytext=(8, where),
            textcoords="offset points",
            fontsize=9,
            color=ACCENT,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.85},
            zorder=6,
            parse_math=False,
        )


def draw_windows(
    made: Made, channels: Sequence[str], units: Sequence[str], seconds: np.ndarray, path: Path
) -> Path:
    """Draw made windows over what they were made of, a panel for each channel.

    Args:
        made: the windows; of more than nine channels those that differ most are shown.
        channels: of the model.
        units: of the channels, "" where unknown.
        seconds: time of each row, [R].
        path: its ending chooses the format.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    shown = _telling(made)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(10.0, 1.6 + 2.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).reshape(-1)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    for panel, channel in zip(panels, shown, strict=False):
        _draw_channel(panel, made, seconds, channel)
        unit = f", {units[channel]}" if units[channel] else ""
        panel.set_title(
            printable(f"{channels[channel]}{unit}"), loc="left", fontsize=10, parse_math=False
        )
        panel.grid(color="#e5e8eb", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[max(0, len(shown) - columns) : len(shown)]:
        panel.set_xlabel("seconds from the window's end")
        panel.tick_params(labelbottom=True)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=1, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(printable(_title(made)), x=0.01, ha="left", fontsize=13, parse_math=False)
    return save(figure, path)


def _draw_channel(panel: Axes, made: Made, seconds: np.ndarray, channel: int) -> None:
    for colour, source in zip(_SOURCES, made.sources, strict=False):
        panel.plot(
            seconds, source.values[:, channel], color=colour, linewidth=1.1, linestyle=(0, (4, 2)),
            label=printable(source.name),
        )  # fmt: skip
    if (more := len(made.sources) - len(_SOURCES)) > 0:
        panel.plot([], [], linestyle="", label=f"and {more} more that are not drawn")
    lines = made.windows[:: max(1, -(-len(made.windows) // _MOST_LINES)), :, channel]
    if made.operation == "interpolation":
        from matplotlib import colormaps

        shades: Any = colormaps["viridis"](np.linspace(0.0, 0.92, len(lines)))
        for place, (shade, line) in enumerate(zip(shades, lines, strict=True)):
            label = "path, from the start (dark) to the end (light)" if place == 0 else None
            panel.plot(seconds, line, color=shade, linewidth=1.4, label=label)
        return
    alpha = 1.0 if len(lines) == 1 else max(0.25, 0.9 - 0.02 * len(lines))
    for place, line in enumerate(lines):
        panel.plot(
            seconds, line, color=_MADE, alpha=alpha, linewidth=2.0 if len(lines) == 1 else 1.0,
            label=_made_words(made) if place == 0 else None,
        )  # fmt: skip


def _made_words(made: Made) -> str:
    if made.operation == "near":
        assert made.numbers is not None, "windows near another have a radius"
        return f"{len(made.windows):,} made, {made.numbers[0]:g} standard deviations away"
    return {"average": "average, decoded", "arithmetic": "A - B + C, decoded"}[made.operation]


def _title(made: Made) -> str:
    words = {
        "near": "Windows near one of",
        "average": "The average window, in the units of",
        "arithmetic": "The change from B to A applied to C, a window of",
        "interpolation": "From one window to another of",
    }
    return f"{words[made.operation]} {made.sensor}"


def _telling(made: Made) -> list[int]:
    """The channels to show: all, or of too many those in which the windows differ most."""
    count = made.windows.shape[2]
    if count <= _MOST_PANELS:
        return list(range(count))
    every = np.concatenate([made.windows, np.stack([one.values for one in made.sources])])
    moved = every.std(axis=0).mean(axis=0) / np.maximum(np.abs(every).mean(axis=(0, 1)), 1e-12)
    return sorted(np.argsort(-moved, kind="stable")[:_MOST_PANELS].tolist())


def _clock(ts_ns: int) -> str:
    return short_ns(ts_ns // 10**9 * 10**9).replace("T", " ").removesuffix("Z")
