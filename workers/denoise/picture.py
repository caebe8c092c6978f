"""A picture of readings before and after: raw values behind, clean ones in front.

Needs matplotlib (the `plot` extra), imported only when a picture is drawn, and never a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.scoring import Detector
from workers.data.history import FloatArray
from workers.denoise.account import ChannelNoise, NoiseAccount
from workers.denoise.cleaning import CleanedSensor
from workers.pictures import new_figure, save
from workers.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 6
STRETCH_ROWS = 240
_ENOUGH_NOISES = 12.0
"""A clean signal that moves by so many noise deviations shows both itself and the noise."""
_RAW, _CLEAN = "#8a949e", "#0072b2"
_NAME_LETTERS = 28


def draw(
    sensors: Sequence[CleanedSensor], detector: Detector, account: NoiseAccount, path: Path
) -> Path:
    """Draw the most telling stretch of a sensor to a file; its ending chooses the format.

    A panel for each channel, at most six, those with most noise for how much they move; the
    stretch is the one in which the clean signal moves, but not by so much that the noise is
    invisible.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    noise = np.array([one.noise for one in account.channels] or [0.0] * len(detector.channels))
    one, start = _telling(sensors, noise)
    stretch = slice(start, start + STRETCH_ROWS)
    shown = _noisiest(one, stretch, noise)
    figure = _figure(len(shown))
    times: Any = one.ts_ns[stretch].astype("datetime64[ns]")
    for axes, channel in zip(figure.axes, shown, strict=True):
        told = account.channels[channel] if account.channels else None
        _panel(axes, times, one.observed[stretch, channel], one.clean[stretch, channel])
        unit = f" [{detector.units[channel]}]" if detector.units[channel] else ""
        name = _short(detector.channels[channel].replace("_", " "))
        axes.set_title(name + unit, loc="left", fontsize=10, parse_math=False)
        axes.set_title(_told(told, one), loc="right", fontsize=9, color="#566270")
    _finish(figure, detector, one)
    return save(figure, path)


def _telling(sensors: Sequence[CleanedSensor], noise: FloatArray) -> tuple[CleanedSensor, int]:
    """The sensor and the first row of what is drawn."""
    best, found = -1.0, (max(sensors, key=len), 0)
    for one in sensors:
        for start in range(0, max(len(one) - STRETCH_ROWS, 0) + 1, STRETCH_ROWS // 2):
            part = slice(start, start + STRETCH_ROWS)
            moves = _range(one.clean[part]) / np.where(noise > 0, noise, np.inf)
            # More than enough hides the noise again.
            shown = np.minimum(moves, _ENOUGH_NOISES**2 / np.maximum(moves, 1e-9)).sum()
            rank = float(one.cleaned[part].sum() * (1e-9 + shown))
            if rank > best:
                best, found = rank, (one, start)
    return found


def _noisiest(one: CleanedSensor, stretch: slice, noise: FloatArray) -> list[int]:
    """The channels with most noise for how much they move, in their own order."""
    moves = _range(one.clean[stretch])
    rank = np.where(noise > 0, noise / np.maximum(moves, noise * 1e-3 + 1e-300), 0.0)
    return sorted(np.argsort(-rank, kind="stable")[:MAX_PANELS].tolist())


def _range(values: FloatArray) -> FloatArray:
    """Largest less smallest value of each channel; 0 where there is none."""
    known = np.isfinite(values)
    high = np.where(known, values, -np.inf).max(axis=0)
    low = np.where(known, values, np.inf).min(axis=0)
    return np.where(known.any(axis=0), high - low, 0.0)


def _figure(panels: int) -> Figure:
    figure = new_figure(9.0, 1.3 + 1.55 * panels)
    figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure


def _panel(axes: Axes, times: Any, observed: FloatArray, clean: FloatArray) -> None:
    axes.plot(
        times, observed, color=_RAW, linewidth=0.8, marker=".", markersize=2.5, label="as read"
    )
    axes.plot(times, clean, color=_CLEAN, linewidth=1.8, label="cleaned")
    axes.tick_params(labelsize=8)
    axes.grid(color="#e5e8eb", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.005)
    axes.spines[["top", "right"]].set_visible(False)


def _told(told: ChannelNoise | None, one: CleanedSensor) -> str:
    """Noise and expected gain of a channel, in a few words."""
    if told is None or not told.noise:
        return "no noise found: as it came"
    gain = told.gain_db.get("settled" if one.settled.any() else "causal", 0.0)
    unit = f" {_short(told.unit)}" if told.unit else ""
    return f"noise {told.noise:.3g}{unit}, expected {gain:.1f} dB less".replace("$", r"\$")


def _finish(figure: Figure, detector: Detector, one: CleanedSensor) -> None:
    from matplotlib import dates as untyped

    dates: Any = untyped
    last = figure.axes[-1]
    locator = dates.AutoDateLocator()
    last.xaxis.set_major_locator(locator)
    last.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    last.set_xlabel("event time, UTC", fontsize=9)
    how = "with hindsight" if one.settled.any() else "without delay"
    title = f"{_short(one.sensor)}, cleaned {how} by {_short(detector.name)}@{detector.version}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)


def _short(text: str) -> str:
    """A name as it can be drawn: on one line, and no longer than there is room for."""
    text = printable(text)
    return text if len(text) <= _NAME_LETTERS else f"{text[: _NAME_LETTERS - 1]}…"
