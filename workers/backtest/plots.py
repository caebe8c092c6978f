"""One picture of one sensor: what it measured, what was expected, what was flagged, what was true.

Needs matplotlib (the `plot` extra), imported only when a picture is drawn, and never a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from detector.signal.series import true_runs
from workers.pictures import new_figure, save
from workers.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEFAULT_PANELS = 4
# A line of more points than this is no more legible, only slower: pairs of extremes are drawn.
MAX_POINTS = 6_000
# Above this a score is off the picture; the axis is logarithmic.
_HIGHEST_SCORE = 1e3
_LOWEST_SCORE = 0.03
# Matplotlib has no axis for larger values.
_LARGEST = 1e30

# There is room for so many letters beside a panel, and over all of them.
_NAME_LETTERS = 28
_TITLE_LETTERS = 80

_MEASURED = "#9aa5b1"
_DENOISED = "#0b5cad"
_FLAGGED = "#d62728"
_TRUE = "#f2a900"
# By severity, the darkest the most severe.
_INCIDENTS = {"low": "#c79bd9", "medium": "#9c4dc4", "high": "#4a0072"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A stretch of time that is known to be anomalous, from its first to its last moment.

    Attributes:
        start_ns, end_ns: first and last moment.
        label: of a fault, a word or two, such as `level-shift flow`.
        severity: of an incident: low, medium or high.
    """

    start_ns: int
    end_ns: int
    label: str = ""
    severity: str = "high"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What a picture shows.

    Attributes:
        title: one line, usually the sensor and the model.
        channels: names, [C].
        units: of the channels, "" where unknown, [C].
        ts_ns: event times, increasing, [n].
        observed: measured values, NaN = missing, [n, C].
        denoised: cleaned values, NaN where not scored, [n, C].
        score: published score, NaN where not scored; 1.0 is the threshold, [n].
        incidents: as long as they were in alarm, with their severity.
        faults: what is known to be wrong; None when nothing is known, which differs from "nothing".
    """

    title: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    ts_ns: IntArray
    observed: FloatArray
    denoised: FloatArray
    score: FloatArray
    incidents: Sequence[Span] = ()
    faults: Sequence[Span] | None = None


def telling_channels(picture: Picture, *, limit: int = DEFAULT_PANELS) -> list[int]:
    """The channels that depart most from what was expected while flagged, in their own order."""
    departure = np.abs(picture.observed - picture.denoised)
    known = np.where(np.isfinite(departure), departure, 0.0)
    usual = np.median(known, axis=0)
    scale = np.where(usual > 0, usual, np.where(known.max(axis=0) > 0, known.max(axis=0), 1.0))
    flagged = picture.score >= 1.0
    rows = known[flagged] if flagged.any() else known
    lost = np.isnan(picture.observed).mean(axis=0)
    rank = np.quantile(rows / scale, 0.9, axis=0) * (1 + lost)
    return sorted(np.argsort(-rank, kind="stable")[:limit].tolist())


def draw(picture: Picture, path: Path, *, panels: Sequence[int] | None = None) -> Path:
    """Draw a picture to a file; its ending chooses the format (png, svg, pdf).

    Args:
        picture: what to show.
        path: where to; its folder is made if need be.
        panels: indices of the channels to show; by default `telling_channels`.

    Returns:
        The path.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    picture = replace(
        picture,
        observed=np.clip(picture.observed, -_LARGEST, _LARGEST),
        denoised=np.clip(picture.denoised, -_LARGEST, _LARGEST),
    )
    shown = telling_channels(picture) if panels is None else list(panels)
    figure = _blank_figure(len(shown))
    axes = figure.axes
    times = picture.ts_ns.astype("datetime64[ns]")
    for axis, channel in zip(axes, shown, strict=False):
        _draw_channel(axis, picture, times, channel)
    _draw_score(axes[-1], picture, times)
    for axis in axes:
        _shade(axis, picture)
    _label_faults(axes[0], picture)
    _finish(figure, axes, picture)
    return save(figure, path)


def _blank_figure(n_channels: int) -> Figure:
    figure = new_figure(14, 1.75 * n_channels + 3.4)
    figure.subplots(n_channels + 1, 1, sharex=True, squeeze=False)
    return figure


def _draw_channel(axis: Axes, picture: Picture, times: Any, channel: int) -> None:
    observed, denoised = picture.observed[:, channel], picture.denoised[:, channel]
    keep = _thin(observed)
    axis.plot(times[keep], observed[keep], color=_MEASURED, linewidth=0.8, label="measured")
    keep = _thin(denoised)
    axis.plot(times[keep], denoised[keep], color=_DENOISED, linewidth=1.3, label="denoised")
    unit = f"\n[{_name(picture.units[channel])}]" if picture.units[channel] else ""
    name = _name(picture.channels[channel].replace("_", " "))
    axis.set_ylabel(name + unit, parse_math=False)


