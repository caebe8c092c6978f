"""Load, lag and workers over time, on a ground of its own: readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.pictures import new_figure, save

_OVER_S = 5.0
_INK, _LOAD, _DONE, _LAG, _WORKERS = "#1f2933", "#0b6e99", "#2f8f4e", "#b4481e", "#5b3f8c"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at `/status`.

    Attributes:
        at_s: since the first step began.
        step: which; -1 before the first.
        rate: readings a second that were to be sent.
        sent, done: readings so far.
        lag: records not yet read.
        wanted, present: ingest workers.
    """

    at_s: float
    step: int
    rate: float
    sent: int
    done: int
    lag: int
    wanted: int
    present: int


def draw(samples: Sequence[Sample], path: Path) -> Path:
    """Draw them; the path's ending chooses the format."""
    at_s = np.array([sample.at_s for sample in samples])
    done = np.array([sample.done for sample in samples], float)
    figure = new_figure(8.0, 5.6)
    figure.patch.set_facecolor("white")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    top.step(at_s, [s.rate for s in samples], where="post", color=_LOAD, label="sent", lw=2)
    top.plot(at_s, rate_of(at_s, done), color=_DONE, label="scored and published", lw=1.5)
    top.set_ylabel("readings/s")
    top.legend(loc="upper left", frameon=False)
    middle.fill_between(at_s, [s.lag for s in samples], color=_LAG, alpha=0.35, lw=0)
    middle.plot(at_s, [s.lag for s in samples], color=_LAG, lw=1.5)
    middle.set_ylabel("lag, records")
    bottom.step(at_s, [s.wanted for s in samples], where="post", color=_WORKERS, ls=":", lw=2)
    bottom.step(at_s, [s.present for s in samples], where="post", color=_WORKERS, lw=2)
    bottom.set_ylabel("ingest workers\n(dotted: wanted)")
    bottom.set_yticks(range(max(s.wanted for s in samples) + 2))
    bottom.set_xlabel("seconds")
    for axes in (top, middle, bottom):
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
        axes.tick_params(colors=_INK)
        axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def rate_of(at_s: np.ndarray, done: np.ndarray) -> np.ndarray:
    """Readings a second over the last seconds, at each moment."""
    since = np.maximum(at_s - _OVER_S, at_s[0])
    before = np.interp(since, at_s, done)
    spans = np.maximum(at_s - since, 1e-9)
    rates: np.ndarray = np.where(at_s > at_s[0], (done - before) / spans, 0.0)
    return rates
