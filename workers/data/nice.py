"""Intervals that people would choose. Pure."""

from __future__ import annotations

import numpy as np

from workers.data.layout import Resample

_NICE_S = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120,
    300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
)  # fmt: skip


def nice(interval_ns: float) -> Resample:
    """An interval of about that length."""
    seconds = interval_ns / 1e9
    best = min(_NICE_S, key=lambda one: abs(np.log(one / seconds)))
    if seconds > max(_NICE_S):
        best = round(seconds / max(_NICE_S)) * max(_NICE_S)
    return Resample(round(best * 1e9))


def resampled(interval_ns: float) -> dict[str, object]:
    """The key of a layout that makes rows at such an interval."""
    return {"resample": str(nice(interval_ns)).removesuffix(":mean")}
