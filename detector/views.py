"""A view: one autoencoder looking at the last R readings, and what it measures of each window.

A view turns rows into *features*: numbers per window and channel that are near a constant while
all is well. How features become a score is the business of `detector.fusion`. A second view
(a longer one, say) needs the same two methods, `prepare` and `measure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from detector.models.base import Autoencoder
from detector.scaling import Scaling

FEATURES = ("last", "recent", "mean", "rms")
RECENT = 8
"""Rows under the `recent` feature: slower than one reading, faster than the window."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows on the device, ready to be cut into windows.

    Attributes:
        rows: [rows, channels] float32, scaled; a missing value holds the last one before it.
        source: [rows, channels] row that each value was measured in, -1 = none before;
            None when nothing is missing.
    """

    rows: Tensor
    source: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a view says of one tile of windows.

    Attributes:
        features: [features, tile, channels], >= 0, scaled units.
        last: [tile, channels] reconstruction of the last reading, scaled units.
    """

    features: Tensor
    last: Tensor


class ReconstructionView:
    """The residual of an autoencoder, measured over four spans.

    Of the signed residual e (reading - reconstruction, scaled units) of each channel:
    `last` |e| of the newest reading: spikes, without delay. `recent` and `mean`: the size of the
    mean of e over the last 8 readings and over the window: shifts, drifts and broken
    correlations, with the noise averaged out. `rms` over the window: noise bursts and all else.
    """

    features: Sequence[str] = FEATURES

    def __init__(self, model: Autoencoder, scaling: Scaling) -> None:
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.scaling = scaling
        self.receptive_field = model.receptive_field
        self.n_channels = model.n_channels
        self.device = next(iter(model.state_dict().values())).device
        self._recent = min(RECENT, self.receptive_field)
        whole = torch.full((1, self.n_channels), float(self.receptive_field), device=self.device)
        self._count = whole
        self._recent_count = torch.full_like(whole, float(self._recent))

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        device: torch.device,
    ) -> Prepared:
        """Scale the rows and carry the last value over missing ones.

        Args:
            rows: channel units, oldest first; NaN or an infinity = missing.
            groups: calibration group of each row, [rows], or of all, [].
            device: where the windows will be cut.
        """
        present = np.isfinite(rows)
        if present.all():
            scaled = self.scaling.apply(rows, groups).astype(np.float32)
            return Prepared(rows=torch.from_numpy(scaled).to(device), source=None)
        scaled = self.scaling.apply(np.where(present, rows, 0.0), groups).astype(np.float32)
        source = np.where(present, np.arange(len(rows))[:, None], -1)
        np.maximum.accumulate(source, axis=0, out=source)
        filled = np.take_along_axis(scaled, np.maximum(source, 0), axis=0)
        return Prepared(
            rows=torch.from_numpy(filled).to(device), source=torch.from_numpy(source).to(device)
        )

    def windows(
        self, prepared: Prepared, starts: Int[Tensor, " tile"]
    ) -> tuple[Float[Tensor, "tile time channel"], Float[Tensor, "tile time channel"] | None]:
        """Cut windows out of prepared rows.

        A value is carried forward inside its window only: what came before the window must not
        reach it, or the score would depend on more than R readings. Where nothing was measured
        yet in the window, the channel's centre (zero) stands in.

        Returns:
            The windows, and 1.0 where a value was measured, 0.0 where it was filled in (None
            when all were measured).
        """
        values = self._gather(prepared.rows, starts)
        if prepared.source is None:
            return values, None
        source = self._gather(prepared.source, starts)
        first = starts.view(-1, 1, 1)
        row = first + torch.arange(self.receptive_field, device=starts.device).view(1, -1, 1)
        values = torch.where(source >= first, values, torch.zeros((), device=values.device))
        return values, (source == row).to(values.dtype)

    def measure(
        self,
        windows: Float[Tensor, "tile time channel"],
        mask: Float[Tensor, "tile time channel"] | None,
    ) -> Measured:
        """Reconstruct one tile and measure the residual of each channel.

        Overwrites the windows. Filled-in values carry no weight. The mean of k out of n residuals
        has n/k times the variance, so it counts sqrt(k/n) as much.
        """
        output = self.model.reconstruct(windows)
        residual = windows.sub_(output)
        count, recent = self._count, self._recent_count
        if mask is not None:
            residual = residual.mul_(mask)
            count = mask.sum(1).clamp_(min=1.0)
            recent = mask[:, -self._recent :].sum(1).clamp_(min=1.0)
        features = torch.empty(len(FEATURES), len(windows), self.n_channels, device=windows.device)
        last, newest, mean, rms = features.unbind()
        last.copy_(residual[:, -1])
        torch.sum(residual[:, -self._recent :], 1, out=newest)
        newest.div_((recent * self._recent).sqrt_())
        torch.sum(residual, 1, out=mean)
        mean.div_((count * self.receptive_field).sqrt_())
        features[:3].abs_()
        torch.sum(residual.square_(), 1, out=rms)
        rms.div_(count).sqrt_()
        return Measured(features=features, last=output[:, -1])

    def to(self, device: torch.device) -> "ReconstructionView":
        """The same view with its weights on a device."""
        return ReconstructionView(self.model.to(device), self.scaling)

    def _gather(self, rows: Tensor, starts: Int[Tensor, " tile"]) -> Tensor:
        n_rows, n_channels = rows.shape
        overlapping = rows.as_strided(
            (n_rows - self.receptive_field + 1, self.receptive_field * n_channels),
            (n_channels, 1),
        )
        flat = overlapping.index_select(0, starts)  # [tile, R*C], the only copy of a window
        return flat.view(-1, self.receptive_field, n_channels)
