"""Fit the looks of a pyramid view, and score its own history as if it had never been seen.

The scores of rows that a model was fitted on are too low to set a threshold by: the nearest
example of such a row is itself. So the history is cut into three blocks in time, every model is
fitted a second time without each of them, and the block is scored by that one (cross-fitting).
The four fits of an autoencoder run side by side, one batched product per layer.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from detector.calibration.log_fusion import LogFusion, short_level, trust, weights
from detector.models import Autoencoder, build
from detector.models.base import check_range
from detector.signal.pyramid import EXTREMES, LONG, ROW, SHORT, Feature, pyramid
from detector.signal.scaler import ChannelScaler, fit_moments, shared_scale
from detector.signal.series import thin
from detector.training.base import CrossFit, FittedView, Progress
from detector.training.dataset import Dataset
from detector.training.trimming import LEAST_TRUST, hot_rows
from detector.views.pyramid import CLIP, MAX_EXAMPLES, Bank, Look, PyramidView

BLOCKS = 3
_FLOOR = 0.1
_BATCH_ROWS = 8192
_MAX_SAMPLES = 60_000
_MAX_POOLED = 20_000

Looks = tuple[tuple[str, tuple[Feature, ...]], ...]

LOOKS: Looks = (("long", LONG), ("short", SHORT), ("row", ROW), ("extremes", EXTREMES))
_RANKING = 2
"""Of these looks, the first ones rank rows of any history."""
WITHOUT_MODEL = frozenset({"extremes"})
"""Looks that only remember examples: an autoencoder of extremes ranked worse."""


@dataclass(frozen=True, kw_only=True)
class PyramidTraining:
    """The training block of a `PyramidView`.

    Attributes:
        looks: name and features of each.
        max_steps, batch_size: of each autoencoder.
        learning_rate, weight_decay: of AdamW, with warm-up and cosine decay.
        noise: standard deviation of the noise on the inputs, in their units (denoising).
        hidden: width of the layers beside the bottleneck.
        examples: of a bank, at most, 16..4096.
        purge: rows on both sides of a block that its models do not learn from: they share
            windows with it.

    Raises:
        ValueError: a number out of range.
    """

    looks: Looks = LOOKS
    max_steps: int = 500
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    noise: float = 0.3
    hidden: int = 128
    examples: int = 256
    purge: int = 64

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_steps", 1, 1_000_000),
            ("batch_size", 1, 1 << 16),
            ("hidden", 1, 1 << 14),
            ("examples", 16, MAX_EXAMPLES),
            ("purge", 0, 1 << 16),
        ):
            check_range(name, getattr(self, name), low, high)
        names = [name for name, _ in self.looks]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"looks must be at least one and distinct, got {names}")
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.noise < 0:
            raise ValueError(
                "learning_rate must be greater than 0, weight_decay and noise at least 0, got "
                f"{self.learning_rate}, {self.weight_decay} and {self.noise}"
            )

    @property
    def receptive_field(self) -> int:
        """R of the longest look."""
        return max(feature.rows for _, features in self.looks for feature in features)

    @property
    def least_rows(self) -> int:
        """See `ViewTraining.least_rows`: the beginning of a window is of use, too."""
        return 1

    def fit(
        self,
        data: Dataset,
        *,
        generator: torch.Generator,
        device: torch.device,
        progress: Callable[[Progress], None],
    ) -> FittedView:
        """See `ViewTraining.fit`; the whole history is learned from, in three blocks.

        If rows of it are hot (`detector.training.trimming`), all is fitted again without them.
        """
        scaler = _scaler(data)
        rows = _Rows(data, scaler)
        steps = iter(range(1, 2 * len(self.looks) + 1))

        def fitted(looks: Looks, usable: _Usable) -> list[_FittedLook]:
            found = []
            for name, features in looks:
                one = _fit_look(self, name, features, rows, usable, generator, device)
                progress(
                    Progress(
                        step=next(steps),
                        max_steps=2 * len(self.looks),
                        loss=one.loss,
                        validation_loss=one.loss,
                        best_loss=one.loss,
                    )
                )
                found.append(one)
            return found

        usable = _Usable.of(data, self.purge)
        first = fitted(self.looks[:_RANKING], usable)
        hot = _hot(data, first)
        if hot.any():
            usable = usable.without(hot)
            found = fitted(self.looks, usable)
        else:
            found = first + fitted(self.looks[_RANKING:], usable)
        measured = np.concatenate([one.distances for one in found])
        pooled = measured
        if len(data.names) > 1:
            pooled = np.concatenate([_unseen(one.look, rows, usable) for one in found])
        view = PyramidView(scaler, [one.look.to(device) for one in found])
        return FittedView(
            view=view,
            summary=self._summary(view, usable),
            crossfit=CrossFit(
                rows=usable.rows, blocks=usable.blocks, distances=measured, pooled=pooled
            ),
        )

    def _summary(self, view: PyramidView, usable: "_Usable") -> dict[str, Any]:
        return {
            "kind": view.kind,
            "steps": self.max_steps,
            "rows": len(usable.rows),
            "rows_not_learned": int(np.count_nonzero(~usable.kept)),
            "looks": {look.name: [str(f) for f in look.features] for look in view.looks},
            "examples": {look.name: len(look.bank.examples) for look in view.looks},
        }


@dataclass(frozen=True, kw_only=True)
class _Usable:
    """Rows to learn from and to be scored.

    Attributes:
        rows: places in the dataset, ascending.
        blocks: the block of each, 0..2, by the share of its sensor's rows before it.
        near: for each block, whether a row lies in it or within `purge` rows of it.
        kept: whether a row is learned from; all of them are scored.
    """

    rows: Int64[np.ndarray, " n"]
    blocks: Int64[np.ndarray, " n"]
    near: Sequence[Bool[np.ndarray, " n"]]
    kept: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, data: Dataset, purge: int) -> "_Usable":
        rows = np.arange(len(data.rows))
        blocks = np.zeros(len(rows), dtype=np.int64)
        near = [np.zeros(len(rows), dtype=bool) for _ in range(BLOCKS)]
        for owner in range(len(data.names)):
            own = np.flatnonzero(data.owners == owner)
            borders = np.linspace(0, len(own), BLOCKS + 1).astype(np.int64)
            for block, (start, end) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
                blocks[own[start:end]] = block
                near[block][own[max(start - purge, 0) : end + purge]] = True
        return cls(rows=rows, blocks=blocks, near=near, kept=np.ones(len(rows), dtype=bool))

    def without(self, hot: Bool[np.ndarray, " n"]) -> "_Usable":
        """The same, not learning from hot rows."""
        return replace(self, kept=self.kept & ~hot)

    def learned_from(self, block: int | None) -> Int64[np.ndarray, " k"]:
        """Places of the rows that the models for a block are fitted on; None: of all blocks."""
        if block is None:
            return thin(np.flatnonzero(self.kept), _MAX_SAMPLES)
        far = np.flatnonzero(self.kept & ~self.near[block])
        if len(far) < BLOCKS:  # a history shorter than the purge
            far = np.flatnonzero(self.kept & (self.blocks != block))
        return thin(far, _MAX_SAMPLES)


class _Rows:
    """The features of any rows of a dataset, each from its own uninterrupted run."""

    def __init__(self, data: Dataset, scaler: ChannelScaler) -> None:
        self.data = data
        self._scaler = scaler
        self._starts = np.zeros(len(data.rows), dtype=np.int64)
        for start, end in data.runs:
            self._starts[start:end] = start

    def features(
        self,
        rows: Int64[np.ndarray, " n"],
        features: tuple[Feature, ...],
        group: int | None = None,
    ) -> Float32[Tensor, "n features channels"]:
        """Features of rows, ascending; what lies before a run counts as missing.

        They are scaled as rows of their own group, or of `group`.
        """
        reach = max(feature.rows for feature in features)
        out = np.empty((len(rows), len(features), self.data.rows.shape[1]), dtype=np.float32)
        starts = self._starts[rows]
        cuts = np.flatnonzero(np.diff(starts)) + 1
        for part in np.split(np.arange(len(rows)), cuts):
            for begin in range(0, len(part), _BATCH_ROWS):
                some = part[begin : begin + _BATCH_ROWS]
                if len(some):
                    own = self.data.groups[rows[some[0]]] if group is None else group
                    start = int(starts[some[0]])
                    out[some] = self._in_run(rows[some], start, int(own), features, reach)
        return torch.from_numpy(out)

    def _in_run(  # noqa: PLR0917 (where, then what)
        self,
        rows: Int64[np.ndarray, " n"],
        start: int,
        group: int,
        features: tuple[Feature, ...],
        reach: int,
    ) -> Float32[np.ndarray, "n features channels"]:
        first, last = int(rows[0]) - reach + 1, int(rows[-1]) + 1
        begin = max(first, start)
        values = self.data.rows[begin:last]
        if begin > first:
            empty = np.full((begin - first, values.shape[1]), np.nan)
            values = np.concatenate([empty, values])
        scaled, present = self._scaler.scaled(values, np.array(group))
        return pyramid(scaled, present, rows - first, features)


@dataclass(frozen=True, kw_only=True)
class _FittedLook:
    look: Look
    distances: Float32[np.ndarray, "scores rows"]
    loss: float


def _fit_look(
    config: PyramidTraining,
    name: str,
    features: tuple[Feature, ...],
    rows: _Rows,
    usable: _Usable,
    generator: torch.Generator,
    device: torch.device,
) -> _FittedLook:
    """Fit a look on all blocks, and without each of them to score it."""
    data = rows.data
    channels = data.rows.shape[1]
    folds: list[int | None] = [*range(BLOCKS), None]
    chosen = [usable.learned_from(block) for block in folds]
    samples = [rows.features(usable.rows[picked], features) for picked in chosen]
    units = [_units(one, features) for one in samples]
    inputs = [_in_units(one, unit) for one, unit in zip(samples, units, strict=True)]
    size = inputs[0].shape[1]
    latent = min(max(4, channels // 2), size - 1)
    models: list[Autoencoder | None] = [None] * len(folds)
    loss = 0.0
    if name not in WITHOUT_MODEL and latent > 0:
        networks, loss = _fit_networks(config, inputs, latent, len(features), generator, device)
        models = list(networks)
    looks = [
        Look(
            name=name,
            features=features,
            center=unit[0],
            inverse=unit[1],
            model=model,
            bank=_bank(data, usable.rows[picked], one, config.examples),
        )
        for unit, model, picked, one in zip(units, models, chosen, inputs, strict=True)
    ]
    distances = np.empty((len(looks[-1].scores), len(usable.rows)), dtype=np.float32)
    for block in range(BLOCKS):
        own = np.flatnonzero(usable.blocks == block)
        for begin in range(0, len(own), _BATCH_ROWS):
            some = own[begin : begin + _BATCH_ROWS]
            distances[:, some] = _distances(
                looks[block], rows.features(usable.rows[some], features)
            )
    return _FittedLook(look=looks[-1], distances=distances, loss=loss)


def _hot(data: Dataset, looks: Sequence[_FittedLook]) -> Bool[np.ndarray, " n"]:
    """Rows to leave out, by the looks that rank."""
    distances = np.concatenate([one.distances for one in looks])
    names = [name for one in looks for name in one.look.scores]
    medians = LogFusion.medians(distances)
    short = short_level(names, distances)
    quiet, _ = trust(short, len(short))
    if quiet < LEAST_TRUST:
        return np.zeros(len(short), dtype=bool)
    fusion = LogFusion(median=medians[:, None], weight=weights(names, short, len(short)))
    none = np.zeros(len(short), dtype=np.int64)
    level = fusion.fuse(distances, none, none.astype(bool)).levels[0]
    cuts = np.flatnonzero(np.diff(data.owners)) + 1
    borders = [0, *cuts.tolist(), len(data.owners)]
    return hot_rows(level, list(itertools.pairwise(borders)))


def _unseen(look: Look, rows: _Rows, usable: _Usable) -> Float32[np.ndarray, "scores k"]:
    """Distances of rows scaled by the pooled group's numbers, as those of new sensors will be."""
    picked = usable.rows[thin(np.arange(len(usable.rows)), _MAX_POOLED)]
    found = []
    for begin in range(0, len(picked), _BATCH_ROWS):
        some = picked[begin : begin + _BATCH_ROWS]
        found.append(_distances(look, rows.features(some, look.features, group=0)))
    return np.concatenate(found, axis=1)


