"""Fit the blind predictors: ridge regression, then an autoencoder on what it leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from detector.models.blind_spot import BlindSpot
from detector.signal.context import Context
from detector.signal.walks import walk_weights

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_CROSS_PENALTIES = (1.0, 10.0, 1e6)
"""How much more the other channels are held back than a channel's own past."""
_CHECKED = (4, 16)
"""Rows whose mean is compared with what came before it: a change of level shows there first."""
_NEAR = (0, 1, 3, 7, 11, 15, 19, 23)
"""Places of the context, on each side, that channels see of one another."""
_MOST_OTHERS = 16
_HUBER = 3.0
_LOOKS = 8
_WORTH = 0.005
"""A correction that removes less of the predictable error is left out."""
_SURE = 2.0
"""So is one that removes less than so many standard errors of what it seems to."""
_FLOOR = 1e-4


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Readings in their context, scaled units.

    Attributes:
        context: as `Context.measure` gives it.
        middle: what it is relative to.
        known: where the reading itself was measured.
    """

    context: Float[Tensor, "n places channels"]
    middle: Float[Tensor, "n channels"]
    known: Bool[np.ndarray, "n channels"]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """How the autoencoder is fitted; see `DenoisingTraining`."""

    hidden: int
    latent: int
    max_steps: int
    batch_size: int
    learning_rate: float


def fit_linear(
    context: Context,
    training: Examples,
    validation: Examples,
    variance: Float64[np.ndarray, " channels"],
) -> tuple[BlindSpot, Float64[np.ndarray, "checks channels"]]:
    """Predictions and checks by ridge regression; the validation block chooses the penalties.

    The penalties hold a prediction near that of the walk which fits the channel best.

    Args:
        context: of the examples.
        training: examples.
        validation: later ones.
        variance: of the noise: the scale of the penalties.

    Returns:
        The model without an autoencoder, and the weight of the reading itself in each check.
    """
    channels, means = training.middle.shape[1], len(context.lags)
    near = _near(context)
    checks = _checks(context)
    model = BlindSpot(
        channels=channels, means=means, near=near, checks=len(checks), hidden=0, latent=0
    )
    others = _others(training)
    walks = walk_weights(context)
    for channel in range(channels):
        fits = [_Columns.of(one, channel, near, others[channel]) for one in (training, validation)]
        if min(len(one.target) for one in fits) <= 1:
            continue
        base = max(float(variance[channel]), _FLOOR * float(np.var(fits[0].target)), 1e-12)
        weights = _ridge(fits, walks, base)
        model.own[0, :means, channel] = torch.from_numpy(weights[:means])
        across = model.cross.view(len(near), channels, channels)
        across[:, others[channel], channel] = torch.from_numpy(
            weights[means:].reshape(len(near), -1)
        ).float()
        for number, (newer, older) in enumerate(checks):
            own = _check([one.own for one in fits], newer, older, base)
            model.own[1 + number, :, channel] = torch.from_numpy(own)
    leak = model.own[1:, -1].double().numpy()
    leak[-1] = 0.0  # of the reading in the last check, `against_others` takes it out again
    return model, leak


def fit_correction(
    linear: BlindSpot,
    training: Examples,
    validation: Examples,
    *,
    variance: Float64[np.ndarray, " channels"],
    config: NetworkConfig,
    generator: torch.Generator,
) -> BlindSpot:
    """Put an autoencoder behind the linear prediction, where it pays on the validation block.

    It learns what the linear prediction leaves, in units of its size; each channel takes as much
    of it as the validation block supports.

    Args:
        linear: fitted.
        training: examples.
        validation: later ones.
        variance: of the noise, which no prediction can remove.
        config: sizes and steps.
        generator: all randomness, on the CPU.
    """
    if not config.hidden:
        return linear
    channels = training.middle.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)))
        model = BlindSpot(
            channels=channels,
            means=linear.own.shape[1] - 1,
            near=linear.near,
            checks=linear.checks,
            hidden=config.hidden,
            latent=config.latent,
        )
    model.own.copy_(linear.own)
    model.cross.copy_(linear.cross)
    targets = [_left(linear, one) for one in (training, validation)]
    scale = torch.nan_to_num(targets[0].square().nanmean(0)).sqrt().clamp(min=1e-6)
    left = [(one / scale) for one in targets]
    _train(model, (training, validation), left, config, generator)
    with torch.inference_mode():
        found = model.correction(validation.context, validation.middle)
    gain = torch.nan_to_num(left[1]) * found
    worth = (gain.sum(0) / found.square().sum(0).clamp(min=1e-12)).clamp(0.0, 1.0)
    removed = 2 * worth * gain - worth**2 * found.square()
    unsure = removed.std(0) / math.sqrt(len(removed))
    predictable = left[1].square().nanmean(0) - torch.from_numpy(variance) / scale**2
    least = torch.maximum(_SURE * unsure, _WORTH * predictable.clamp(min=0.0))
    worth[removed.mean(0) < least] = 0.0
    if not worth.any():
        return linear
    last = model.layers[-1]
    assert isinstance(last, torch.nn.Linear), "as it was built"
    last.weight.data.mul_((worth * scale)[:, None])
    last.bias.data.mul_(worth * scale)
    return model.requires_grad_(requires_grad=False)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Moments of one channel's regression.

    Attributes:
        own: its own context and reading, [n, K + 1].
        columns: its own means and what it sees of the others, [n, p].
        target: its reading, [n].
    """

    own: Float64[np.ndarray, "n places"]
    columns: Float64[np.ndarray, "n p"]
    target: Float64[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        examples: Examples,
        channel: int,
        near: Sequence[int],
        others: Int64[np.ndarray, " others"],
    ) -> "_Columns":
        known = np.flatnonzero(examples.known[:, channel])
        context = examples.context.numpy()[known]
        own = context[:, :, channel].astype(np.float64)
        seen = context[:, near][:, :, others].reshape(len(known), len(near) * len(others))
        return cls(
            own=own,
            columns=np.concatenate([own[:, :-1], seen.astype(np.float64)], axis=1),
            target=own[:, -1],
        )


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Of a regression: [p, p], [p], mean square of the target, examples."""

    gram: Float64[np.ndarray, "p p"]
    moment: Float64[np.ndarray, " p"]
    power: float
    count: int

    @classmethod
    def of(
        cls, columns: Float64[np.ndarray, "n p"], target: Float64[np.ndarray, " n"]
    ) -> "_Moments":
        count = len(target)
        return cls(
            gram=columns.T @ columns / count,
            moment=columns.T @ target / count,
            power=float(target @ target) / count,
            count=count,
        )

    def error(self, weights: Float64[np.ndarray, " p"]) -> float:
        """Mean square of what these weights leave."""
        return float(weights @ self.gram @ weights - 2 * weights @ self.moment) + self.power


def _ridge(
    fits: Sequence[_Columns], walks: Float64[np.ndarray, "walks means"], base: float
) -> Float64[np.ndarray, " p"]:
    """Weights of the penalties that predict the later examples best; outliers count less."""
    x, means = fits[0].columns, walks.shape[1]
    first = _walk(fits[0], walks)
    targets = [one.target - one.columns[:, :means] @ first for one in fits]
    moments = [_Moments.of(one.columns, left) for one, left in zip(fits, targets, strict=True)]
    weights, penalty = _best(moments, means, base)
    left = targets[0] - x @ weights
    size = np.median(np.abs(left)) / 0.6745
    if size > 0:
        # Huber (1964): steps and faults in the history must not bend the prediction.
        weight = np.minimum(1.0, _HUBER * size / np.maximum(np.abs(left), 1e-12))
        fit = _Moments.of(x * np.sqrt(weight)[:, None], targets[0] * np.sqrt(weight))
        weights = np.linalg.solve(fit.gram + np.diag(penalty), fit.moment)
    weights[:means] += first
    return weights


def _walk(
    columns: _Columns, walks: Float64[np.ndarray, "walks means"]
) -> Float64[np.ndarray, " means"]:
    """The walk that predicts the noisy readings best: the noise in them is the same for all."""
    fit = _Moments.of(columns.columns[:, : walks.shape[1]], columns.target)
    errors = np.einsum("wi,ij,wj->w", walks, fit.gram, walks) - 2 * walks @ fit.moment
    best: Float64[np.ndarray, " means"] = walks[np.argmin(errors)]
    return best


def _best(
    fits: Sequence[_Moments], means: int, base: float
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """Weights and penalties of least error, of later examples and of the same by their count.

    The later ones alone are too few where noise is large: of the training examples the error is
    corrected for what was fitted to them (generalised cross-validation: Golub, Heath and Wahba
    1979).
    """
    training, later = fits
    size = len(training.moment)
    least, best = math.inf, (np.zeros(size), np.full(size, base))
    for cross in _CROSS_PENALTIES if size > means else (1.0,):
        root = np.ones(size)
        root[means:] = math.sqrt(cross)
        values, axes = np.linalg.eigh(training.gram / np.outer(root, root))
        values, turned = np.maximum(values, 0.0), axes.T @ (training.moment / root)
        for penalty in _PENALTIES:
            weights = axes @ (turned / (values + penalty * base)) / root
            fitted = min(float((values / (values + penalty * base)).sum()) / training.count, 0.5)
            error = training.count * training.error(weights) / (1 - fitted) ** 2
            error += later.count * later.error(weights)
            if error < least:
                least, best = error, (weights, penalty * base * root**2)
    return best


def _check(
    own: Sequence[Float64[np.ndarray, "n places"]],
    newer: Float64[np.ndarray, " places"],
    older: Int64[np.ndarray, " older"],
    base: float,
) -> Float64[np.ndarray, " places"]:
    """Weights of: a mean of places less what other places say of it."""
    moments = [_Moments.of(one[:, older], one @ newer) for one in own]
    weights, _ = _best(moments, len(older), base)
    check = newer.copy()
    check[older] -= weights
    return check


def _checks(context: Context) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is compared with what: the newest rows with those before; the reading with all."""
    means = len(context.lags)
    before = np.flatnonzero(context.before)
    behind = np.flatnonzero(~context.before)
    lags, widths = np.array(context.lags), np.array(context.widths)
    found = []
    for rows in () if len(behind) else _CHECKED:
        near = before[lags[before] + widths[before] <= rows]
        older = np.setdiff1d(before, near)
        if len(near) and len(older):
            newer = np.zeros(means + 1)
            newer[near], newer[-1] = widths[near], 1.0
            found.append((newer / newer.sum(), older))
    reading = np.zeros(means + 1)
    reading[-1] = 1.0
    return [*found, (reading, np.arange(means))]