def _draw_score(axis: Axes, picture: Picture, times: Any) -> None:
    score = np.clip(picture.score, _LOWEST_SCORE, _HIGHEST_SCORE)
    keep = _thin(score)
    axis.set_yscale("log")
    axis.fill_between(
        times[keep], 1.0, score[keep], where=score[keep] >= 1.0, color=_FLAGGED, alpha=0.5
    )
    axis.plot(times[keep], score[keep], color="#333333", linewidth=0.9)
    axis.axhline(1.0, color=_FLAGGED, linewidth=1.2, linestyle="--", label="threshold (score 1)")
    low, high = np.nanmin(np.append(score, 0.3)), np.nanmax(np.append(score, 3.0))
    axis.set_ylim(low * 0.8, high * 1.5)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_ylabel("anomaly score\n(threshold = 1)")


def _shade(axis: Axes, picture: Picture) -> None:
    """Flagged stretches in red, incidents as a bar along the bottom, true faults along the top."""
    for index, (start, end) in enumerate(_flagged_spans(picture)):
        axis.axvspan(
            start, end, color=_FLAGGED, alpha=0.16, linewidth=0, label="" if index else "flagged"
        )
    for severity, color in _INCIDENTS.items():
        own = [span for span in picture.incidents if span.severity == severity]
        _mark(axis, own, f"incident, {severity}", color, (0.0, 0.07))
    _mark(axis, picture.faults or (), "true fault", _TRUE, (0.93, 1.0))


def _mark(
    axis: Axes, spans: Sequence[Span], name: str, color: str, height: tuple[float, float]
) -> None:
    for index, span in enumerate(spans):
        axis.axvspan(
            np.datetime64(span.start_ns, "ns"),  # type: ignore[arg-type]
            np.datetime64(span.end_ns, "ns"),  # type: ignore[arg-type]
            *height,
            color=color,
            linewidth=0,
            label="" if index else name,
        )


def _label_faults(axis: Axes, picture: Picture) -> None:
    """Names of the true faults over the top panel, on two levels so that neighbours differ."""
    for index, span in enumerate(picture.faults or ()):
        middle = np.datetime64((span.start_ns + span.end_ns) // 2, "ns")
        axis.annotate(
            _name(span.label),
            (middle, 1.0),
            parse_math=False,
            xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 11 * (index % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color="#8a6100",
        )


def _finish(figure: Figure, axes: Sequence[Axes], picture: Picture) -> None:
    from matplotlib import dates as untyped

    dates: Any = untyped
    locator = dates.AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes[-1].set_xlabel("event time, UTC")
    for axis in axes:
        axis.margins(x=0.005, y=0.12)  # room for the bar of true faults
        axis.grid(color="#e5e8eb", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles = {
        label: handle
        for axis in (axes[0], axes[-1])
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.align_ylabels()
    title = _name(picture.title, most=_TITLE_LETTERS)
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, parse_math=False)
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False
    )


def _name(text: str, *, most: int = _NAME_LETTERS) -> str:
    """A name as it can be drawn: on one line, and no longer than there is room for."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _flagged_spans(picture: Picture) -> list[tuple[Any, Any]]:
    """Flagged stretches as times, half an interval wider on both sides so that one row shows."""
    steps = np.diff(picture.ts_ns)
    half = int(np.median(steps)) // 2 if len(steps) else 500_000_000
    return [
        (
            np.datetime64(int(picture.ts_ns[start]) - half, "ns"),
            np.datetime64(int(picture.ts_ns[end - 1]) + half, "ns"),
        )
        for start, end in true_runs(picture.score >= 1.0)
    ]


def _thin(values: FloatArray) -> IntArray:
    """Rows to draw: all, or of each stretch the lowest, the highest and any gap."""
    n = len(values)
    if n <= MAX_POINTS:
        return np.arange(n)
    rows = np.array_split(np.arange(n), MAX_POINTS // 2)
    lowest = [part[np.argmin(np.nan_to_num(values[part], nan=np.inf))] for part in rows]
    highest = [part[np.argmax(np.nan_to_num(values[part], nan=-np.inf))] for part in rows]
    gaps = [part[np.argmax(np.isnan(values[part]))] for part in rows]
    return np.unique(np.concatenate([lowest, highest, gaps]))