def _units(
    samples: Float32[Tensor, "n features channels"], features: tuple[Feature, ...]
) -> tuple[Float32[Tensor, " inputs"], Float32[Tensor, " inputs"]]:
    """Mean and 1 / unit of each input.

    The unit is sqrt(variance + 0.1^2 + (L/n)^2) for a feature over L rows and n rows of history:
    of a long window a short history has shown little.
    """
    flat = samples.double().flatten(1)
    spans = torch.tensor([feature.rows for feature in features], dtype=torch.float64)
    share = (spans / len(samples)).repeat_interleave(samples.shape[2])
    unit = (flat.var(0, correction=0) + _FLOOR**2 + share.square()).sqrt()
    return flat.mean(0).float(), unit.reciprocal().float()


def _in_units(
    samples: Float32[Tensor, "n features channels"], unit: tuple[Tensor, Tensor]
) -> Float32[Tensor, "n inputs"]:
    return samples.flatten(1).sub_(unit[0]).mul_(unit[1]).clamp_(-CLIP, CLIP)


def _bank(
    data: Dataset,
    rows: Int64[np.ndarray, " n"],
    inputs: Float32[Tensor, "n inputs"],
    limit: int,
) -> Bank:
    """Evenly spread examples."""
    picked = thin(np.arange(len(rows)), limit)
    return Bank(
        examples=inputs[torch.from_numpy(picked)].contiguous(),
        ts_ns=torch.from_numpy(data.ts_ns[rows[picked]]),
        owners=torch.from_numpy(data.owners[rows[picked]]),
        sensors=data.names,
    )


