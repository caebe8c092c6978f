"""A view: one autoencoder looking at the last R readings, and what it measures of each window.

A view turns rows into *features*: numbers per window and channel that are near a constant while
all is well. How features become a score is the business of `detector.calibration.fusion`. A second
view (a longer one, say) needs the same two methods, `prepare` and `measure`.

The bits of a window's features depend on its readings alone. What the model and the sums over
time do, they do in tiles of one fixed shape. All else is addition, multiplication, division and
square root of single numbers, which every machine rounds in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from detector.models.base import Autoencoder
from detector.signal.scaler import ChannelScaler

FEATURES = ("last", "recent", "mean", "rms", "still")
RECENT = 8
"""Rows under the `recent` feature: slower than one reading, faster than the window."""
MIN_STILL_ROWS = 8
"""A shorter window stands still by chance."""
STILL = 0.02
"""Second differences that count as none, in scaled units."""
TILE_CPU = 256
TILE_CUDA = 8192


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows on the device, ready to be cut into windows.

    Attributes:
        rows: [rows, channels] float32, scaled; a missing value holds the last one before it.
        still: [rows, channels] how still the window stands that ends with each row.
        source: [rows, channels] row that each value was measured in, -1 = none before;
            None when nothing is missing.
    """

    rows: Tensor
    still: Tensor
    source: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a view says of some windows.

    Attributes:
        features: [features, windows, channels], >= 0.
        last: [windows, channels] reconstruction of the last reading, scaled units.
    """

    features: Tensor
    last: Tensor


class ReconstructionView:
    """The residual of an autoencoder over several spans, and what it cannot see: a frozen sensor.

    Of the signed residual e (reading - reconstruction, scaled units) of each channel:
    `last` |e| of the newest reading: spikes, without delay. `recent` and `mean`: the size of the
    mean of e over the last 8 readings and over the window: shifts, drifts and broken
    correlations, with the noise averaged out. `rms` over the window: noise bursts and all else.

    A sensor that repeats itself has *less* residual than a healthy one, so the readings are
    asked: `still` is a / (a + rms of the second differences), 1 where nothing flickers at all.
    """

    features: Sequence[str] = FEATURES

    def __init__(self, model: Autoencoder, scaling: ChannelScaler) -> None:
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.scaling = scaling
        self.receptive_field = model.receptive_field
        self.n_channels = model.n_channels
        self.device = next(iter(model.state_dict().values())).device
        self.tile = TILE_CUDA if self.device.type == "cuda" else TILE_CPU
        self._recent = min(RECENT, self.receptive_field)

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
    ) -> Prepared:
        """Scale the rows and carry the last value over missing ones.

        Args:
            rows: channel units, oldest first; NaN or an infinity = missing.
            groups: calibration group of each row, [rows], or of all, [].
        """
        present = np.isfinite(rows)
        if present.all():
            filled = self.scaling.apply(rows, groups).astype(np.float32)
            return Prepared(
                rows=self._moved(filled), still=self._moved(self._stillness(filled)), source=None
            )
        scaled = self.scaling.apply(np.where(present, rows, 0.0), groups).astype(np.float32)
        source = np.where(present, np.arange(len(rows))[:, None], -1)
        np.maximum.accumulate(source, axis=0, out=source)
        filled = np.take_along_axis(scaled, np.maximum(source, 0), axis=0)
        return Prepared(
            rows=self._moved(filled),
            still=self._moved(self._stillness(filled, present)),
            source=self._moved(source),
        )

    def tiles(self, starts: Int[Tensor, " windows"]) -> Sequence[Tensor]:
        """First rows of windows in tiles of one size; the last one is filled up."""
        short = -len(starts) % self.tile
        if short:
            starts = torch.cat([starts, starts[:1].expand(short)])
        return [starts[begin : begin + self.tile] for begin in range(0, len(starts), self.tile)]

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

    def measure(self, prepared: Prepared, starts: Int[Tensor, " windows"]) -> Measured:
        """Reconstruct windows and measure the residual of each channel.

        Filled-in values carry no weight. The mean of k out of n residuals has n/k times the
        variance of the mean of all, so it counts sqrt(k/n) as much.

        Args:
            prepared: the rows.
            starts: first row of each window, on the view's device.
        """
        tiles = self.tiles(starts)
        size = (len(tiles) * self.tile, self.n_channels)
        features = torch.empty(len(FEATURES), *size, device=self.device)
        output = torch.empty(size, device=self.device)
        last, newest, mean, rms, still = features.unbind()
        shape = (1, self.n_channels) if prepared.source is None else size
        count = torch.full(shape, float(self.receptive_field), device=self.device)
        recent = torch.full(shape, float(self._recent), device=self.device)
        for number, tile_starts in enumerate(tiles):
            tile = slice(number * self.tile, (number + 1) * self.tile)
            values, mask = self.windows(prepared, tile_starts)
            reconstruction = self.model.reconstruct(values)
            output[tile] = reconstruction[:, -1]
            residual = values.sub_(reconstruction)
            if mask is not None:
                residual.mul_(mask)
                torch.sum(mask, 1, out=count[tile])
                torch.sum(mask[:, -self._recent :], 1, out=recent[tile])
            last[tile] = residual[:, -1]
            torch.sum(residual[:, -self._recent :], 1, out=newest[tile])
            torch.sum(residual, 1, out=mean[tile])
            torch.sum(residual.square_(), 1, out=rms[tile])
        count.clamp_(min=1.0)
        newest.div_(recent.clamp_(min=1.0).mul_(self._recent).sqrt_())
        mean.div_((count * self.receptive_field).sqrt_())
        features[:3].abs_()
        rms.div_(count).sqrt_()
        kept = len(starts)
        ends = starts + (self.receptive_field - 1)
        torch.index_select(prepared.still, 0, ends, out=still[:kept])
        return Measured(features=features[:, :kept], last=output[:kept])

    def to(self, device: torch.device) -> "ReconstructionView":
        """The same view with its weights on a device."""
        return ReconstructionView(self.model.to(device), self.scaling)

    def _stillness(
        self,
        rows: Float32[np.ndarray, "rows channels"],
        present: Bool[np.ndarray, "rows channels"] | None = None,
    ) -> Float32[np.ndarray, "rows channels"]:
        """How little each channel flickers in the window that ends with each row.

        0 where half of the window is missing: filled in is not frozen.
        """
        n = self.receptive_field - 2
        if self.receptive_field < MIN_STILL_ROWS or len(rows) <= n:
            return np.zeros_like(rows)
        bends = np.zeros_like(rows)
        np.square(rows[2:] - 2 * rows[1:-1] + rows[:-2], out=bends[2:])
        count: Float32[np.ndarray, "..."] = np.array(n, dtype=np.float32)
        if present is not None:
            whole = np.zeros_like(rows)
            whole[2:] = present[2:] & present[1:-1] & present[:-2]
            bends *= whole
            count = _trailing_sum(whole, n)
        floor = np.float32(STILL)
        rms = np.sqrt(_trailing_sum(bends, n) / np.maximum(count, np.float32(1)))
        still: Float32[np.ndarray, "rows channels"] = floor / (floor + rms)
        return np.where(count * 2 >= n, still, np.float32(0))

    def _moved(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows).to(self.device)

    def _gather(self, rows: Tensor, starts: Int[Tensor, " tile"]) -> Tensor:
        n_rows, n_channels = rows.shape
        overlapping = rows.as_strided(
            (n_rows - self.receptive_field + 1, self.receptive_field * n_channels),
            (n_channels, 1),
        )
        flat = overlapping.index_select(0, starts)  # [tile, R*C], the only copy of a window
        return flat.view(-1, self.receptive_field, n_channels)


def _trailing_sum(
    rows: Float32[np.ndarray, "rows channels"], n: int
) -> Float32[np.ndarray, "rows channels"]:
    """Sum of the last n rows, each from its own rows: a running sum would carry its start along.

    Sums of 1, 2, 4 ... rows are built from one another, and the ones n is made of are added:
    the same tree of additions for every row. The first n-1 rows are incomplete.
    """
    total, doubled, covered, width = np.zeros_like(rows), rows.copy(), 0, 1
    while width <= n:
        if n & width:
            total[covered:] += doubled[: len(rows) - covered]
            covered += width
        longer = doubled.copy()
        longer[width:] += doubled[:-width]
        doubled, width = longer, 2 * width
    return total
