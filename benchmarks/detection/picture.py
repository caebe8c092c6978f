"""A picture of one series: its most telling channels, scores, events and incidents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.detection.baselines.base import Scaling, filled
from benchmarks.detection.detector import Scored
from benchmarks.detection.series import LabelledSeries
from detector.signal.series import true_runs

MOST_CHANNELS = 3
MOST_POINTS = 4_000
_LOWEST, _HIGHEST = 1e-2, 1e2


def telling_channels(series: LabelledSeries) -> list[int]:
    """The channels that are furthest off in events; in all rows after training if there is none."""
    rows = filled(series.rows)
    scaled = np.abs(Scaling.fit(rows[: series.n_train]).apply(rows))
    where = series.labels & series.alarm_judged
    if not where.any():
        where = series.alarm_judged
    order: list[int] = np.argsort(-scaled[where].mean(axis=0), kind="stable").tolist()
    return order[:MOST_CHANNELS]


def draw(series: LabelledSeries, scored: Mapping[str, Scored], folder: Path) -> Path:
    """Write `set--series.png` into the folder: events are shaded, incidents are bars."""
    from matplotlib.figure import Figure

    channels = telling_channels(series)
    figure = Figure(figsize=(14, 1.6 * (len(channels) + len(scored))), layout="constrained")
    panels = figure.subplots(len(channels) + len(scored), 1, sharex=True, squeeze=False)[:, 0]
    step = max(1, len(series.rows) // MOST_POINTS)
    at = np.arange(0, len(series.rows), step)
    for panel, channel in zip(panels, channels, strict=False):
        panel.plot(at, series.rows[::step, channel], linewidth=0.6)
        panel.set_ylabel(f"channel {channel}")
    for panel, (name, one) in zip(panels[len(channels) :], scored.items(), strict=True):
        # The highest score of each step: a thinned line would lose short alarms.
        highest = np.maximum.reduceat(one.score, at)
        panel.semilogy(at, np.clip(highest, _LOWEST, _HIGHEST), linewidth=0.6)
        panel.axhline(1.0, color="black", linewidth=0.5)
        for start, end in one.alarms:
            panel.axvspan(start, end, ymin=0.92, color="tab:red", linewidth=0.5)
        panel.set_ylabel(name)
    for panel in panels:
        panel.axvline(series.n_train, color="tab:green", linewidth=1.0)
        for start, end in true_runs(series.labels):
            panel.axvspan(start, end, color="tab:orange", alpha=0.3, linewidth=0)
    figure.suptitle(f"{series.set}: {series.name} (left of the green line: training)")
    name = re.sub(r"[^\w.-]+", "_", f"{series.set}--{series.name}")
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=100)
    return path
