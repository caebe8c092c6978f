"""A convolutional autoencoder along time: fewer weights, indifferent to when a pattern begins."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from detector.models.base import Autoencoder, ModelConfig, check_range, product

_STRIDES = 4  # two convolutions of stride two


@dataclass(frozen=True, kw_only=True)
class ConvConfig(ModelConfig):
    """Sizes of `ConvAutoencoder`.

    Attributes:
        filters: channels of both inner layers.
        kernel_size: readings under one filter, odd.
    """

    filters: int = 32
    kernel_size: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("filters", self.filters, 1, 1024)
        check_range("kernel_size", self.kernel_size, 1, 63)
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")


class ConvAutoencoder(Autoencoder):
    """Two strided convolutions, a linear bottleneck, and the same way back.

    A window whose length is no multiple of four is padded in front with its first reading and
    cut again at the end, so every receptive field is allowed.
    """

    kind: ClassVar[str] = "conv"

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.config = config
        self._padding = -config.receptive_field % _STRIDES
        self._steps = (config.receptive_field + self._padding) // _STRIDES
        self._filters = config.filters
        size, reach = config.kernel_size, config.kernel_size // 2
        self.down = nn.Sequential(
            nn.Conv1d(config.n_channels, config.filters, size, stride=2, padding=reach),
            nn.ReLU(inplace=True),
            nn.Conv1d(config.filters, config.filters, size, stride=2, padding=reach),
            nn.ReLU(inplace=True),
        )
        inner = config.filters * self._steps
        self.to_latent = nn.Linear(inner, config.latent_size)
        self.from_latent = nn.Linear(config.latent_size, inner)
        self.up = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv1d(config.filters, config.filters, size, padding=reach),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv1d(config.filters, config.n_channels, size, padding=reach),
        )

    def encode(self, windows: Float[Tensor, "batch time channel"]) -> Float[Tensor, "batch latent"]:
        """See `Autoencoder.encode`."""
        signal = windows.transpose(1, 2)  # [batch, C, R]
        if self._padding:
            signal = F.pad(signal, (self._padding, 0), mode="replicate")
        features: Tensor = self.down(signal)  # [batch, filters, steps]
        return product(features.flatten(1), self.to_latent.weight.T, self.to_latent.bias)

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch time channel"]:
        """See `Autoencoder.decode`."""
        features = self.from_latent(latent).view(-1, self._filters, self._steps)
        signal: Tensor = self.up(features)  # [batch, C, R + padding]
        return signal[:, :, self._padding :].transpose(1, 2).contiguous()
