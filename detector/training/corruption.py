"""What a training window suffers before the autoencoder must restore it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Noise in, clean out (Vincent et al. 2008); if wanted, one channel that lies.

    Attributes:
        noise: white noise, in multiples of each channel's own noise level, drawn for each
            window between 0 and this: the model meets quiet and noisy days.
        least_noise: noise for channels that have none, in scaled units; it keeps the model from
            trusting one channel with everything.
        swap: share of the windows in which one channel is taken from another window. The model
            learns to tell a channel from the others, which finds smaller faults, but it trusts
            the range it has seen far more: on simulated pumps that left that range, a share of
            0.3 raised the false alarms fivefold and cost 3 dB of denoising. Hence 0.

    Raises:
        ValueError: a number is out of range.
    """

    noise: float = 1.0
    least_noise: float = 0.05
    swap: float = 0.0

    def __post_init__(self) -> None:
        if self.noise < 0 or self.least_noise < 0 or not 0 <= self.swap <= 1:
            raise ValueError(
                f"noise and least_noise must be >= 0 and swap in 0..1, got {self.noise}, "
                f"{self.least_noise}, {self.swap}"
            )

    def apply(
        self,
        windows: Float[Tensor, "batch time channel"],
        sigma: Float[Tensor, "batch channel"],
        generator: torch.Generator,
    ) -> Float[Tensor, "batch time channel"]:
        """A corrupted copy of the windows; sigma is the noise level in scaled units."""
        batch, _, channels = windows.shape
        amount = torch.rand(batch, 1, generator=generator) * self.noise
        deviation = (sigma * amount).clamp(min=self.least_noise).unsqueeze(1)
        noisy = windows + deviation * torch.randn(windows.shape, generator=generator)
        if self.swap == 0:
            return noisy
        donor = torch.randperm(batch, generator=generator)
        channel = torch.randint(channels, (batch, 1, 1), generator=generator)
        hit = torch.rand(batch, 1, 1, generator=generator) < self.swap
        lying = hit & (torch.arange(channels).view(1, 1, -1) == channel)
        return torch.where(lying, noisy[donor], noisy)
