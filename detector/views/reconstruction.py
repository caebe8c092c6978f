"""The reconstruction view: an autoencoder looks at the last R readings, its residual is measured.

What the model and the sums over time do, they do in tiles of one fixed shape. All else is addition,
multiplication, division and square root of single numbers, which every machine rounds in the same
way. That keeps what `detector.views.base` asks of every view.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from torch import Tensor

from detector.models import build, describe
from detector.models.base import Autoencoder
from detector.signal.norm import Units, added
from detector.signal.scaler import ChannelScaler
from detector.signal.series import last_present
from detector.views.base import Measured, View, tile_of

FEATURES = ("last", "recent", "mean", "rms", "still")
ONE = ("signal",)
_TINY = 1e-18
RECENT = 8
"""Rows under the `recent` feature: slower than one reading, faster than the window."""
MIN_STILL_ROWS = 8
"""A shorter window stands still by chance."""
STILL = 0.02
"""Second differences that count as none, in scaled units."""

_LEAK_STEP = 0.1
_MODEL = "model."


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows on the device, ready to be cut into windows.

    Attributes:
        rows: scaled; a missing value holds the last one before it.
        still: how still the window stands that ends with each row; None when nobody asks.
        source: row that each value was measured in, -1 = none before; None when nothing is
            missing.
        groups: calibration group of each row, or of all.
    """

    rows: Float32[Tensor, "rows channels"]
    still: Float32[Tensor, "rows channels"] | None
    source: Int[Tensor, "rows channels"] | None
    groups: Int[Tensor, "..."]


