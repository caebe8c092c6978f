"""Where a window lies on a map of the model's latent space: two dimensions for people to look at.

The map is a principal component analysis (Pearson 1901; Hotelling 1933) of the latent vectors of
the calibration block: its first two axes, each in standard deviations of what was normal there. So
the middle of the map is the usual state and, along either axis, 3 is far from it. What else a
latent vector says (all other axes) is not on the map: two places that lie together need not be one
state, two that lie apart are two states.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float32, Float64

NORMAL = 0.99
"""Share of the calibration block that the map is made of: a fault in it must not turn the axes."""
_FEWEST = 3

Latents = Float32[np.ndarray, "n latent"]
Places = Float64[np.ndarray, "n 2"]


@dataclass(frozen=True, kw_only=True)
class LatentMap:
    """The two main axes of a latent space.

    place = (latent - mean) . axes / deviation

    Attributes:
        mean: latent vector of the middle.
        axes: of length 1, the one along which normal windows differ most first; an axis that a
            latent space of one number lacks is 0. Their largest number is positive.
        deviation: standard deviations of normal windows along the axes, > 0.

    Raises:
        ValueError: shapes that do not fit, or numbers out of range.
    """

    mean: Float64[np.ndarray, " latent"]
    axes: Float64[np.ndarray, "2 latent"]
    deviation: Float64[np.ndarray, "2"]

    def __post_init__(self) -> None:
        size = len(self.mean)
        found = (self.mean.shape, self.axes.shape, self.deviation.shape)
        if found != ((size,), (2, size), (2,)):
            raise ValueError(
                f"a map needs mean ({size},), axes (2, {size}) and deviation (2,), got {found}"
            )
        if not (np.isfinite(self.deviation) & (self.deviation > 0)).all():
            raise ValueError("both axes of a map need a standard deviation greater than 0")

    def places(self, latents: Latents) -> Places:
        """The place of each latent vector on the map, in standard deviations.

        A row's bits do not depend on the other rows: all is done number by number, in one order.
        NaN or an infinity in a latent vector gives NaN or an infinity.
        """
        total = np.zeros((len(latents), 2))
        with np.errstate(invalid="ignore", over="ignore"):
            for column, middle, weights in zip(latents.T, self.mean, self.axes.T, strict=True):
                total += (column.astype(np.float64) - middle)[:, None] * weights
            total /= self.deviation
        return total

    @classmethod
    def fit(cls, latents: Latents) -> Self | None:
        """The map of the latent vectors of normal windows; None of fewer than three.

        Args:
            latents: in order of time. The hundredth that lies farthest out is left out.
        """
        if len(latents) < _FEWEST:
            return None
        normal = _inner(latents.astype(np.float64))
        mean = normal.mean(axis=0)
        centred = normal - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(normal))
        axes = np.zeros((2, len(mean)))
        deviation = np.ones(2)
        for at in range(min(2, len(mean))):
            axis = vectors[:, -1 - at]
            axes[at] = axis * np.sign(axis[np.argmax(np.abs(axis))])
            # A latent space that never moved, or moved along one axis alone, has no scale here.
            if values[-1 - at] > np.finfo(np.float32).eps * max(values[-1], 0.0):
                deviation[at] = np.sqrt(values[-1 - at])
        return cls(mean=mean, axes=axes, deviation=deviation)

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name, as an artifact stores them."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], latent_size: int) -> Self | None:
        """What `arrays` gave; None of no arrays: the artifact is older.

        Raises:
            ValueError: a name is missing, a shape does not fit, or a number is out of range.
        """
        if not arrays:
            return None
        if missing := sorted(set(_NAMES) - set(arrays)):
            raise ValueError(f"a map needs {', '.join(_NAMES)}; {', '.join(missing)} is missing")
        if arrays["mean"].shape != (latent_size,):
            raise ValueError(
                f"a map of {latent_size} latent numbers has a mean of {arrays['mean'].shape}"
            )
        return cls(**{name: arrays[name] for name in _NAMES})


_NAMES = ("mean", "axes", "deviation")


def _inner(latents: Float64[np.ndarray, "n latent"]) -> Float64[np.ndarray, "inner latent"]:
    """Without the rows farthest from the median, in robust spreads of each latent number."""
    away = np.abs(latents - np.median(latents, axis=0))
    spread = np.median(away, axis=0)
    distance = np.square(away / np.where(spread > 0, spread, 1.0)).mean(axis=1)
    inner: Float64[np.ndarray, "inner latent"] = latents[distance <= np.quantile(distance, NORMAL)]
    return inner
