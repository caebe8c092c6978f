"""How much of a step or a spike is left in the cleaned signal.

An event is added to noisy test rows; what the cleaned signal changes by is what is left of it, the
noise being the same in both. The reading itself would keep all of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.denoising.figures import BEHIND, OURS, SETTLED, Fitted
from benchmarks.denoising.ours import FIELD

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HEIGHTS = (2.0, 3.0, 5.0, 8.0, 10.0)
SPIKES = (1, 2, 3, 5, 10)
_STEP_ROWS = 8
"""Within which a step must have passed."""
_BEFORE = FIELD + 44
_RIVALS = ("EWMA", "RTS trend")


def retention(fitted: Fitted, *, per_case: int, seed: int) -> list[dict[str, Any]]:
    """Height kept, one entry per kind and arm: median, fifth percentile and worst of all events.

    Steps: in the first row, and in the best of the first eight. Spikes of some rows: in the best.
    Heights of 2 to 10 signal deviations, both signs, in one channel at a time.
    """
    lag = fitted.ours.lag
    lengths = sorted({*SPIKES, lag + 1, 2 * lag} if lag else SPIKES)
    found = []
    cases = {"step": _STEP_ROWS + lag, **{f"spike of {rows}": rows for rows in lengths}}
    for case, rows in cases.items():
        kept = _kept(fitted, rows, case == "step", per_case=per_case, seed=seed)
        for name, one in kept.items():
            looks = {"first row": one[:, :1], "best of 8": one[:, :_STEP_ROWS]}
            for look, heights in (looks if case == "step" else {"best row": one}).items():
                best = heights.max(axis=1)
                found.append(
                    {
                        "event": f"{case}, {look}" if case == "step" else case,
                        "rows": rows,
                        "arm": name,
                        "median": float(np.median(best)),
                        "p5": float(np.quantile(best, 0.05)),
                        "worst": float(best.min()),
                        "lag": lag,
                    }
                )
    return found


def _kept(
    fitted: Fitted,
    rows: int,
    stays: bool,  # noqa: FBT001
    *,
    per_case: int,
    seed: int,
) -> dict[str, FloatArray]:
    """Of every arm what is left of each event, by row of it, [events, rows]."""
    signal = fitted.trial.signal
    generator = np.random.default_rng([seed, rows])
    kept: dict[str, list[FloatArray]] = {}
    last = len(fitted.trial.rows) - rows - BEHIND
    for place, height in itertools.product(range(len(signal.channels)), HEIGHTS):
        channel = int(signal.channels[place])
        for start in generator.integers(signal.cut + _BEFORE, last, per_case):
            before = fitted.trial.rows[start - _BEFORE : start + rows + BEHIND]
            after = before.copy()
            size = height * signal.deviation[channel] * generator.choice([-1.0, 1.0])
            after[_BEFORE : None if stays else _BEFORE + rows, channel] += size
            own = np.arange(_BEFORE, _BEFORE + rows)
            for name, arm in _arms(fitted, place, own).items():
                kept.setdefault(name, []).append((arm(after) - arm(before)) / size)
    return {name: np.stack(events) for name, events in kept.items()}


def _arms(
    fitted: Fitted, place: int, own: IntArray
) -> dict[str, Callable[[FloatArray], FloatArray]]:
    channel = int(fitted.trial.signal.channels[place])

    def ours(rows: FloatArray) -> FloatArray:
        return fitted.ours.clean(rows, own)[0][:, channel]

    def settled(rows: FloatArray) -> FloatArray:
        return fitted.ours.clean(rows, own)[1][:, channel]

    def rival(name: str) -> Callable[[FloatArray], FloatArray]:
        family, parameters = fitted.families[name], fitted.tuned[name][place]
        return lambda rows: family.apply(rows, channel, *parameters)[own]

    return {OURS: ours, SETTLED: settled, **{name: rival(name) for name in _RIVALS}}
