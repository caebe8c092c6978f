"""How much of the difference between a reading and its prediction is taken for noise.

With f the prediction, x the reading and d = x - f, the clean value is x - share * trust * d. Where
the noise in x has variance s^2 and is independent of f, E d^2 = e^2 + s^2, and share = 1 - K with
K = e^2 / (e^2 + s^2): a Kalman update with a learned predictor. Its error, e^2 s^2 / (e^2 + s^2),
lies below that of the reading and of the prediction.

*Trust* falls from 1 to 0 where d is larger than noise is, and where the context shows that
something changes (the checks): a step or a fault passes as it came.

No clean signal is needed to fit it: for a correction phi of the reading, the error is
s^2 - 2 s^2 E phi' + E phi^2 (Stein 1981), whatever the prediction is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

from detector.signal.denoising import usual_power

CUTS = {4.5: 1e-5, 4.0: 1.3e-4, 3.5: 1.1e-3, 3.0: 7.7e-3}
"""Candidates for the largest difference that is noise alone, in usual differences, and the part
of normal noise that trust lets pass: the mean of d^2 (1 - trust)^2 over that of d^2."""
LIMITS = (2.5, 3.0, 4.0, 6.0)
"""Candidates for the largest check that shows no change, in usual ones."""
_HARMLESS = 0.5
"""Of the noise: a check below it shows nothing that could mislead as much as the noise does."""
_STEP = 0.1
"""Of the noise: the change of a reading from which a derivative is taken."""
_WORSE = 0.02
"""By so much of it may an error be larger for a narrower cut or limit: a fault passes sooner."""
_UNSURE = 0.15
"""Of a noise variance, that its estimate may be in error by."""
_PRIOR = 200.0
"""Readings of all sensors that a sensor's own are weighed against."""
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Differences and checks of readings that one group is fitted on, scaled units.

    Attributes:
        difference: reading less prediction; NaN = missing.
        checks: see `BlindSpot`.
        variance: of the white noise in each channel.
    """

    difference: Float32[np.ndarray, "n channels"]
    checks: Float32[np.ndarray, "n checks channels"]
    variance: Float64[np.ndarray, " channels"]


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The mix of each calibration group.

    Attributes:
        share: 1 - K, 0 (publish the reading) .. 1 (publish the prediction).
        cut: differences up to this are noise, a quarter larger ones are not.
        limit: checks up to this show no change, half as large again they do.
    """

    share: Float32[Tensor, "groups channels"]
    cut: Float32[Tensor, "groups channels"]
    limit: Float32[Tensor, "groups checks channels"]

    def shares(
        self,
        difference: Float[Tensor, "n channels"],
        checks: Float[Tensor, "n checks channels"],
        groups: Int[Tensor, " n"],
    ) -> Float[Tensor, "n channels"]:
        """The part of each difference that is taken away."""
        trust = _trust(difference, checks, self.cut[groups], self.limit[groups])
        return trust.mul_(self.share[groups])

    def to(self, device: torch.device) -> "Blend":
        """The same on a device."""
        parts = (self.share, self.cut, self.limit)
        share, cut, limit = (one.to(device) for one in parts)
        return Blend(share=share, cut=cut, limit=limit)


def fit_blend(
    samples: Sequence[Sample], leak: Float64[np.ndarray, "checks channels"]
) -> tuple[Blend, Float64[np.ndarray, "groups channels"]]:
    """The mix of least expected error.

    Cut and limit, in usual differences and checks, are chosen for all groups together.

    Args:
        samples: of each group, that of all sensors first.
        leak: weight of the reading itself in each check.

    Returns:
        The mix, and its expected error as a share of the noise variance (1 where there is none),
        never less than so many samples can show.
    """
    first = samples[0]
    usual = [np.maximum(_usual(one.difference), _TINY) for one in samples]
    flat = [one.checks.reshape(len(one.checks), -1) for one in samples]
    scales = [np.maximum(_usual(one), _TINY).reshape(leak.shape) for one in flat]
    harmless = [_HARMLESS * np.sqrt(one.variance) for one in samples]
    widest, least = _limits(first, usual[0], scales[0], leak)
    narrow = np.full(len(least), next(iter(CUTS)))
    for cut, passing in CUTS.items():
        narrow[passing <= _WORSE * least] = cut
    cuts = np.stack([narrow * one for one in usual])
    limits = np.stack(
        [np.maximum(widest * one, low) for one, low in zip(scales, harmless, strict=True)]
    )
    mixes = [
        _mix(one, cut, limit, leak) for one, cut, limit in zip(samples, cuts, limits, strict=True)
    ]
    shares = np.stack([share for share, _ in mixes])
    own = np.stack([np.isfinite(one.difference).sum(axis=0) for one in samples])
    noisy = np.stack([one.variance > 0 for one in samples])
    # Of a few readings alone a share is a guess.
    weighed = (own * shares + _PRIOR * shares[0]) / (own + _PRIOR)
    blend = Blend(
        share=torch.from_numpy(np.where(noisy, weighed, 0.0).astype(np.float32)),
        cut=torch.from_numpy(cuts.astype(np.float32)),
        limit=torch.from_numpy(limits.astype(np.float32)),
    )
    errors = [
        np.clip(error, _shown(one), 1.0) for one, (_, error) in zip(samples, mixes, strict=True)
    ]
    return blend, np.stack(errors)