def _distances(
    look: Look, features: Float32[Tensor, "n features channels"]
) -> Float32[np.ndarray, "scores n"]:
    with torch.inference_mode():
        parts = look.measure(look.units(features))
        return torch.stack([part.sum(1).sqrt() for part in parts]).numpy()


def _fit_networks(
    config: PyramidTraining,
    inputs: Sequence[Float32[Tensor, "_ inputs"]],
    latent: int,
    features: int,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[list[Autoencoder], float]:
    """One denoising autoencoder per set of inputs, all at once.

    Returns:
        The autoencoders on the CPU, and the mean loss of the last steps.
    """
    size = inputs[0].shape[1]
    widths = (size, config.hidden, latent, config.hidden, size)
    weights, biases = _first_weights(len(inputs), widths, generator, device)
    optimizer = torch.optim.AdamW(
        weights + biases, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate_factor(step, config.max_steps)
    )
    losses: list[float] = []
    for _ in range(config.max_steps):
        clean = torch.stack(
            [
                one[torch.randint(len(one), (config.batch_size,), generator=generator)]
                for one in inputs
            ]
        )
        noise = torch.randn(clean.shape, generator=generator) * config.noise
        clean, noisy = clean.to(device), (clean + noise).to(device)
        error = (_forward(weights, biases, noisy) - clean).square().mean((1, 2))
        optimizer.zero_grad(set_to_none=True)
        error.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(error[-1].detach()))
    sizes = {
        "n_channels": size // features,
        "receptive_field": features,
        "latent_size": latent,
        "hidden": [config.hidden],
    }
    fitted = []
    for number in range(len(inputs)):
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, to be replaced
            model = build("dense", sizes)
        names = ("encoder.0", "encoder.2", "decoder.0", "decoder.2")
        state = {}
        for name, weight, bias in zip(names, weights, biases, strict=True):
            state[f"{name}.weight"] = weight[number].detach().cpu()
            state[f"{name}.bias"] = bias[number, 0].detach().cpu()
        model.load_state_dict(state)
        fitted.append(model.eval().requires_grad_(requires_grad=False))
    last = losses[-50:]
    return fitted, sum(last) / len(last)


