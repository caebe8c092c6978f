"""A reading predicted from everything around it, the reading itself left out."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detector.models.base import product


class BlindSpot(nn.Module):
    """A linear prediction of a reading, corrected by an autoencoder of what surrounds it.

    Each channel is predicted from the means of its own past and from the other channels, now and
    before: nothing of a value reaches its own prediction. So the noise in both is independent, and
    the prediction is learned from noisy readings alone (blind-spot networks: Krull et al. 2019;
    J-invariance: Batson and Royer 2019).

    The autoencoder is blind to the whole reading: past in, through a bottleneck, the reading out,
    less what the linear prediction knows. Seeing the other channels' newest values too would gain
    it less than 0.1 dB, and cost a pass for each channel.

    Attributes:
        near: places of the context, out of its K means and the reading (last), that channels see
            of one another.
        own: prediction and checks of a channel from its own context, [1 + checks, K + 1, C].
        cross: prediction from the other channels, [near * C, C].
        width, latent: hidden and latent units of the autoencoder; 0 hidden: linear only.
    """

    own: Tensor
    cross: Tensor
    places: Tensor

    def __init__(
        self,
        *,
        channels: int,
        means: int,
        near: Sequence[int],
        checks: int,
        hidden: int,
        latent: int,
    ) -> None:
        super().__init__()
        if not near or near[-1] != means or min(near) < 0 or max(near) > means:
            raise ValueError(
                f"near must be places 0..{means} and end with the reading, place {means}, "
                f"got {near}"
            )
        self.near = tuple(near)
        self.checks = checks
        self.width, self.latent = hidden, latent
        self.register_buffer("places", torch.tensor(self.near), persistent=False)
        self.register_buffer("own", torch.zeros(1 + checks, means + 1, channels))
        self.register_buffer("cross", torch.zeros(len(self.near) * channels, channels))
        self.layers = nn.ModuleList(
            nn.Linear(size_in, size_out)
            for size_in, size_out in itertools.pairwise(
                (len(self.near) * channels, hidden, latent, hidden, channels) if hidden else ()
            )
        )

    def linear(
        self, context: Float[Tensor, "n places channels"]
    ) -> tuple[Float[Tensor, "n channels"], Float[Tensor, "n checks channels"]]:
        """The linear part of the prediction, and the checks."""
        near = context.index_select(1, self.places).flatten(1)
        across = product(near, self.cross, torch.zeros_like(self.cross[0]))
        parts = [(context * weight).sum(1) for weight in self.own]
        checks = parts[1:] or [torch.zeros_like(parts[0])]
        return parts[0].add_(across), torch.stack(checks, 1)

    def correction(
        self,
        context: Float[Tensor, "n places channels"],
        middle: Float[Tensor, "n channels"],
    ) -> Float[Tensor, "n channels"]:
        """What the autoencoder adds to the linear prediction."""
        past = context.index_select(1, self.places[:-1]).flatten(1)
        # A level that training has hardly seen must not lead it astray.
        values = torch.cat([past, middle.clamp(-_WIDEST, _WIDEST)], 1)
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear), "as it was built"
            values = product(values, layer.weight.T, layer.bias)
            if number in _RECTIFIED:
                values = torch.relu(values)
        return values

    def forward(
        self,
        context: Float[Tensor, "n places channels"],
        middle: Float[Tensor, "n channels"],
    ) -> tuple[Float[Tensor, "n channels"], Float[Tensor, "n checks channels"]]:
        """Prediction, relative to the middle, and checks."""
        prediction, checks = self.linear(context)
        if self.width:
            prediction = prediction + self.correction(context, middle)
        return prediction, checks


_WIDEST = 4.0
"""Scaled units within which the autoencoder is told the level."""
_RECTIFIED = (0, 2)
"""The hidden layers; latent and output are linear."""
