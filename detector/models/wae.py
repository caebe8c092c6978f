"""A dense autoencoder whose latent space is held in one known shape: a Wasserstein autoencoder.

A plain autoencoder puts windows where the reconstruction likes them; between them are places that
no window has, and what the decoder makes of those is anybody's guess. Here the training also pulls
the latents of a batch, taken together, towards a standard normal distribution (Tolstikhin et al.
2018, WAE-MMD). The encoder stays a function of its window, so a score has its bits as ever; a
variational autoencoder draws its latents at random.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from detector.models.base import Latent
from detector.models.dense import DenseAutoencoder, DenseConfig

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the kernel's width, as in the authors' code: far off latents feel a pull as well."""


@dataclass(frozen=True, kw_only=True)
class WassersteinConfig(DenseConfig):
    """Sizes of `WassersteinAutoencoder`.

    Attributes:
        pull: weight of the discrepancy beside the mean squared error, >= 0; 0 is a dense
            autoencoder.
    """

    pull: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.pull) and self.pull >= 0):
            raise ValueError(f"pull must be a number of at least 0, got {self.pull!r}")


class WassersteinAutoencoder(DenseAutoencoder):
    """`DenseAutoencoder` with a penalty on how far its latents are from a standard normal.

    loss = reconstruction error + pull * MMD²(latents of the batch, as many draws of N(0, I)).
    """

    kind: ClassVar[str] = "wae"
    config: WassersteinConfig

    def penalty(self, latent: Latent, generator: torch.Generator) -> Float[Tensor, ""] | None:
        """See `Autoencoder.penalty`."""
        if self.config.pull == 0 or len(latent) < 2:  # noqa: PLR2004 (two latents have a distance)
            return None
        prior = torch.randn(latent.shape, generator=generator).to(latent.device)
        return self.config.pull * discrepancy(latent.float(), prior)


def discrepancy(
    one: Float[Tensor, "n latent"], other: Float[Tensor, "n latent"]
) -> Float[Tensor, ""]:
    """Maximum mean discrepancy, squared, of two samples (Gretton et al. 2012), unbiased.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over pairs of two different vectors, with the
    inverse multiquadratics kernel k(x, y) = mean over s of C_s / (C_s + |x - y|²), C_s = 2 d s for
    d latent dimensions: the mean squared distance of two draws of N(0, I), times s.

    Returns:
        About 0 for samples of one distribution (it may lie a little below), towards 1 and more for
        samples far apart.
    """
    n = len(one)
    pairs = n * (n - 1)
    width = 2.0 * one.shape[1]
    total = one.new_zeros(())
    within = [_squared_distances(values, values) for values in (one, other)]
    across = _squared_distances(one, other)
    for scale in _SCALES:
        size = width * scale
        for distances in within:
            # A vector is no distance from itself: the diagonal holds n ones.
            total = total + ((size / (size + distances)).sum() - n) / pairs
        total = total - 2 * (size / (size + across)).mean()
    return total / len(_SCALES)


def _squared_distances(
    one: Float[Tensor, "n latent"], other: Float[Tensor, "m latent"]
) -> Float[Tensor, "n m"]:
    squares = one.square().sum(1)[:, None] + other.square().sum(1)[None] - 2 * one @ other.T
    return squares.clamp(min=0.0)
