"""More windows of a class from the few that there are, made in the latent space of a detector.

A class (a kind of fault, a state of the machine) has a handful of windows x; a classifier learns
more from many. Each is encoded, z = e(x), moved to a z' that the class allows, and decoded. What
the autoencoder did not explain of the source, its residual, is added again:

    x' = d(z') + (x - d(z)), the same as x + (d(z') - d(z))

With it a made window has the noise, the gaps and the fault of its source at another state of the
machine (but a value that is stuck moves by what the decoder changes); without it the result is what
the decoder knows, which of a fault may be nothing.

Where z' lies (`Method`): between two neighbours of the class (SMOTE, Chawla et al. 2002, but in
the latent space: DeVries and Taylor 2017), near one of them, anywhere in the class's normal
distribution, or moved as far as unlabelled windows are from each other.

Only windows of one label are ever combined; everything else is refused. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
from jaxtyping import Float32, Float64, Int64

from detector.latent import Group, Latents, Windows, decode, encode
from detector.scoring import Detector

_Values = Float64[np.ndarray, "n latent"]
_Others = Float64[np.ndarray, "others latent"]
_Picks = Int64[np.ndarray, " k"]

_LEAST_FOR_PAIRS = 2
_JITTER = 1e-6
"""Share of the mean variance that is added to each: a covariance of few windows has no inverse."""
_LEAST_VARIANCE = 1e-12


class Method(StrEnum):
    """Where the latent of a made window lies."""

    NEIGHBOURS = "neighbours"
    """Near one window: z + radius · ε, ε of the class's covariance."""
    INTERPOLATE = "interpolate"
    """Between a window and one of its near neighbours in the class: z + w (z₂ - z), 0 < w < 1."""
    SAMPLE = "sample"
    """A decoder sample: the class's mean + radius · ε; the residual is that of a window drawn."""
    TRANSFER = "transfer"
    """The change between two unlabelled windows applied to z: z + (u₂ - u), u the nearest to z."""


class Residual(StrEnum):
    """What becomes of that part of the source that the autoencoder cannot explain."""

    KEEP = "keep"
    """It is added: noise, missing values and faults stay."""
    DROP = "drop"
    """The made window is a pure decoder output, smooth and complete."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How windows are made.

    Attributes:
        method: where their latents lie.
        residual: whether they get the residual of their source.
        radius: of `NEIGHBOURS` and `SAMPLE`, in standard deviations of the class.
        neighbours: that `INTERPOLATE` chooses from, nearest first.

    Raises:
        ValueError: a number out of range.
    """

    method: Method
    residual: Residual = Residual.KEEP
    radius: float = 1.0
    neighbours: int = 5

    def __post_init__(self) -> None:
        if not (self.radius >= 0 and np.isfinite(self.radius)):
            raise ValueError(f"radius must be a number of at least 0, got {self.radius}")
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {self.neighbours}")

    @property
    def least(self) -> int:
        """Windows that a class must have."""
        return 1 if self.method is Method.TRANSFER else _LEAST_FOR_PAIRS


@dataclass(frozen=True, kw_only=True)
class Made:
    """Windows that were made, and of what.

    Attributes:
        windows: channel units of the source's sensor; NaN where the source misses a value.
        groups: of the sensor of the first source.
        methods: of each.
        sources: window whose residual and state it has; the second one that it was mixed with
            (`INTERPOLATE`), or -1.
        weight: of the second source; NaN without one.
        radius: distance of the latent from that of the source (`SAMPLE`: from the class's mean),
            in standard deviations of the class: sqrt(mean over axes of squares).
    """

    windows: Windows
    groups: Int64[np.ndarray, " n"]
    methods: tuple[Method, ...]
    sources: Int64[np.ndarray, "n 2"]
    weight: Float64[np.ndarray, " n"]
    radius: Float64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.windows)

    def followed_by(self, other: Self) -> Self:
        """These and then those; the sources of both point into the same windows."""
        return replace(
            self,
            methods=self.methods + other.methods,
            **{
                name: np.concatenate([getattr(self, name), getattr(other, name)])
                for name in ("windows", "groups", "sources", "weight", "radius")
            },
        )


