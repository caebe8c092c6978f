"""Fit the looks of a pyramid view, and score its own history as if it had never been seen.

The scores of rows that a model was fitted on are too low to set a threshold by: the nearest
example of such a row is itself. So the history is cut into three blocks in time, every model is
fitted a second time without each of them, and the block is scored by that one (cross-fitting).
The four fits of an autoencoder run side by side, one batched product per layer.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from detector.calibration.log_fusion import LogFusion, short_level, trust, weights
from detector.models import Autoencoder
from detector.models.base import check_range
from detector.signal.pyramid import EXTREMES, LONG, SHORT, Feature, pyramid
from detector.signal.scaler import ChannelScaler, fit_moments, shared_scale
from detector.signal.season import Season
from detector.signal.series import thin
from detector.training.base import CrossFit, FittedView, Progress
from detector.training.dataset import Dataset
from detector.training.fit_season import fit_season
from detector.training.networks import NetworkTraining, fit_networks
from detector.training.trimming import LEAST_TRUST, hot_rows
from detector.views.pyramid import CLIP, MAX_EXAMPLES, Bank, Look, PyramidView, prepared

BLOCKS = 3
_FLOOR = 0.1
_BATCH_ROWS = 8192
_MAX_SAMPLES = 60_000
_MAX_POOLED = 20_000

Looks = tuple[tuple[str, tuple[Feature, ...]], ...]

LOOKS: Looks = (("short", SHORT), ("long", LONG), ("extremes", EXTREMES))
_RANKING = 2
"""Of these looks, the first ones rank rows of any history; the very first says how varied it is."""
_NEED_MORE = frozenset({"long", "extremes"})
WITHOUT_MODEL = frozenset({"extremes"})
"""Looks that only remember examples: an autoencoder of extremes ranked worse."""


@dataclass(frozen=True, kw_only=True)
class PyramidTraining(NetworkTraining):
    """The training block of a `PyramidView`.

    Attributes:
        looks: name and features of each.
        examples: of a bank, at most, 16..4096...
        more_examples: ...and where normal operation is varied, of the looks that rank there.
        purge: rows on both sides of a block that its models do not learn from: they share
            windows with it.

    Raises:
        ValueError: a number out of range.
    """

    looks: Looks = LOOKS
    examples: int = 256
    more_examples: int = 1000
    purge: int = 64

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_steps", 1, 1_000_000),
            ("batch_size", 1, 1 << 16),
            ("hidden", 1, 1 << 14),
            ("examples", 16, MAX_EXAMPLES),
            ("more_examples", 16, MAX_EXAMPLES),
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
        season = _season(data, scaler)
        rows = _Rows(data, scaler, season)
        steps = iter(range(1, 2 * len(self.looks) + 1))

        def fitted(looks: Looks, usable: _Usable) -> list[_FittedLook]:
            found = []
            for name, features in looks:
                many = self.more_examples if varied and name in _NEED_MORE else self.examples
                one = _fit_look(self, name, features, many, rows, usable, generator, device)
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

        usable, varied = _Usable.of(data, self.purge), False
        first = fitted(self.looks[:1], usable)
        varied = _quiet(first) < LEAST_TRUST
        first += fitted(self.looks[1:_RANKING], usable)
        hot = np.zeros(len(usable.rows), dtype=bool) if varied else _hot(data, first)
        if hot.any():
            usable = usable.without(hot)
            found = fitted(self.looks, usable)
        else:
            found = first + fitted(self.looks[_RANKING:], usable)
        measured = np.concatenate([one.distances for one in found])
        pooled, pooled_rows = measured, usable.rows
        if len(data.names) > 1:
            pooled_rows = usable.rows[thin(np.arange(len(usable.rows)), _MAX_POOLED)]
            pooled = np.concatenate([_unseen(one.look, rows, pooled_rows) for one in found])
        view = PyramidView(scaler, season, [one.look.to(device) for one in found])
        return FittedView(
            view=view,
            summary=self._summary(view, usable),
            crossfit=CrossFit(
                rows=usable.rows,
                blocks=usable.blocks,
                distances=measured,
                pooled=pooled,
                pooled_rows=pooled_rows,
            ),
        )

    def _summary(self, view: PyramidView, usable: "_Usable") -> dict[str, Any]:
        return {
            "kind": view.kind,
            "steps": self.max_steps,
            "rows": len(usable.rows),
            "seasonal_channels": int(view.season.kept.any(axis=0).sum()),
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
            for block, (start, end) in enumerate(itertools.pairwise(borders.tolist())):
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

    def __init__(self, data: Dataset, scaler: ChannelScaler, season: Season) -> None:
        self.data = data
        self._scaler, self._season = scaler, season
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

    def _in_run(
        self,
        rows: Int64[np.ndarray, " n"],
        start: int,
        group: int,
        features: tuple[Feature, ...],
        reach: int,
    ) -> Float32[np.ndarray, "n features channels"]:
        first, last = int(rows[0]) - reach + 1, int(rows[-1]) + 1
        begin = max(first, start)
        values, times = self.data.rows[begin:last], self.data.ts_ns[begin:last]
        if begin > first:
            empty = np.full((begin - first, values.shape[1]), np.nan)
            values = np.concatenate([empty, values])
            times = np.concatenate([np.zeros(begin - first, dtype=np.int64), times])
        scaled, present = prepared(self._scaler, self._season, values, np.array(group), times)
        return pyramid(scaled, present, rows - first, features)


@dataclass(frozen=True, kw_only=True)
class _FittedLook:
    look: Look
    distances: Float32[np.ndarray, "scores rows"]
    loss: float


def _fit_look(  # noqa: PLR0917 (how, what, on what)
    config: PyramidTraining,
    name: str,
    features: tuple[Feature, ...],
    examples: int,
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
        networks, loss = fit_networks(
            inputs,
            config,
            features=len(features),
            latent=latent,
            generator=generator,
            device=device,
        )
        models = list(networks)
    looks = [
        Look(
            name=name,
            features=features,
            center=unit[0],
            inverse=unit[1],
            model=model,
            bank=_bank(data, usable.rows[picked], one, examples),
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


def _quiet(looks: Sequence[_FittedLook]) -> float:
    """See `detector.calibration.log_fusion.trust`."""
    names, distances = _joined(looks)
    return trust(short_level(names, distances), distances.shape[1])[0]


def _joined(looks: Sequence[_FittedLook]) -> tuple[list[str], Float32[np.ndarray, "scores n"]]:
    names = [name for one in looks for name in one.look.scores]
    return names, np.concatenate([one.distances for one in looks])


def _hot(data: Dataset, looks: Sequence[_FittedLook]) -> Bool[np.ndarray, " n"]:
    """Rows to leave out, by the looks that rank."""
    names, distances = _joined(looks)
    weight = weights(names, distances, distances[:, :0], 0.0)
    fusion = LogFusion(median=LogFusion.medians(distances)[:, None], weight=weight)
    pooled = np.zeros(distances.shape[1], dtype=np.int64)
    level = fusion.fuse(distances, pooled, pooled.astype(bool)).levels[0]
    cuts = np.flatnonzero(np.diff(data.owners)) + 1
    borders = [0, *cuts.tolist(), len(data.owners)]
    return hot_rows(level, list(itertools.pairwise(borders)))


def _unseen(
    look: Look, rows: _Rows, picked: Int64[np.ndarray, " k"]
) -> Float32[np.ndarray, "scores k"]:
    """Distances of rows scaled by the pooled group's numbers, as those of new sensors will be."""
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


def _season(data: Dataset, scaler: ChannelScaler) -> Season:
    """What the hour of the week says, where the history is long enough to prove it."""
    scaled = scaler.apply(data.rows, data.groups)
    return fit_season(scaled, data.ts_ns, data.groups, n_groups=len(data.sensors) + 1)


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
