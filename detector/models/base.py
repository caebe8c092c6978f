"""What every autoencoder of Vigie is: an encoder, a decoder and a latent space between them.

A model works on *windows*: R readings in a row of C channels, in scaled units (zero is normal,
one is the usual spread). It knows no sensor, no unit and no threshold.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

MAX_RECEPTIVE_FIELD = 4096
MAX_CHANNELS = 1024
MAX_INPUT_SIZE = 1 << 16
LEAST_WIDTH = 16
"""Columns from which a product has the same bits in every row of a batch; see `product`."""

Windows = Float[Tensor, "batch time channel"]
Latent = Float[Tensor, "batch latent"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes that every model has.

    Attributes:
        n_channels: channels C of a reading, 1..1024.
        receptive_field: readings R of a window, 1..4096.
        latent_size: numbers that must carry the whole window, 1..C*R-1.

    Raises:
        ValueError: a size is out of its range, with the range in the message.
    """

    n_channels: int
    receptive_field: int
    latent_size: int

    def __post_init__(self) -> None:
        check_range("n_channels", self.n_channels, 1, MAX_CHANNELS)
        check_range("receptive_field", self.receptive_field, 1, MAX_RECEPTIVE_FIELD)
        check_range("n_channels * receptive_field", self.input_size, 2, MAX_INPUT_SIZE)
        # A bottleneck as wide as its input learns the identity and reconstructs every fault.
        check_range("latent_size", self.latent_size, 1, self.input_size - 1)

    @property
    def input_size(self) -> int:
        """Numbers in a window, C * R."""
        return self.n_channels * self.receptive_field

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Build from the parsed JSON of an artifact.

        Raises:
            ValueError: a key is unknown or missing, or a value out of range.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        required = {name for name, value in defaults.items() if value is dataclasses.MISSING}
        if unknown := sorted(set(values) - set(defaults)):
            raise ValueError(f"{cls.__name__} knows {sorted(defaults)}, got also {unknown}")
        if missing := sorted(required - set(values)):
            raise ValueError(f"{cls.__name__} needs {missing}")
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**fields)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Reject a size outside of low..high, naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in {low}..{high}, got {value!r}")


def product(
    values: Float[Tensor, "batch size_in"],
    weight: Float[Tensor, "size_in size_out"],
    bias: Float[Tensor, " size_out"],
) -> Float[Tensor, "batch size_out"]:
    """Values W + b, whose every row has the same bits wherever it stands in a batch of one size.

    A library that computes fewer than 12 columns (seen with MKL: 5, 6, 7, 9, 10, 11) gives other
    low bits to some rows than to others, so narrow results are computed wider and cut.
    """
    width = weight.shape[1]
    if width >= LEAST_WIDTH:
        return torch.addmm(bias, values, weight)
    more = (0, LEAST_WIDTH - width)
    wide = torch.addmm(F.pad(bias, more), values, F.pad(weight, more))
    return wide[:, :width].contiguous()


class Autoencoder(nn.Module, ABC):
    """Encoder and decoder with a bottleneck between them; output and input have one shape.

    Subclasses are deterministic in evaluation mode and treat each window of a batch on its own:
    no batch statistics, so that a score cannot depend on its neighbours.
    """

    kind: ClassVar[str]
    config: ModelConfig

    @property
    def n_channels(self) -> int:
        """Channels C of a window."""
        return self.config.n_channels

    @property
    def receptive_field(self) -> int:
        """Readings R of a window."""
        return self.config.receptive_field

    @property
    def latent_size(self) -> int:
        """Numbers in the latent vector of a window."""
        return self.config.latent_size

    @abstractmethod
    def encode(self, windows: Windows) -> Latent:
        """The latent vector of each window."""

    @abstractmethod
    def decode(self, latent: Latent) -> Windows:
        """The window that each latent vector stands for."""

    def penalty(self, latent: Latent, generator: torch.Generator) -> Float[Tensor, ""] | None:
        """What the training adds to the loss for the latents of a batch; None: nothing.

        Args:
            latent: of the batch.
            generator: all randomness, on the CPU.
        """
        del latent, generator
        return None

    def reconstruct(self, windows: Windows) -> Windows:
        """Each window as far as the bottleneck can carry it."""
        return self.decode(self.encode(windows))

    def forward(self, windows: Windows) -> Windows:
        """Same as `reconstruct`."""
        return self.reconstruct(windows)
