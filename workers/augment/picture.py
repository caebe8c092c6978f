"""A picture of what was made: of each class some windows that were read, over some that were made.

Needs matplotlib (the `plot` extra), imported only when a picture is drawn, and never a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detector.scoring import Detector
from workers.augment.augment import ClassOutcome
from workers.augment.labelled import Labelled
from workers.augment.windows import values_of
from workers.data.history import FloatArray
from workers.pictures import new_figure, save
from workers.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CLASSES = 6
MAX_CHANNELS = 3
MAX_LINES = 8
_READ, _MADE = "#8a949e", "#0072b2"
_NAME_LETTERS = 24


def draw(
    detector: Detector, labelled: Labelled, outcomes: Sequence[ClassOutcome], path: Path
) -> Path:
    """Draw the first classes of which windows were made; the ending chooses the format.

    A row a class, with the channels in which its windows lie farthest from what is usual.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    shown = [one for one in outcomes if one.count][:MAX_CLASSES]
    columns = min(MAX_CHANNELS, len(detector.channels))
    figure = new_figure(9.0, 1.0 + 1.9 * max(1, len(shown)))
    panels = figure.subplots(max(1, len(shown)), columns, squeeze=False, sharex=True)
    for number, outcome in enumerate(shown):
        assert outcome.made is not None  # one.count says so
        read = values_of(labelled, outcome.places, detector)
        channels = _telling(detector, read)[:columns]
        for axes, channel in zip(panels[number], channels, strict=True):
            _panel(axes, read[:, :, channel], outcome.made.windows[:, :, channel])
            unit = f" ({detector.units[channel]})" if detector.units[channel] else ""
            name = detector.channels[channel][:_NAME_LETTERS] + unit
            axes.set_title(printable(name), loc="left", fontsize=9, parse_math=False)
        label = printable(outcome.label or "all rows")[:_NAME_LETTERS]
        said = f"{label}\n{len(outcome.places):,} read, {outcome.count:,} made"
        panels[number][0].set_ylabel(said, fontsize=9, parse_math=False)
    for axes in panels[-1]:
        axes.set_xlabel("row of the window", fontsize=9)
    figure.suptitle(
        "Windows that were read (grey) and made of them (blue)", x=0.01, ha="left", fontsize=12
    )
    return save(figure, path)


def _telling(detector: Detector, read: FloatArray) -> list[int]:
    """Channels, that with the values farthest from the training's centre first."""
    scaler = detector.signal.scaler
    away = np.abs((read - scaler.center[0]) / scaler.scale[0])
    sizes = np.nan_to_num(away).mean(axis=(0, 1))
    return [int(channel) for channel in np.argsort(-sizes, kind="stable")]


def _panel(axes: Axes, read: FloatArray, made: FloatArray) -> None:
    for lines, colour, width in ((_some(read), _READ, 1.6), (_some(made), _MADE, 0.9)):
        for line in lines:
            axes.plot(line, color=colour, linewidth=width, alpha=0.75)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e5e8eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _some(lines: FloatArray) -> FloatArray:
    """At most `MAX_LINES`, evenly picked."""
    picked = np.linspace(0, len(lines) - 1, min(MAX_LINES, len(lines))).astype(np.int64)
    return lines[picked]
