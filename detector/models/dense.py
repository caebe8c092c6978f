"""A fully connected autoencoder over the whole window: the default, and the fastest."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detector.models.base import Autoencoder, ModelConfig, check_range, product


@dataclass(frozen=True, kw_only=True)
class DenseConfig(ModelConfig):
    """Sizes of `DenseAutoencoder`.

    Attributes:
        hidden: widths between input and latent; the decoder mirrors them.
    """

    hidden: tuple[int, ...] = (128,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("len(hidden)", len(self.hidden), 0, 8)
        for width in self.hidden:
            check_range("hidden", width, 1, 1 << 14)


class DenseAutoencoder(Autoencoder):
    """R*C - hidden - latent - hidden - R*C with rectified hidden layers (Hinton 2006).

    The latent layer is linear: its axes are free to take any sign, and distances in it mean
    something. ReLU because it is the one activation that costs nothing beside the products:
    GELU takes a third of the time of the whole network on one core.
    """

    kind: ClassVar[str] = "dense"

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.input_size, *config.hidden, config.latent_size)
        self.encoder = _perceptron(widths)
        self.decoder = _perceptron(widths[::-1])

    def encode(self, windows: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch latent"]:
        """See `Autoencoder.encode`."""
        latent: Tensor = self.encoder(windows.flatten(1))  # [batch, R*C] -> [batch, latent]
        return latent

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch time channel"]:
        """See `Autoencoder.decode`."""
        flat: Tensor = self.decoder(latent)  # [batch, latent] -> [batch, R*C]
        return flat.view(-1, self.receptive_field, self.n_channels)


class _Layer(nn.Module):
    """y = x W + b, with W stored as [in, out].

    torch.nn.Linear keeps the transpose; reading it this way takes a fifth less time on a core.
    """

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        bound = size_in**-0.5  # as torch.nn.Linear draws its first weights
        self.weight = nn.Parameter(torch.empty(size_in, size_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(size_out).uniform_(-bound, bound))

    def forward(self, values: Float[Tensor, "batch size_in"]) -> Float[Tensor, "batch size_out"]:
        return product(values, self.weight, self.bias)


def _perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(widths):
        layers += [_Layer(size_in, size_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
