"""What cleaning was expected to do to each channel, and what it did to the rows of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.scoring import Detector
from workers.denoise.cleaning import CleanedSensor


@dataclass(frozen=True, kw_only=True)
class ChannelNoise:
    """What training found of a channel, of the usual sensor.

    Attributes:
        noise: standard deviation of its white noise, channel units; 0 = none.
        gain_db: expected error of a clean value under the noise's, by mode ("causal", "settled").
        bound_db: what no linear filter of this channel alone can beat, by mode.
        impulsive: single rows that leap away and come back are noise.
    """

    channel: str
    unit: str
    noise: float
    gain_db: Mapping[str, float]
    bound_db: Mapping[str, float]
    impulsive: bool

    def from_bound_db(self, mode: str) -> float | None:
        """Expected gain less the bound: above 0 where the other channels help beyond it."""
        if not self.noise or mode not in self.gain_db or mode not in self.bound_db:
            return None
        return round(self.gain_db[mode] - self.bound_db[mode], 2)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What cleaning took from one channel of the files.

    Attributes:
        rms: root mean square of reading less clean value, channel units.
        share: its square over the variance of the noise; None where there is no noise.
        filled: missing values that have a predicted one now.
    """

    rms: float
    share: float | None
    filled: int


@dataclass(frozen=True, kw_only=True)
class NoiseAccount:
    """What a training says of noise.

    Attributes:
        why: there is nothing to clean, and the reason; "" otherwise.
        lag: rows between a settled reading and the newest one; 0: there are no settled values.
        lag_s: the same in seconds.
    """

    why: str
    lag: int
    lag_s: float
    channels: Sequence[ChannelNoise]


def noise_account(detector: Detector) -> NoiseAccount:
    """What a model's training says of noise."""
    told: Mapping[str, Any] = detector.identity.training.get(
        "denoising", {"why": "the model is older than the denoiser: train it again"}
    )
    if "why" in told:
        return NoiseAccount(why=str(told["why"]), lag=0, lag_s=0.0, channels=())
    channels = [
        ChannelNoise(
            channel=channel,
            unit=unit,
            noise=float(told["noise"][place]),
            gain_db=_by_mode(told, "gain_db", place),
            bound_db=_by_mode(told, "bound_db", place),
            impulsive=bool(told["impulsive"][place]),
        )
        for place, (channel, unit) in enumerate(zip(detector.channels, detector.units, strict=True))
    ]
    return NoiseAccount(why="", lag=int(told["lag"]), lag_s=float(told["lag_s"]), channels=channels)


def _by_mode(told: Mapping[str, Any], name: str, place: int) -> dict[str, float]:
    return {
        mode: float(told[f"{mode}_{name}"][place])
        for mode in ("causal", "settled")
        if f"{mode}_{name}" in told
    }


def removed_by_channel(
    sensors: Sequence[CleanedSensor], account: NoiseAccount, *, channels: int
) -> list[Removed]:
    """What was taken from each channel, over all rows that were cleaned."""
    found = []
    for place in range(channels):
        gone = np.concatenate([np.zeros(0), *(one.removed[:, place] for one in sensors)])
        known = gone[np.isfinite(gone)]
        rms = float(np.sqrt(np.mean(np.square(known)))) if len(known) else 0.0
        noise = account.channels[place].noise if account.channels else 0.0
        found.append(
            Removed(
                rms=rms,
                share=(rms / noise) ** 2 if noise else None,
                filled=sum(
                    int((np.isnan(one.observed) & np.isfinite(one.clean))[:, place].sum())
                    for one in sensors
                ),
            )
        )
    return found