def _first_weights(
    networks: int, widths: Sequence[int], generator: torch.Generator, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """As torch.nn.Linear draws them, for several networks at once."""
    weights, biases = list[Tensor](), list[Tensor]()
    for size_in, size_out in zip(widths[:-1], widths[1:], strict=True):
        bound = size_in**-0.5
        for found, rows in ((weights, size_in), (biases, 1)):
            drawn = torch.rand(networks, rows, size_out, generator=generator)
            found.append(((drawn * 2 - 1) * bound).to(device).requires_grad_())
    return weights, biases


def _forward(weights: list[Tensor], biases: list[Tensor], inputs: Tensor) -> Tensor:
    """The pass of `DenseAutoencoder` with one hidden layer, for several networks."""
    hidden = torch.relu(torch.baddbmm(biases[0], inputs, weights[0]))
    latent = torch.baddbmm(biases[1], hidden, weights[1])
    hidden = torch.relu(torch.baddbmm(biases[2], latent, weights[2]))
    return torch.baddbmm(biases[3], hidden, weights[3])


def _rate_factor(step: int, max_steps: int) -> float:
    warm = min(50, max_steps // 10 + 1)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, max_steps - warm)))


def _scaler(data: Dataset) -> ChannelScaler:
    """Centre and spread of the whole history, for all and for each sensor with enough of it."""
    fits = [fit_moments(data.rows)]
    fits += [
        fit_moments(data.rows[data.groups == group]) for group in range(1, len(data.sensors) + 1)
    ]
    center, scale = np.stack([one for one, _ in fits]), np.stack([one for _, one in fits])
    if data.sensors:
        scale[1:] = shared_scale(scale[1:])
    return ChannelScaler(center=center, scale=scale)