def _near(context: Context) -> list[int]:
    before = np.flatnonzero(context.before)
    behind = np.flatnonzero(~context.before)
    chosen = [int(side[place]) for side in (before, behind) for place in _NEAR if place < len(side)]
    return [*chosen, len(context.lags)]


def _others(examples: Examples) -> list[Int64[np.ndarray, " others"]]:
    """The channels that each channel sees: those that move most like it, if there are many."""
    now = np.nan_to_num(examples.context[:, -1].double().numpy())
    channels = now.shape[1]
    if channels <= _MOST_OTHERS + 1:
        return [np.delete(np.arange(channels), one) for one in range(channels)]
    deviation = np.maximum(now.std(axis=0), 1e-12)
    like = np.abs((now / deviation).T @ (now / deviation))
    np.fill_diagonal(like, -1.0)
    return [np.sort(np.argsort(-row, kind="stable")[:_MOST_OTHERS]) for row in like]


@torch.inference_mode()
def _left(linear: BlindSpot, examples: Examples) -> Float[Tensor, "n channels"]:
    """What the linear prediction leaves of the readings; NaN where one is missing."""
    prediction, _ = linear.linear(examples.context)
    left = examples.context[:, -1] - prediction
    return left.masked_fill(~torch.from_numpy(examples.known), torch.nan)


def _train(
    model: BlindSpot,
    examples: tuple[Examples, Examples],
    left: Sequence[Float[Tensor, "n channels"]],
    config: NetworkConfig,
    generator: torch.Generator,
) -> None:
    """AdamW with cosine decay; the weights of the best validation error are kept, in place."""
    training, validation = examples
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    least, kept = math.inf, {key: value.clone() for key, value in model.state_dict().items()}
    look = max(config.max_steps // _LOOKS, 1)
    for step in range(1, config.max_steps + 1):
        share = step / config.max_steps
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        picks = torch.randint(len(left[0]), (config.batch_size,), generator=generator)
        found = model.correction(training.context[picks], training.middle[picks])
        loss = _loss(found, left[0][picks])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % look and step < config.max_steps:
            continue
        with torch.no_grad():
            now = float(_loss(model.correction(validation.context, validation.middle), left[1]))
        if now < least:
            least = now
            kept = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(kept)


def _loss(found: Float[Tensor, "n channels"], left: Float[Tensor, "n channels"]) -> Tensor:
    known = torch.isfinite(left)
    error = torch.where(known, found - torch.nan_to_num(left), torch.zeros(()))
    return torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=_HUBER)
