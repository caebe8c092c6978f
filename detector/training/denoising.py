"""Fit the denoising view: predictors in closed form, a small autoencoder behind them, the mix.

Nothing here has seen a clean signal. The predictors learn from the training block, the validation
block says how much they are held back, the mix is fitted on the calibration block.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from detector.models.blind_spot import BlindSpot
from detector.signal.blend import Sample, fit_blend
from detector.signal.context import Context
from detector.signal.impulses import NONE, Impulses
from detector.signal.series import thin
from detector.signal.spectrum import (
    LEAST_SEGMENTS,
    SEGMENT,
    WhiteNoise,
    WienerBound,
    white_noise,
    wiener_bound,
)
from detector.training.dataset import Block, Dataset
from detector.training.fit_blind_spot import Examples, NetworkConfig, fit_correction, fit_linear
from detector.views.denoising import Cleaner, DenoisingView, Prepared, against_others, prepare

Pieces = list[Float32[np.ndarray, "rows channels"]]
Channels = Float64[np.ndarray, " channels"]

_LEAST_WINDOWS = 64
_MOST_FIELD = 256
_LEAST_FIELD = 4
_MAX_LAG = 128
_LAG_OF_GAIN = 1.15
_PIECES = 64
_MOST_NUMBERS = 1_500_000
_POOLED_TIMES = 5
"""As many windows of all sensors together as of one."""
_LEAST_NOISE = 1e-4
"""Scaled units; published values show no more (see `decimals_for`)."""


@dataclass(frozen=True, kw_only=True)
class DenoisingTraining(NetworkConfig):
    """How the denoising view is fitted.

    Attributes:
        hidden, latent: widths of the blind autoencoder; 0 hidden: linear predictors alone.
        max_steps, batch_size, learning_rate: of its training.
        max_windows: that predictors are fitted on.
        max_group_windows: of one sensor, that its mix is fitted on.
        lag: rows between a settled reading and the newest one; 0: as its noise asks for.
    """

    hidden: int = 48
    latent: int = 12
    max_steps: int = 400
    batch_size: int = 256
    learning_rate: float = 3e-3
    max_windows: int = 40_000
    max_group_windows: int = 4_000
    lag: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.lag <= _MAX_LAG:
            raise ValueError(f"lag must be in 0..{_MAX_LAG}, got {self.lag}")


@dataclass(frozen=True, kw_only=True)
class FittedDenoiser:
    """A view, and what it is expected to do.

    Attributes:
        view: None where no channel has noise, or the history is too short to tell.
        summary: per channel, for people; JSON values only.
    """

    view: DenoisingView | None
    summary: dict[str, Any]


def fit_denoiser(
    data: Dataset,
    config: DenoisingTraining,
    *,
    rows: int,
    short_rows: int,
    generator: torch.Generator,
    device: torch.device,
) -> FittedDenoiser:
    """Fit the view.

    Args:
        data: the history.
        config: how.
        rows: of the detector's window.
        short_rows: of the shortest window that it scores.
        generator: all randomness, on the CPU.
        device: where the view shall be.
    """
    pieces = _scaled(data)
    impulses = Impulses.fit([own for one in pieces for own in one])
    if rows < 2 * impulses.margin:
        impulses = Impulses.none(len(impulses.limit))  # no room to find them in
    quiet = [[_without(impulses, one) for one in own] for own in pieces]
    noises = [white_noise(own) for own in quiet]
    variance = np.stack([one.variance for one in noises])
    variance[variance < _LEAST_NOISE**2] = 0.0
    room = min(rows, _MOST_FIELD) - impulses.margin
    if not variance.any() or room < _LEAST_FIELD:
        least = SEGMENT * (LEAST_SEGMENTS + 1) // 2
        long = max(len(piece) for own in pieces for piece in own) >= least
        why = "no channel shows white noise" if long else f"fewer than {least} rows without a gap"
        return FittedDenoiser(view=None, summary={"why": why})
    fit = _Fit(data, config, _by_group(data, variance), impulses, generator)
    causal = fit.cleaner(Context.of(room))
    while causal is None and room >= 2 * _LEAST_FIELD:
        room //= 2  # a short history is no reason to clean nothing
        causal = fit.cleaner(Context.of(room))
    if causal is None:
        return FittedDenoiser(view=None, summary={"why": f"fewer than {_LEAST_WINDOWS} windows"})
    cleaners, errors = {"causal": causal[0]}, {"causal": causal[1]}
    contexts = {}
    if short_rows < rows and short_rows - impulses.margin >= _LEAST_FIELD:
        contexts["short"] = Context.of(short_rows - impulses.margin)
    shares = causal[0].blend.share.numpy()
    own = shares[1:] if len(shares) > 1 else shares
    lag = config.lag or _lag(np.median(own, axis=0), room)
    if 0 < lag < room - 1:
        contexts["settled"] = Context.of(room, ahead=lag)
    for name, context in contexts.items():
        if (found := fit.cleaner(context)) is not None:
            cleaners[name], errors[name] = found
    view = DenoisingView(data.scaler, impulses, cleaners).to(device)
    bounds = [wiener_bound(own, noise) for own, noise in zip(quiet, noises, strict=True)]
    return FittedDenoiser(view=view, summary=_summary(data, noises, bounds, errors, view))


class _Fit:
    """What all cleaners are fitted on."""

    def __init__(
        self,
        data: Dataset,
        config: DenoisingTraining,
        variance: Float64[np.ndarray, "groups channels"],
        impulses: Impulses,
        generator: torch.Generator,
    ) -> None:
        self._data, self._config, self._variance = data, config, variance
        self._impulses, self._generator = impulses, generator
        self._own = prepare(data.scaler, impulses, data.rows, data.groups)
        # The pooled mix serves sensors that the training has not seen: scaled as theirs will be.
        self._pooled = prepare(data.scaler, impulses, data.rows, np.array(0))

    def cleaner(self, context: Context) -> tuple[Cleaner, Float64[np.ndarray, " channels"]] | None:
        """A cleaner, and its expected error as a share of the noise; None: too few windows."""
        data, config = self._data, self._config
        field = context.field + self._impulses.margin
        ends = {block: data.ends(block, field) for block in Block}
        if min(len(one) for one in ends.values()) < _LEAST_WINDOWS:
            return None
        most = max(_LEAST_WINDOWS, min(config.max_windows, _MOST_NUMBERS // data.rows.shape[1]))
        training, validation = (
            _examples(context, self._own, thin(ends[block], most))
            for block in (Block.TRAINING, Block.VALIDATION)
        )
        variance = self._variance.mean(axis=0)
        linear, leak = fit_linear(context, training, validation, variance)
        model = fit_correction(
            linear,
            training,
            validation,
            variance=variance,
            config=config,
            generator=self._generator,
        )
        blend, error = fit_blend(self._samples(context, model, ends[Block.CALIBRATION]), leak)
        known = error[1:] if len(error) > 1 else error
        return Cleaner(context=context, model=model, blend=blend), known.mean(axis=0)

    def _samples(
        self, context: Context, model: BlindSpot, ends: Int64[np.ndarray, " n"]
    ) -> list[Sample]:
        """Of each group the differences on the calibration block."""
        groups, most = self._data.groups[ends], self._config.max_group_windows
        chosen = [(self._pooled, thin(ends, _POOLED_TIMES * most))]
        chosen += [
            (self._own, thin(ends[groups == group], most))
            for group in range(1, len(self._variance))
        ]
        return [
            _sample(model, _examples(context, prepared, some), variance)
            for (prepared, some), variance in zip(chosen, self._variance, strict=True)
        ]


def _examples(context: Context, prepared: Prepared, ends: Int64[np.ndarray, " n"]) -> Examples:
    means, middle = context.measure(prepared.rows, prepared.present, ends)
    known = np.ones(middle.shape, dtype=np.bool_)
    if len(prepared.present):
        known = prepared.present[ends - context.target]
    return Examples(context=torch.from_numpy(means), middle=torch.from_numpy(middle), known=known)


@torch.inference_mode()
def _sample(
    model: BlindSpot, examples: Examples, variance: Float64[np.ndarray, " channels"]
) -> Sample:
    prediction, checks = model(examples.context, examples.middle)
    difference = examples.context[:, -1] - prediction
    against_others(checks, difference)
    return Sample(
        difference=np.where(examples.known, difference.numpy(), np.float32("nan")),
        checks=checks.numpy(),
        variance=variance,
    )


def _scaled(data: Dataset) -> list[Pieces]:
    """The longest training segments of each sensor that has some, in the order of its name."""
    found: dict[int, Pieces] = {}
    for start, end in data.segments[Block.TRAINING]:
        rows = data.scaler.apply(data.rows[start:end], data.groups[start])
        found.setdefault(int(data.owners[start]), []).append(rows.astype(np.float32))
    return [sorted(found[one], key=len, reverse=True)[:_PIECES] for one in sorted(found)]


def _without(
    impulses: Impulses, rows: Float32[np.ndarray, "rows channels"]
) -> Float64[np.ndarray, "rows channels"]:
    leaps = impulses.found(rows)
    return np.where(False if leaps is None else leaps, np.nan, rows.astype(np.float64))


def _by_group(
    data: Dataset, variance: Float64[np.ndarray, "sensors channels"]
) -> Float64[np.ndarray, "groups channels"]:
    """The noise variance of each group, scaled units; of the pooled one the usual sensor's.

    Each in the units of its group: pooled, sensors at different levels have a wider scale.
    """
    owners = sorted({int(data.owners[start]) for start, _ in data.segments[Block.TRAINING]})
    place = {data.names[owner]: number for number, owner in enumerate(owners)}
    own = [variance[place[sensor]] for sensor in data.sensors]
    group = {sensor: number for number, sensor in enumerate(data.sensors, start=1)}
    scale = data.scaler.scale[[group.get(data.names[owner], 0) for owner in owners]]
    pooled = np.median(variance * (scale / data.scaler.scale[0]) ** 2, axis=0)
    return np.stack([pooled, *own])


def _lag(share: Float32[np.ndarray, " channels"], room: int) -> int:
    """Rows behind a reading that still tell of it: about 1.15 / K of the steady Kalman filter.

    Of the channel that needs most.
    """
    gains = 1.0 - share[share > 0]
    if not len(gains):
        return 0
    wanted = math.ceil(_LAG_OF_GAIN / max(float(gains.min()), _LAG_OF_GAIN / _MAX_LAG))
    return min(wanted, _MAX_LAG, room // 2)


def _summary(
    data: Dataset,
    noises: Sequence[WhiteNoise],
    bounds: Sequence[WienerBound],
    errors: Mapping[str, Channels],
    view: DenoisingView,
) -> dict[str, Any]:
    """Per channel, of the usual sensor: the noise, what is expected to be gained, and the bounds.

    Gains in dB over the readings as they come; a bound is that of a linear filter of one channel
    alone, which the others help to beat.
    """
    variance = np.stack([one.variance for one in noises])
    scale = data.scaler.scale[1:] if len(data.scaler.scale) > 1 else data.scaler.scale
    noisy = np.maximum(variance, np.finfo(np.float64).tiny)
    best = {
        "causal": np.stack([one.causal for one in bounds]) / noisy,
        "settled": np.stack([one.smoother for one in bounds]) / noisy,
    }
    told: dict[str, Any] = {
        "noise": (np.sqrt(np.median(variance, axis=0)) * np.median(scale, axis=0)).tolist(),
        "lag": view.lag,
        "lag_s": view.lag * data.interval_s,
        "impulsive": (view.impulses.limit < NONE).tolist(),
    }
    for name in ("causal", "settled"):
        told[f"{name}_bound_db"] = _decibel(np.median(best[name], axis=0), variance)
        if name in errors:
            told[f"{name}_gain_db"] = _decibel(errors[name], variance)
    return told


def _decibel(ratio: Channels, variance: Float64[np.ndarray, "sensors channels"]) -> list[float]:
    gain = -10 * np.log10(np.clip(ratio, 1e-9, 1.0))
    return [round(float(one), 2) for one in np.where(variance.any(axis=0), gain, 0.0)]
