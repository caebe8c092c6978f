"""The picture: gain over signal-to-noise ratio, and one stretch before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.denoising.figures import OURS, SETTLED, Fitted
from benchmarks.denoising.noises import WHITE_DB
from workers.plant.physics import CHANNELS

_LINES = {
    OURS: ("tab:blue", "-"),
    "EWMA": ("tab:orange", "--"),
    "Kalman trend": ("tab:red", "--"),
    SETTLED: ("tab:green", "-"),
    "RTS trend": ("tab:purple", "--"),
    "BayesShrink": ("tab:gray", "--"),
}
_ROWS = 400
_CHANNEL = 1


def draw(path: Path, found: list[dict[str, Any]], example: Fitted) -> None:
    """Write it.

    Args:
        path: of the PNG.
        found: figures of all trials.
        example: that the stretch is from, a plant.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    above, below = figure.subplots(2, 1)
    name = example.trial.signal.name
    for arm, (colour, style) in _LINES.items():
        gains = [
            np.mean(
                [
                    np.mean(one["gain"][arm])
                    for one in found
                    if one["signal"] == name and one["kind"] == f"{level} dB"
                ]
            )
            for level in WHITE_DB
        ]
        above.plot(WHITE_DB, gains, color=colour, linestyle=style, marker="o", label=arm)
    above.set(
        title=f"Gain over the noisy input ({name})",
        xlabel="signal-to-noise ratio of the input, dB",
        ylabel="gain, dB",
    )
    above.legend(fontsize=8)
    above.grid(alpha=0.3)
    channel, rows = CHANNELS[_CHANNEL], example.places[:_ROWS]
    noisy, clean = example.trial.rows[rows, _CHANNEL], example.trial.signal.clean[rows, _CHANNEL]
    below.plot(rows, noisy, ".", color="0.75", markersize=4, label="noisy input, 10 dB")
    below.plot(rows, clean, color="black", linewidth=2, label="truth")
    for arm, title in ((OURS, "ours, causal"), (SETTLED, SETTLED)):
        cleaned = example.cleaned[arm][:_ROWS, _CHANNEL]
        below.plot(rows, cleaned, color=_LINES[arm][0], linewidth=1.2, label=title)
    below.set(
        title="Before and after",
        xlabel="row",
        ylabel=f"{channel.name}, {channel.unit}",
    )
    below.legend(fontsize=8)
    figure.savefig(path, dpi=110)