def _limits(
    sample: Sample,
    usual: Float64[np.ndarray, " channels"],
    scale: Float64[np.ndarray, "checks channels"],
    leak: Float64[np.ndarray, "checks channels"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """The narrowest limit that costs next to nothing, and the least error.

    The cut is not chosen so: too few differences are that large for a derivative.
    """
    shown = _shown(sample)
    chosen, least = np.full((2, len(usual)), np.inf)
    for limit in reversed(LIMITS):
        bounds = np.maximum(limit * scale, _HARMLESS * np.sqrt(sample.variance))
        _, error = _mix(sample, max(CUTS) * usual, bounds, leak)
        chosen[~(error > least + _WORSE * np.maximum(least, shown))] = limit
        least = np.minimum(least, error)
    return chosen, np.maximum(least, shown)


def _shown(sample: Sample) -> Float64[np.ndarray, " channels"]:
    """Relative deviation of a mean of so many squares."""
    count: Float64[np.ndarray, " channels"] = np.isfinite(sample.difference).sum(axis=0)
    deviation: Float64[np.ndarray, " channels"] = np.sqrt(2 / np.maximum(count, 1))
    return deviation


def _mix(
    sample: Sample,
    cut: Float64[np.ndarray, " channels"],
    limit: Float64[np.ndarray, "checks channels"],
    leak: Float64[np.ndarray, "checks channels"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """The share of least estimated error, and that error over the noise variance."""
    step = _STEP * np.sqrt(sample.variance)
    values = []
    for side in (0.0, -step, step):
        difference = torch.from_numpy((sample.difference + side).astype(np.float32))
        checks = torch.from_numpy((sample.checks + leak * side).astype(np.float32))
        wide = torch.from_numpy(cut.astype(np.float32)), torch.from_numpy(limit.astype(np.float32))
        moved = difference * _trust(difference, checks, *wide)
        values.append(moved.double().numpy())
    noisy = sample.variance > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.isfinite(values[0]).sum(axis=0)
        slope = np.nansum(values[2] - values[1], axis=0) / count / (2 * step)
        power = np.nansum(values[0] ** 2, axis=0) / count / sample.variance
        share = np.clip(slope / power, 0.0, 1.0)
        error = 1 - 2 * share * slope + share**2 * power
        whole = np.nansum(np.square(sample.difference, dtype=np.float64), axis=0) / count
    # A prediction that lies nearer to the reading than its noise shares it, or is no prediction of
    # this noise: then nothing is known.
    sound = whole >= sample.variance * (1 - np.maximum(_UNSURE, 4 * _shown(sample)))
    fits = noisy & sound & np.isfinite(error)
    return np.where(fits, share, 0.0), np.where(fits, error, 1.0)


def _trust(
    difference: Float[Tensor, "n channels"],
    checks: Float[Tensor, "n checks channels"],
    cut: Float[Tensor, "... channels"],
    limit: Float[Tensor, "... checks channels"],
) -> Float[Tensor, "n channels"]:
    small = difference.abs().div(cut).mul_(-4.0).add_(5.0).clamp_(0.0, 1.0)
    change = checks.abs().div(limit).amax(1)
    return small.mul_(change.mul_(-2.0).add_(3.0).clamp_(0.0, 1.0))


def _usual(values: Float32[np.ndarray, "n columns"]) -> Float64[np.ndarray, " columns"]:
    """Root of the mean square of each column."""
    root: Float64[np.ndarray, " columns"] = np.sqrt(usual_power(values.astype(np.float64)))
    return root
