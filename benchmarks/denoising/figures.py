"""The figures of one trial: gains of every family and ours, and how far the bounds are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import welch

from benchmarks.denoising.baselines import Family, carried, families
from benchmarks.denoising.noises import CLEAN, Trial
from benchmarks.denoising.ours import FIELD, Ours

FloatArray = npt.NDArray[np.float64]

BEHIND = 128
"""Rows at the end of a record that are not scored: a settled value waits for them."""
_SEGMENT = 2048
_LEAST = 1e-30
OURS, SETTLED = "ours", "ours, settled"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was made of one trial.

    Attributes:
        trial: rows and truth.
        ours: the view.
        places: rows that are scored.
        cleaned: of each family and ours, the measured channels, [n, C'].
        tuned: parameters of each family by channel.
        families: by name.
    """

    trial: Trial
    ours: Ours
    places: npt.NDArray[np.int64]
    cleaned: dict[str, FloatArray]
    tuned: dict[str, list[tuple[Any, ...]]]
    families: dict[str, Family]


def fit(trial: Trial, *, seed: int) -> Fitted:
    """Ours from the noisy training part, the others tuned on it with its truth; all applied."""
    signal, rows = trial.signal, trial.rows
    cut, channels = signal.cut, signal.channels
    places = np.arange(max(cut, FIELD + BEHIND), len(rows) - BEHIND)
    ours = Ours.fit(rows[:cut], seed=seed)
    causal, settled = ours.clean(rows, places)
    cleaned, tuned = {OURS: causal[:, channels], SETTLED: settled[:, channels]}, {}
    every = families(rows[:cut])
    for family in every:
        tuned[family.name] = [
            family.tuned(rows[:cut], signal.clean[:cut], channel) for channel in channels
        ]
        columns = [
            family.apply(rows, channel, *parameters)[places]
            for channel, parameters in zip(channels, tuned[family.name], strict=True)
        ]
        cleaned[family.name] = np.stack(columns, axis=1)
    return Fitted(
        trial=trial,
        ours=ours,
        places=places,
        cleaned=cleaned,
        tuned=tuned,
        families={family.name: family for family in every},
    )


def figures(fitted: Fitted) -> dict[str, Any]:
    """Gains in dB by channel (of a clean real signal: the error over the signal's variance)."""
    trial, channels = fitted.trial, fitted.trial.signal.channels
    truth = trial.signal.clean[fitted.places][:, channels]
    noisy = np.stack([carried(trial.rows[:, one]) for one in channels], axis=1)[fitted.places]
    before = ((noisy - truth) ** 2).mean(axis=0)
    against = trial.kind != CLEAN or trial.signal.measured is not None
    if not against:
        before = trial.signal.deviation[channels] ** 2
    found: dict[str, Any] = {
        "gain": {
            name: decibel(before, ((one - truth) ** 2).mean(axis=0)).tolist()
            for name, one in fitted.cleaned.items()
        },
        "relative": against,
        "lag": fitted.ours.lag,
    }
    if trial.white is not None:
        true = wiener(trial.signal.clean[:, channels], trial.white[channels])
        found["bound"] = {name: one.tolist() for name, one in true.items()}
        summary = fitted.ours.summary
        if fitted.ours.view is not None:
            found["told"] = {
                name: np.array(summary[name])[channels].tolist()
                for name in summary
                if name.endswith("_db")
            }
            noise = np.array(summary["noise"])[channels]
            found["noise"] = (noise / np.sqrt(trial.white[channels])).tolist()
    return found


def decibel(before: FloatArray, after: FloatArray) -> FloatArray:
    """10 lg of the ratio of two error variances; both are told apart down to 1e-30."""
    gain: FloatArray = 10 * np.log10(np.maximum(before, _LEAST) / np.maximum(after, _LEAST))
    return gain


def wiener(clean: FloatArray, white: FloatArray) -> dict[str, FloatArray]:
    """Best gains of a linear filter of one channel, from its true spectrum and noise, dB.

    Without delay R (1 - exp(-mean ln(1 + S/R))) (Yovits and Jackson 1955), with the whole future
    mean S R / (S + R) (Wiener 1949).
    """
    size = min(_SEGMENT, len(clean) // 8)
    _, power = welch(clean, nperseg=size, axis=0, return_onesided=False, detrend="linear")
    ratio = power / np.maximum(white, _LEAST)
    causal = -np.expm1(-np.log1p(ratio).mean(axis=0))
    smoother = (ratio / (1 + ratio)).mean(axis=0)
    one = np.ones_like(causal)
    return {"causal": decibel(one, causal), "smoother": decibel(one, smoother)}
