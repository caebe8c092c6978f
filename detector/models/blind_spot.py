"""A reading predicted from everything around it, the reading itself left out."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detector.models.base import LEAST_WIDTH, product


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
        if checks < 1:
            raise ValueError(f"a prediction needs at least one check, got {checks}")
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
        return parts[0].add_(across), torch.stack(parts[1:], 1)

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
_MOST_FUSED = 32
"""Channels up to which one product with zeros in it is faster than many without."""


class FusedBlindSpot:
    """What a fitted `BlindSpot` says but for rounding, in four products: a third of the time.

    All that is linear in the context is one product; so are the two layers around the latent
    units. Its numbers do not follow those of the model.
    """

    def __init__(self, model: BlindSpot) -> None:
        parts, places, self._channels = model.own.shape
        self._checks, self._split = parts - 1, max(parts * self._channels, LEAST_WIDTH)
        context = model.own.new_zeros(places, self._channels, self._split)
        for channel in range(self._channels):
            for part in range(parts):
                column = part * self._channels + channel
                context[:, channel, column] = model.own[part, :, channel]
        across = model.cross.view(-1, self._channels, self._channels)
        context[:, :, : self._channels].index_add_(0, model.places, across)
        self._weight = context.flatten(0, 1)
        self._bias = context.new_zeros(self._split)
        self._layers: tuple[Tensor, ...] = ()
        if model.width:
            self._take(model, context)

    def _take(self, model: BlindSpot, context: Float[Tensor, "places channels columns"]) -> None:
        first, inner, outer, last = (
            (one.weight.detach().T, one.bias.detach())
            for one in model.layers
            if isinstance(one, nn.Linear)
        )
        past, level = first[0][: -self._channels], first[0][-self._channels :]
        seen = context.new_zeros(*context.shape[:2], model.width)
        seen.index_add_(0, model.places[:-1], past.reshape(-1, self._channels, model.width))
        weights = _wide(seen.flatten(0, 1))
        self._weight = torch.cat([self._weight, weights], 1)
        self._bias = torch.cat([self._bias, _wide(first[1])])
        middle = torch.addmm(outer[1], inner[1][None], outer[0])[0]
        wide = weights.shape[1] - model.width
        through = nn.functional.pad(_wide(inner[0] @ outer[0]), (0, 0, 0, wide))
        back = nn.functional.pad(_wide(last[0]), (0, 0, 0, wide))
        self._layers = (_wide(level), through, _wide(middle), back, _wide(last[1]))

    def __call__(
        self,
        context: Float[Tensor, "n places channels"],
        middle: Float[Tensor, "n channels"],
    ) -> tuple[Float[Tensor, "n channels"], Float[Tensor, "n checks channels"]]:
        """As `BlindSpot.forward`."""
        channels = self._channels
        found = torch.addmm(self._bias, context.flatten(1), self._weight)
        prediction = found[:, :channels]
        if self._layers:
            level, through, inner, back, outer = self._layers
            values = middle.clamp(-_WIDEST, _WIDEST)
            hidden = torch.addmm(found[:, self._split :], values, level).relu_()
            hidden = torch.addmm(inner, hidden, through).relu_()
            prediction = prediction + torch.addmm(outer, hidden, back)[:, :channels]
        checks = found[:, channels : (1 + self._checks) * channels]
        return prediction, checks.reshape(len(checks), self._checks, channels)


def _wide(values: Float[Tensor, "... columns"]) -> Float[Tensor, "... more"]:
    """With columns of zeros up to the width that `product` asks for."""
    return nn.functional.pad(values, (0, max(0, LEAST_WIDTH - values.shape[-1])))


def fused(model: BlindSpot) -> "BlindSpot | FusedBlindSpot":
    """The faster of the two forms of a fitted model."""
    return FusedBlindSpot(model) if model.own.shape[2] <= _MOST_FUSED else model
