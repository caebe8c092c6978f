"""What the views of a detector say of the windows of one call, before it becomes scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from torch import Tensor

from detector.views.base import Cleaned

Samples = Float32[np.ndarray, "n channels"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What views say of n windows.

    Attributes:
        distances: what the fusion makes scores of.
        parts: each channel's part of them.
        expected: the newest reading, scaled units.
        latent: the signal view's latent vector.
        cleaned: prediction, scaled units, and the share of its noise (see `Cleaned`).
        settled: the same of an earlier reading; None where nobody asked.
    """

    distances: Float32[np.ndarray, "distances n"]
    parts: Float32[np.ndarray, "distances n channels"]
    expected: Samples
    latent: Float32[np.ndarray, "n latent"]
    cleaned: tuple[Samples, Samples]
    settled: tuple[Samples, Samples] | None

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], *, settling: bool) -> "Measurement":
        """From arrays by name; without a denoising view nothing is taken for noise."""
        expected = arrays["expected"]
        nothing = (expected, np.zeros_like(expected))
        cleaned, settled = (
            (arrays[f"{name}.prediction"], arrays[f"{name}.share"])
            if f"{name}.share" in arrays
            else nothing
            for name in ("cleaned", "settled")
        )
        return cls(
            distances=arrays["distances"],
            parts=arrays["parts"],
            expected=expected,
            latent=arrays["latent"],
            cleaned=cleaned,
            settled=settled if settling else None,
        )

    @classmethod
    def empty(
        cls, distances: int, n: int, channels: int, latent: int, *, settling: bool
    ) -> "Measurement":
        """Room for n windows."""

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, dtype=np.float32)

        return cls(
            distances=zeros(distances, n),
            parts=zeros(distances, n, channels),
            expected=zeros(n, channels),
            latent=zeros(n, latent),
            cleaned=(zeros(n, channels), zeros(n, channels)),
            settled=(zeros(n, channels), zeros(n, channels)) if settling else None,
        )

    def take(
        self, some: "Measurement", picked: Int64[np.ndarray, " k"], places: list[int] | None
    ) -> None:
        """Put in what was measured of some windows, by all distances or by those at `places`."""
        where = np.arange(len(self.distances)) if places is None else np.array(places)
        self.distances[np.ix_(where, picked)] = some.distances
        self.parts[np.ix_(where, picked)] = some.parts
        self.expected[picked] = some.expected
        self.latent[picked] = some.latent
        for own, other in ((self.cleaned, some.cleaned), (self.settled, some.settled)):
            for array, values in zip(own or (), other or (), strict=False):
                array[picked] = values


def named(name: str, cleaned: Cleaned | None) -> dict[str, Tensor]:
    """Its tensors as `Measurement.of` wants them."""
    if cleaned is None:
        return {}
    return {f"{name}.prediction": cleaned.prediction, f"{name}.share": cleaned.share}