def one_label(labels: Sequence[str]) -> str:
    """The label that windows share.

    Raises:
        ValueError: there are several, or none.
    """
    found = sorted(set(labels))
    if len(found) != 1:
        said = "none" if not found else " and ".join(map(repr, found[:4]))
        raise ValueError(
            f"windows of one label are combined, never of several: got {said}. What lies between "
            "two classes belongs to neither; call it once for each label"
        )
    return found[0]


def labels_of(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The label of each window, given those of its rows.

    Raises:
        ValueError: a window spans two labels, or has no rows; its number is named.
    """
    labels = []
    for number, row_labels in enumerate(rows):
        found = sorted(set(row_labels))
        if len(found) != 1:
            said = " and ".join(map(repr, found[:4])) or "none"
            raise ValueError(
                f"window {number} spans several labels ({said}); cut windows inside one label"
            )
        labels.append(found[0])
    return tuple(labels)


def augment(
    detector: Detector,
    windows: Windows,
    group: Group,
    *,
    labels: Sequence[str],
    recipe: Recipe,
    count: int,
    generator: np.random.Generator,
    unlabelled: Float32[np.ndarray, "others latent"] | None = None,
) -> Made:
    """Make windows of the class of some.

    The covariance S of n windows in a latent space of d axes is shrunk, as few windows leave most
    axes unknown: (n - 1) / (n - 1 + d) S + d / (n - 1 + d) T, the mean of a Wishart posterior
    whose prior T counts d windows. T is the covariance of unlabelled windows where they are given
    (what can vary there, varies here too), else the diagonal of S.

    Args:
        detector: trained on unlabelled data; encodes and decodes.
        windows: of one class, R rows each, channel units; NaN = missing.
        group: `detector.group_of` their sensor, or one for each.
        labels: of each window, all alike. Unlabelled data has one label too, such as "".
        recipe: how.
        count: windows to make.
        generator: of everything that is drawn.
        unlabelled: latents of other windows, of no known class; `Method.TRANSFER` needs two.

    Returns:
        `count` windows; those that are sources take turns.

    Raises:
        ValueError: several labels, too few windows for the method, wrong shapes, or count < 0.
    """
    if len(labels) != len(windows):
        raise ValueError(f"one label for each window: got {len(labels)} and {len(windows)}")
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    label = one_label(labels)
    if len(windows) < recipe.least:
        raise ValueError(
            f"method {recipe.method} needs at least {recipe.least} windows of {label!r}, "
            f"got {len(windows)}"
        )
    groups = np.broadcast_to(np.asarray(group, dtype=np.int64), len(windows))
    known = _Class.of(encode(detector, windows, groups), unlabelled)
    firsts = _in_turn(len(windows), count, generator)
    places = known.places(firsts, recipe, generator)
    made = decode(detector, places.latents.astype(np.float32), groups[firsts])
    if recipe.residual is Residual.KEEP:
        explained = decode(detector, known.latents.astype(np.float32), groups)
        made += (windows - explained)[firsts]
    return Made(
        windows=made,
        groups=groups[firsts],
        methods=(recipe.method,) * count,
        sources=np.stack([firsts, places.seconds], axis=1),
        weight=places.weight,
        radius=known.distance(places.latents - places.origin),
    )


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where the latents of made windows lie, and from where their distance counts."""

    latents: _Values
    origin: Float64[np.ndarray, "..."]
    seconds: Int64[np.ndarray, " n"]
    weight: Float64[np.ndarray, " n"]

    @classmethod
    def alone(cls, latents: _Values, origin: Float64[np.ndarray, "..."]) -> Self:
        """Without a second source."""
        none, unmixed = np.full(len(latents), -1, dtype=np.int64), np.full(len(latents), np.nan)
        return cls(latents=latents, origin=origin, seconds=none, weight=unmixed)


@dataclass(frozen=True, kw_only=True)
class _Class:
    """The latents of a class, how they spread, and others of no known class.

    `factor` is the lower triangle L of the shrunk covariance L Lᵀ.
    """

    latents: _Values
    factor: Float64[np.ndarray, "latent latent"]
    unlabelled: _Others | None

    @classmethod
    def of(cls, latents: Latents, unlabelled: Float32[np.ndarray, "others latent"] | None) -> Self:
        own = latents.astype(np.float64)
        others = None if unlabelled is None else unlabelled.astype(np.float64)
        return cls(latents=own, factor=_deviation(own, others), unlabelled=others)

    def places(self, firsts: _Picks, recipe: Recipe, generator: np.random.Generator) -> _Places:
        """Where the latents made of each of `firsts` lie."""
        match recipe.method:
            case Method.NEIGHBOURS:
                start = self.latents[firsts]
                return _Places.alone(start + self._steps(len(firsts), recipe, generator), start)
            case Method.SAMPLE:
                mean = self.latents.mean(axis=0)
                return _Places.alone(mean + self._steps(len(firsts), recipe, generator), mean)
            case Method.INTERPOLATE:
                return self._between(firsts, recipe, generator)
            case Method.TRANSFER:
                return self._transferred(firsts, generator)

    def distance(self, steps: _Values) -> Float64[np.ndarray, " n"]:
        """Length of steps, in standard deviations: the root of the mean square over the axes."""
        distance: Float64[np.ndarray, " n"] = np.sqrt(np.square(self._whitened(steps)).mean(axis=1))
        return distance

    def _whitened(self, values: _Values) -> _Values:
        whitened: _Values = np.linalg.solve(self.factor, values.T).T
        return whitened

    def _steps(self, count: int, recipe: Recipe, generator: np.random.Generator) -> _Values:
        drawn = generator.standard_normal((count, self.latents.shape[1]))
        steps: _Values = recipe.radius * drawn @ self.factor.T
        return steps

    def _between(self, firsts: _Picks, recipe: Recipe, generator: np.random.Generator) -> _Places:
        whitened = self._whitened(self.latents)
        squares = np.square(whitened[:, None] - whitened[None]).sum(axis=2)
        np.fill_diagonal(squares, np.inf)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :-1][:, : recipe.neighbours]
        seconds = nearest[firsts, generator.integers(0, nearest.shape[1], len(firsts))]
        weight = generator.random(len(firsts))
        start = self.latents[firsts]
        mixed = start + weight[:, None] * (self.latents[seconds] - start)
        return _Places(latents=mixed, origin=start, seconds=seconds.astype(np.int64), weight=weight)

    def _transferred(self, firsts: _Picks, generator: np.random.Generator) -> _Places:
        states = self.unlabelled
        if states is None or len(states) < _LEAST_FOR_PAIRS:
            raise ValueError(
                f"method {Method.TRANSFER} needs at least {_LEAST_FOR_PAIRS} unlabelled windows: "
                "they say how the state of the machine changes"
            )
        whitened, own = self._whitened(states), self._whitened(self.latents)
        usual = np.array([np.square(whitened - one).sum(axis=1).argmin() for one in own])
        other = generator.integers(0, len(states), len(firsts))
        start = self.latents[firsts]
        return _Places.alone(start + states[other] - states[usual[firsts]], start)


def _in_turn(n: int, count: int, generator: np.random.Generator) -> _Picks:
    """Each of n as often as any other, in an order drawn anew in each round."""
    rounds = [generator.permutation(n) for _ in range(-(-count // n))]
    return np.concatenate([np.zeros(0, dtype=np.int64), *rounds])[:count].astype(np.int64)


def _deviation(
    latents: _Values, unlabelled: _Others | None
) -> Float64[np.ndarray, "latent latent"]:
    """Lower triangle L with L Lᵀ the shrunk covariance of a class."""
    n, d = latents.shape
    own = np.cov(latents, rowvar=False).reshape(d, d) if n > 1 else np.zeros((d, d))
    prior = np.diag(np.diag(own))
    if unlabelled is not None and len(unlabelled) >= _LEAST_FOR_PAIRS:
        prior = np.cov(unlabelled, rowvar=False).reshape(d, d)
    share = d / (n - 1 + d)
    shrunk = (1 - share) * own + share * prior
    floor = max(_JITTER * float(np.trace(shrunk)) / d, _LEAST_VARIANCE)
    factor: Float64[np.ndarray, "latent latent"]
    factor = np.linalg.cholesky(shrunk + floor * np.eye(d))
    return factor