class ReconstructionView(View[Prepared]):
    """The residual of an autoencoder over several spans, and what it cannot see: a frozen sensor.

    Of the signed residual e (reading - reconstruction, scaled units) of each channel:
    `last` |e| of the newest reading: spikes, without delay. `recent` and `mean`: the size of the
    mean of e over the last 8 readings and over the window: shifts, drifts and broken
    correlations, with the noise averaged out. `rms` over the window: noise bursts and all else.

    A sensor that repeats itself has *less* residual than a healthy one, so the readings are
    asked: `still` is a / (a + rms of the second differences), 1 where nothing flickers at all.

    Beside other views it measures one distance, the 4-norm of these in their units (`as_one`), or
    none at all and only says what it expected (`silent`).
    """

    kind: ClassVar[str] = "reconstruction"

    def __init__(
        self,
        model: Autoencoder,
        scaler: ChannelScaler,
        features: tuple[str, ...] = FEATURES,
        units: Units | None = None,
    ) -> None:
        if features not in {FEATURES, ONE, ()} or (features == ONE) != (units is not None):
            raise ValueError(f"a reconstruction measures {FEATURES}, {ONE} in units, or nothing")
        self.features = features
        self.units = units
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.scaler = scaler
        self.receptive_field = model.receptive_field
        self.n_channels = model.n_channels
        self.device = next(iter(model.state_dict().values())).device
        self.tile = tile_of(self.device)
        self._recent = min(RECENT, self.receptive_field)
        self._units = None if units is None else units.on(self.device)

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None = None,  # noqa: ARG002 (no part of its windows)
    ) -> Prepared:
        """Scale the rows and carry the last value over missing ones."""
        present = np.isfinite(rows)
        if present.all():
            filled = self.scaler.apply(rows, groups).astype(np.float32)
            return Prepared(
                rows=self._moved(filled),
                still=self._still(filled),
                source=None,
                groups=self._moved(np.asarray(groups, dtype=np.int64)),
            )
        scaled = self.scaler.apply(np.where(present, rows, 0.0), groups).astype(np.float32)
        source = last_present(present)
        filled = np.take_along_axis(scaled, np.maximum(source, 0), axis=0)
        return Prepared(
            rows=self._moved(filled),
            still=self._still(filled, present),
            source=self._moved(source),
            groups=self._moved(np.asarray(groups, dtype=np.int64)),
        )

    def _tiles(self, ends: Int[Tensor, " windows"]) -> Sequence[Int[Tensor, " tile"]]:
        """First rows of windows in tiles of one size; the last one is filled up."""
        starts = ends - (self.receptive_field - 1)
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

    def measure(self, prepared: Prepared, ends: Int[Tensor, " windows"]) -> Measured:
        """Reconstruct windows and measure the residual of each channel.

        Filled-in values carry no weight. The mean of k out of n residuals has n/k times the
        variance of the mean of all, so it counts sqrt(k/n) as much.
        """
        tiles = self._tiles(ends)
        if not self.features:
            latents = [self.model.encode(self.windows(prepared, tile)[0]) for tile in tiles]
            outputs = [self.model.decode(one)[:, -1] for one in latents]
            return Measured(
                features=torch.empty(0, len(ends), self.n_channels, device=self.device),
                expected=torch.cat(outputs)[: len(ends)],
                latent=torch.cat(latents)[: len(ends)],
            )
        size = (len(tiles) * self.tile, self.n_channels)
        features = torch.empty(len(FEATURES), *size, device=self.device)
        output = torch.empty(size, device=self.device)
        latent = torch.empty(size[0], self.model.latent_size, device=self.device)
        last, newest, mean, rms, still = features.unbind()
        shape = (1, self.n_channels) if prepared.source is None else size
        count = torch.full(shape, float(self.receptive_field), device=self.device)
        recent = torch.full(shape, float(self._recent), device=self.device)
        for number, tile_starts in enumerate(tiles):
            tile = slice(number * self.tile, (number + 1) * self.tile)
            values, mask = self.windows(prepared, tile_starts)
            latent[tile] = encoded = self.model.encode(values)
            reconstruction = self.model.decode(encoded)
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
        kept = len(ends)
        assert prepared.still is not None, "prepared by a view that measures it"
        torch.index_select(prepared.still, 0, ends, out=still[:kept])
        return Measured(
            features=self._as_one(features[:, :kept], prepared, ends),
            expected=output[:kept],
            latent=latent[:kept],
        )

    def _as_one(
        self,
        features: Float[Tensor, "features windows channels"],
        prepared: Prepared,
        ends: Int[Tensor, " windows"],
    ) -> Float[Tensor, "distances windows channels"]:
        """The squared 4-norm of the features by channel, if that is what the view measures."""
        if self._units is None:
            return features
        groups = prepared.groups
        own = groups.expand(len(ends)) if groups.ndim == 0 else groups.index_select(0, ends)
        parts = self._units.fourth_powers(features, own)
        norm = added(parts).sqrt_().clamp_(min=_TINY)
        return parts.div_(norm.unsqueeze(1))[None]

    def encode(
        self, prepared: Prepared, ends: Int[Tensor, " windows"]
    ) -> Float[Tensor, "windows latent"]:
        """The latent vector of each window; at least one window."""
        tiles = [self.model.encode(self.windows(prepared, tile)[0]) for tile in self._tiles(ends)]
        return torch.cat(tiles)[: len(ends)]

    def decode(
        self, latent: Float32[np.ndarray, "windows latent"], group: int
    ) -> Float64[np.ndarray, "windows time channels"]:
        """The window that each latent vector stands for, in a group's channel units."""
        scaled = self.model.decode(self._moved(latent))
        return self.scaler.invert(scaled.cpu().numpy(), np.array(group))

    @torch.inference_mode()
    def leak(
        self, prepared: Prepared, ends: Int[Tensor, " windows"]
    ) -> Float64[np.ndarray, " channels"]:
        """Mean change of each channel's last reconstruction when its last reading moves by one."""
        windows, _ = self.windows(prepared, ends - (self.receptive_field - 1))
        before = self.model.reconstruct(windows)[:, -1]
        leak = np.zeros(self.n_channels)
        for channel in range(self.n_channels):
            moved = windows.clone()
            moved[:, -1, channel] += _LEAK_STEP
            after = self.model.reconstruct(moved)[:, -1, channel]
            leak[channel] = float((after - before[:, channel]).mean()) / _LEAK_STEP
        return leak

    def to(self, device: torch.device) -> "ReconstructionView":
        """The same view with its weights on a device."""
        if device == self.device:
            return self
        # A module's own `to` would move the weights away from under this view.
        return ReconstructionView(
            copy.deepcopy(self.model).to(device), self.scaler, self.features, self.units
        )

    def as_one(self, units: Units) -> "ReconstructionView":
        """The same, measuring the 4-norm of its features."""
        return ReconstructionView(self.model, self.scaler, ONE, units)

    def silent(self) -> "ReconstructionView":
        """The same, without features: other views score."""
        return ReconstructionView(self.model, self.scaler, features=())

    def config(self) -> dict[str, Any]:
        """The model's kind and sizes, and what it measures."""
        return {
            "model": self.model.kind,
            "sizes": describe(self.model),
            "features": list(self.features),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Weights and scaler."""
        weights = {f"{_MODEL}{name}": value for name, value in self.model.state_dict().items()}
        arrays = {"scaler.center": self.scaler.center, "scaler.scale": self.scaler.scale}
        if self.units is not None:
            arrays |= {"units.middle": self.units.middle, "units.reach": self.units.reach}
        return weights | {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        n_groups: int,
        n_channels: int,
    ) -> "ReconstructionView":
        """See `View.restore`."""
        model = build(config["model"], config["sizes"])
        center, scale = tensors["scaler.center"].numpy(), tensors["scaler.scale"].numpy()
        if model.n_channels != n_channels or center.shape != (n_groups, n_channels):
            raise ValueError(
                f"{n_groups} groups of {n_channels} channels, but a model of {model.n_channels} "
                f"channels and a scaler of {center.shape}"
            )
        weights = {k.removeprefix(_MODEL): v for k, v in tensors.items() if k.startswith(_MODEL)}
        model.load_state_dict(weights)  # strict: names and shapes must be the architecture's
        features = tuple(config.get("features", FEATURES))
        units = None
        if features == ONE:
            middle, reach = (tensors[f"units.{name}"].numpy() for name in ("middle", "reach"))
            shape = (len(FEATURES), n_groups, n_channels)
            if middle.shape != shape or reach.shape != shape or not (reach > 0).all():
                raise ValueError(f"units must be {shape} and their reach greater than 0")
            units = Units(middle=middle, reach=reach)
        return cls(model, ChannelScaler(center=center, scale=scale), features, units)

    def _still(
        self,
        rows: Float32[np.ndarray, "rows channels"],
        present: Bool[np.ndarray, "rows channels"] | None = None,
    ) -> Float32[Tensor, "rows channels"] | None:
        return self._moved(self._stillness(rows, present)) if self.features else None

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

    def _moved(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

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
