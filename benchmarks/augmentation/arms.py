"""Ways to make more windows of few examples: the usual ones, and those of the latent space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling import SMOTE

from benchmarks.augmentation.tasks import FloatArray
from detector.augmentation import Method, Recipe, Residual, augment
from detector.latent import Latents
from detector.scoring import Detector
from detector.signal.series import carried

Labels = npt.NDArray[np.str_]

JITTER = 0.05
SCALING = 0.1
NEIGHBOURS = 5


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The few windows that a classifier may learn from.

    Attributes:
        windows: [n, R, C].
        labels: [n].
        groups: calibration group of each, [n].
    """

    windows: FloatArray
    labels: Labels
    groups: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What unlabelled readings taught: an autoencoder, and where they lie in its latent space."""

    detector: Detector
    unlabelled: Latents


Arm = Callable[[Examples, Knowledge, int, np.random.Generator], Examples]
"""Examples, what is known, windows to make of each class, generator: those that were made."""


def jitter_and_scaling(
    given: Examples, known: Knowledge, made: int, generator: np.random.Generator
) -> Examples:
    """White noise of 0.05, a factor of 1 +- 0.1 on each channel, scaled units (Um et al. 2017)."""
    picked = _picked(given, made, generator)
    scaler, groups = known.detector.signal.scaler, given.groups[picked]
    center, scale = scaler.center[groups][:, None], scaler.scale[groups][:, None]
    scaled = (given.windows[picked] - center) / scale
    factor = generator.normal(1.0, SCALING, (len(picked), 1, scaled.shape[2]))
    noisy = scaled * factor + generator.normal(0.0, JITTER, scaled.shape)
    return Examples(windows=noisy * scale + center, labels=given.labels[picked], groups=groups)


def smote(given: Examples, known: Knowledge, made: int, generator: np.random.Generator) -> Examples:
    """Between neighbours of a class, channel by channel and row by row (Chawla et al. 2002)."""
    scaler = known.detector.signal.scaler
    center, scale = scaler.center[given.groups][:, None], scaler.scale[given.groups][:, None]
    complete = np.stack([carried(one) for one in (given.windows - center) / scale])
    names, counts = np.unique(given.labels, return_counts=True)
    sampler = SMOTE(
        sampling_strategy={name: int(n) + made for name, n in zip(names, counts, strict=True)},
        k_neighbors=min(NEIGHBOURS, int(counts.min()) - 1),
        random_state=int(generator.integers(2**31)),
    )
    flat, labels = sampler.fit_resample(complete.reshape(len(complete), -1), given.labels)
    n = len(given.labels)
    # A mixed window belongs to no sensor: it gets the units of all of them.
    windows = flat[n:].reshape(-1, *given.windows.shape[1:]) * scaler.scale[0] + scaler.center[0]
    return Examples(windows=windows, labels=labels[n:], groups=np.zeros(len(windows), np.int64))


def latent(*recipes: Recipe) -> Arm:
    """As many by each recipe, class by class."""

    def make(
        given: Examples, known: Knowledge, made: int, generator: np.random.Generator
    ) -> Examples:
        parts = []
        for name in np.unique(given.labels):
            own = given.labels == name
            for recipe in recipes:
                some = augment(
                    known.detector,
                    given.windows[own],
                    given.groups[own],
                    labels=given.labels[own].tolist(),
                    recipe=recipe,
                    count=made // len(recipes),
                    generator=generator,
                    unlabelled=known.unlabelled,
                )
                parts.append((some.windows, np.full(len(some), name), some.groups))
        windows, labels, groups = (np.concatenate(one) for one in zip(*parts, strict=True))
        return Examples(windows=windows, labels=labels, groups=groups)

    return make


METHODS = (Method.NEIGHBOURS, Method.INTERPOLATE, Method.TRANSFER)

ARMS: Mapping[str, Arm | None] = {
    "none": None,
    "jitter and scaling": jitter_and_scaling,
    "SMOTE": smote,
    **{f"latent {method}": latent(Recipe(method=method)) for method in METHODS},
    "latent, all three": latent(*(Recipe(method=method) for method in METHODS)),
    "latent, all three, no residual": latent(
        *(Recipe(method=method, residual=Residual.DROP) for method in METHODS)
    ),
}


def _picked(given: Examples, made: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    names = np.unique(given.labels)
    return np.concatenate(
        [generator.choice(np.flatnonzero(given.labels == name), made) for name in names]
    )
