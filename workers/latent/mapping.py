"""A map of windows: where each lies in the latent space, in two dimensions, and what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from detector.latent import LatentSpace, encode
from detector.scoring import Detector
from workers.backtest.backtest import ScoredSensor
from workers.data.history import History
from workers.latent.errors import LatentError
from workers.latent.windows import Chosen, all_windows

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

STEPS = 60
"""Places on the way of a machine: each is the mean of so large a part of its time."""
_FEWEST_WINDOWS = 3
_PERPLEXITY = 30.0
NO_LABEL = "not labelled"
NORMAL_WORDS = (NO_LABEL, "0", "0.0")
"""Words of a label column that mean: nothing is wrong. They are drawn in grey."""


class Method(Enum):
    """How the latent space becomes two dimensions."""

    MODEL = "model"
    """The model's own map: principal components of what was normal when it was trained. The axes
    stay the same from file to file and are those of the page."""
    PCA = "pca"
    """Principal components of these very windows."""
    TSNE = "tsne"
    """t-SNE (van der Maaten and Hinton 2008): neighbours stay together; distances between groups
    and the axes themselves mean nothing. Needs scikit-learn."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way of one machine through the map.

    Attributes:
        points: mean place of each part of its time, [k, 2].
        ts_ns: middle of each part, [k].
    """

    sensor: str
    points: FloatArray
    ts_ns: IntArray


@dataclass(frozen=True, kw_only=True)
class Map:
    """What a map shows.

    Attributes:
        points: place of each window, [n, 2].
        axes: what the two numbers are.
        sensors: of each window.
        ts_ns: time of its last row, [n].
        score: published score of that row, NaN where it has none, [n].
        kinds: word of the label column at that row; None without labels.
        ways: of the machines that were asked for.
    """

    title: str
    points: FloatArray
    axes: tuple[str, str]
    sensors: tuple[str, ...]
    ts_ns: IntArray
    score: FloatArray
    kinds: tuple[str, ...] | None = None
    ways: Sequence[Way] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.points)


def map_of(
    history: History,
    detector: Detector,
    scored: Sequence[ScoredSensor],
    *,
    method: Method = Method.MODEL,
    kinds: Mapping[str, History] | None = None,
    ways: Sequence[str] = (),
    limit: int = 4_000,
    seed: int = 0,
) -> Map:
    """Encode the windows of a history and lay them out.

    Args:
        history: with the channels of the detector.
        detector: that encodes.
        scored: the same sensors, scored; of the score.
        method: of the projection.
        kinds: by word of a label column, the history with the rows of that word labelled; None
            takes the labels of `history`.
        ways: sensors whose way is drawn.
        limit: windows at most, evenly picked.
        seed: of t-SNE.

    Raises:
        LatentError: there is no window or no such sensor, or scikit-learn is missing.
    """
    chosen = all_windows(history, detector, limit=limit)
    latents = encode(detector, chosen.values, chosen.groups)
    points, axes = _projected(detector, latents, method, seed)
    ends = chosen.ts_ns[:, -1]
    return Map(
        title=f"{len(chosen):,} windows in the latent space of {detector.name}@{detector.version}",
        points=points,
        axes=axes,
        sensors=chosen.sensors,
        ts_ns=ends,
        score=_scores(chosen, scored),
        kinds=_kinds(chosen, kinds),
        ways=[_way(name, chosen, points) for name in ways],
    )


def _projected(
    detector: Detector, latents: npt.NDArray[np.float32], method: Method, seed: int
) -> tuple[FloatArray, tuple[str, str]]:
    own = detector.head.latent_map
    if method is Method.MODEL and own is not None:
        return own.places(latents), (
            "component 1 of normal operation, standard deviations",
            "component 2 of normal operation, standard deviations",
        )
    if len(latents) < _FEWEST_WINDOWS:
        raise LatentError(
            f"a map needs at least {_FEWEST_WINDOWS} windows, there are {len(latents)}: give more "
            "rows"
        )
    if method is Method.TSNE:
        return _tsne(latents, seed), ("t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    space = LatentSpace.of(latents)
    dimensions = min(2, len(space.axes))
    points = np.zeros((len(latents), 2))
    points[:, :dimensions] = space.project(latents, dimensions)
    shares = np.square(space.deviations) / max(np.square(space.deviations).sum(), 1e-300)
    first, second = (shares[place] if place < len(shares) else 0.0 for place in (0, 1))
    return points, (
        f"component 1 ({first:.0%} of the variance)",
        f"component 2 ({second:.0%} of the variance)",
    )


def _tsne(latents: npt.NDArray[np.float32], seed: int) -> FloatArray:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise LatentError(
            "t-SNE needs scikit-learn: pip install 'vigie[latent]', or take --method pca"
        ) from error
    perplexity = min(_PERPLEXITY, (len(latents) - 1) / 3)
    layout = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=seed)
    points: FloatArray = layout.fit_transform(latents).astype(np.float64)
    return points


def _scores(chosen: Chosen, scored: Sequence[ScoredSensor]) -> FloatArray:
    score = np.full(len(chosen), np.nan)
    sensors, ends = np.array(chosen.sensors), chosen.ts_ns[:, -1]
    for one in scored:
        own = np.flatnonzero(sensors == one.sensor)
        score[own] = one.score[np.searchsorted(one.ts_ns, ends[own])]
    return score


def _kinds(chosen: Chosen, kinds: Mapping[str, History] | None) -> tuple[str, ...] | None:
    if kinds is None:
        if chosen.labels is None:
            return None
        return tuple("labelled" if one else NO_LABEL for one in chosen.labels)
    sensors, ends = np.array(chosen.sensors), chosen.ts_ns[:, -1]
    found = np.full(len(chosen), NO_LABEL, dtype=object)
    for word, history in kinds.items():
        for one in history.sensors:
            if one.labels is None:
                continue
            own = np.flatnonzero(sensors == one.sensor)
            rows = np.searchsorted(one.ts_ns, ends[own])
            found[own[one.labels[rows]]] = word
    return tuple(str(one) for one in found)


def _way(name: str, chosen: Chosen, points: FloatArray) -> Way:
    own = np.flatnonzero(np.array(chosen.sensors) == name)
    if not len(own):
        raise LatentError(
            f"--trajectory: {name!r} has no window on the map; there are "
            f"{', '.join(dict.fromkeys(chosen.sensors))}"
        )
    parts = np.array_split(own, min(STEPS, len(own)))
    return Way(
        sensor=name,
        points=np.array([points[part].mean(axis=0) for part in parts]),
        ts_ns=np.array([int(chosen.ts_ns[part[len(part) // 2], -1]) for part in parts]),
    )
