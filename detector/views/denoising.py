"""The denoising view: it scores nothing, it says what a reading is without its noise.

Each reading is predicted from its context, itself left out (`detector.models.blind_spot`), and
mixed with the prediction as far as that is better (`detector.signal.blend`). *Causal*: from what
came before, without delay. *Settled*: the reading some rows back, from both sides.

The context is computed on the CPU, whatever the device, as the pyramid's features are; the model
computes in tiles of one fixed shape. All else is arithmetic of single numbers.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from torch import Tensor

from detector.models.base import MAX_RECEPTIVE_FIELD
from detector.models.blind_spot import BlindSpot, fused
from detector.signal.blend import Blend
from detector.signal.context import Context
from detector.signal.impulses import Impulses
from detector.signal.scaler import ChannelScaler
from detector.views.base import Cleaned, Measured, View, tile_of

WIDEST = 1e6
"""Scaled units beyond which a reading is published as it came."""
_CAUSAL, _SHORT, _SETTLED = "causal", "short", "settled"
_BLEND = ("share", "cut", "limit")


@dataclass(frozen=True, kw_only=True)
class Cleaner:
    """A blind prediction of one reading of a window, and its mix with the reading."""

    context: Context
    model: BlindSpot
    blend: Blend

    def to(self, device: torch.device) -> "Cleaner":
        """The same with its numbers on a device."""
        model = copy.deepcopy(self.model).to(device)
        return Cleaner(context=self.context, model=model, blend=self.blend.to(device))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows as the contexts are taken from them.

    Attributes:
        rows: scaled.
        present: where something was measured that is no impulse; empty if everywhere.
        impulses: where a value leapt; None: nowhere.
        beyond: where a value is beyond `WIDEST`; None: nowhere.
        groups: calibration group of each row, or of all.
    """

    rows: Float32[np.ndarray, "rows channels"]
    present: Bool[np.ndarray, "rows channels"]
    impulses: Bool[np.ndarray, "rows channels"] | None
    beyond: Bool[np.ndarray, "rows channels"] | None
    groups: Int64[np.ndarray, "..."]


def prepare(
    scaler: ChannelScaler,
    impulses: Impulses,
    rows: Float64[np.ndarray, "rows channels"],
    groups: Int[np.ndarray, "..."],
) -> Prepared:
    """Rows as a view with this scaler and these impulses takes them; see `View.prepare`."""
    # A context is relative to itself, so any level will do. Beyond the bound nothing is known.
    values, known = scaler.scaled(rows, groups, WIDEST)
    beyond = np.abs(values) >= WIDEST
    present = np.ones((0, rows.shape[1]), dtype=np.bool_) if known is None else known
    leaps = None
    if impulses.some:
        there = values if known is None else np.where(known, values, np.float32("nan"))
        found = impulses.found(there)
        if found is not None and found.any():
            leaps, present = found, ~found if known is None else known & ~found
    return Prepared(
        rows=values,
        present=present,
        impulses=leaps,
        beyond=beyond if beyond.any() else None,
        groups=np.asarray(groups, dtype=np.int64),
    )


def against_others(
    checks: Float[Tensor, "n checks channels"], difference: Float[Tensor, "n channels"]
) -> None:
    """Make the last check, the reading less what its own context says of it, what others add.

    In place: of a fault in another channel that is how far it leads the prediction astray.
    """
    checks[:, -1].sub_(difference)


class DenoisingView(View[Prepared]):
    """Readings without their noise.

    Args:
        scaler: of the signal view.
        impulses: what is no reading at all.
        cleaners: "causal"; "short" for windows that are not full yet and "settled", if wanted.
        settling: whether `settled` is measured too.
    """

    kind: ClassVar[str] = "denoising"

    def __init__(
        self,
        scaler: ChannelScaler,
        impulses: Impulses,
        cleaners: Mapping[str, Cleaner],
        *,
        settling: bool = False,
    ) -> None:
        self.features = ()
        self.scaler = scaler
        self.impulses = impulses
        self.cleaners = dict(cleaners)
        self._models = {name: fused(one.model) for name, one in cleaners.items()}
        self.settling = settling and _SETTLED in cleaners
        self.device = cleaners[_CAUSAL].blend.share.device
        self.tile = tile_of(self.device)
        used = [_CAUSAL, *([_SETTLED] if _SETTLED in cleaners else [])]
        self.receptive_field = impulses.margin + max(cleaners[name].context.field for name in used)

    @property
    def lag(self) -> int:
        """Rows between the settled reading and the newest one; 0: there is no such mode."""
        return self.cleaners[_SETTLED].context.target if _SETTLED in self.cleaners else 0

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None = None,  # noqa: ARG002 (no part of its windows)
    ) -> Prepared:
        """Scale the rows and find what is no reading."""
        return prepare(self.scaler, self.impulses, rows, groups)

    def measure(self, prepared: Prepared, ends: Int[Tensor, " windows"]) -> Measured:
        """Clean the newest reading of each window and, if asked, the settled one."""
        settled = self._clean(_SETTLED, prepared, ends) if self.settling else None
        return Measured(
            features=torch.empty(0, len(ends), prepared.rows.shape[1], device=self.device),
            cleaned=self._clean(_CAUSAL, prepared, ends),
            settled=settled,
        )

    def _clean(self, name: str, prepared: Prepared, ends: Int[Tensor, " windows"]) -> Cleaned:
        cleaner, places = self.cleaners[name], ends.cpu().numpy()
        difference, middle, prediction, checks = self.predict(name, prepared, places)
        own = prepared.groups
        groups = own[places] if own.ndim else np.full(len(places), own)
        share = cleaner.blend.shares(difference, checks, self._moved(groups))
        readings = places - cleaner.context.target
        if prepared.impulses is not None:
            leapt = prepared.impulses[readings]
            share.masked_fill_(self._moved(leapt), 1.0)
            if cleaner.context.target:
                # The row behind says whether it came back: a step leaps for two rows.
                stayed = prepared.impulses[readings + 1] | prepared.impulses[readings - 1]
                share.masked_fill_(self._moved(leapt & stayed), 0.0)
        if prepared.beyond is not None:
            share.masked_fill_(self._moved(prepared.beyond[readings]), 0.0)
        return Cleaned(prediction=prediction.add_(middle), share=share)

    def predict(
        self, name: str, prepared: Prepared, ends: Int64[np.ndarray, " windows"]
    ) -> tuple[
        Float[Tensor, "windows channels"],
        Float[Tensor, "windows channels"],
        Float[Tensor, "windows channels"],
        Float[Tensor, "windows checks channels"],
    ]:
        """Differences, what predictions are relative to, predictions and checks; scaled units."""
        cleaner = self.cleaners[name]
        means, middle = cleaner.context.measure(prepared.rows, prepared.present, ends)
        context, level = self._tiled(means), self._tiled(middle)
        tiles = [slice(begin, begin + self.tile) for begin in range(0, len(context), self.tile)]
        found = [self._models[name](context[tile], level[tile]) for tile in tiles]
        prediction = torch.cat([one for one, _ in found])[: len(ends)]
        checks = torch.cat([one for _, one in found])[: len(ends)]
        difference = context[: len(ends), -1] - prediction
        against_others(checks, difference)
        return difference, level[: len(ends)], prediction, checks

    def _tiled(self, values: np.ndarray) -> Tensor:
        """On the device, the last tile filled up."""
        moved = self._moved(values)
        short = -len(moved) % self.tile
        return torch.cat([moved, moved[:1].expand(short, *moved.shape[1:])]) if short else moved

    def within(self, rows: int) -> tuple["DenoisingView | None", list[int]]:
        """The cleaner for short windows, if so many rows are enough for it."""
        if rows >= self.receptive_field:
            return self, []
        short = self.cleaners.get(_SHORT)
        if short is None:
            return None, []
        view = DenoisingView(self.scaler, self.impulses, {_CAUSAL: short})
        return (view, []) if view.receptive_field <= rows else (None, [])

    def settled(self) -> "DenoisingView":
        """The same, measuring the settled reading too."""
        return DenoisingView(self.scaler, self.impulses, self.cleaners, settling=True)

    def to(self, device: torch.device) -> "DenoisingView":
        """The same view with its numbers on a device."""
        if device == self.device:
            return self
        moved = {name: one.to(device) for name, one in self.cleaners.items()}
        return DenoisingView(self.scaler, self.impulses, moved, settling=self.settling)

    def config(self) -> dict[str, Any]:
        """The contexts and sizes of its cleaners."""
        return {
            name: {
                "target": one.context.target,
                "lags": list(one.context.lags),
                "widths": list(one.context.widths),
                "near": list(one.model.near),
                "checks": one.model.checks,
                "hidden": one.model.width,
                "latent": one.model.latent,
            }
            for name, one in self.cleaners.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Weights, mixes, impulses and scaler."""
        found = {
            "scaler.center": torch.from_numpy(self.scaler.center),
            "scaler.scale": torch.from_numpy(self.scaler.scale),
            "impulses.limit": torch.from_numpy(self.impulses.limit),
            "impulses.most": torch.from_numpy(self.impulses.most),
        }
        for name, one in self.cleaners.items():
            state = one.model.state_dict()
            found |= {f"{name}.model.{key}": value for key, value in state.items()}
            found |= {f"{name}.{part}": getattr(one.blend, part) for part in _BLEND}
        return found

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        n_groups: int,
        n_channels: int,
    ) -> "DenoisingView":
        """See `View.restore`."""
        center, scale = tensors["scaler.center"].numpy(), tensors["scaler.scale"].numpy()
        limit, most = (tensors[f"impulses.{name}"].numpy() for name in ("limit", "most"))
        wide = (n_groups, n_channels)
        each = (n_channels,)
        if center.shape != wide or scale.shape != wide or {limit.shape, most.shape} != {each}:
            raise ValueError(f"scaler and impulses must be of {n_channels} channels")
        if unknown := set(config) - {_CAUSAL, _SHORT, _SETTLED}:
            raise ValueError(f"unknown cleaners: {sorted(unknown)}")
        cleaners = {
            name: _restored(sizes, name, tensors, n_groups, n_channels)
            for name, sizes in config.items()
        }
        return cls(
            ChannelScaler(center=center, scale=scale), Impulses(limit=limit, most=most), cleaners
        )

    def _moved(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)


def _restored(
    sizes: Mapping[str, Any],
    name: str,
    tensors: Mapping[str, Tensor],
    n_groups: int,
    n_channels: int,
) -> Cleaner:
    context = Context(
        target=sizes["target"], lags=tuple(sizes["lags"]), widths=tuple(sizes["widths"])
    )
    model = BlindSpot(
        channels=n_channels,
        means=len(context.lags),
        near=sizes["near"],
        checks=sizes["checks"],
        hidden=sizes["hidden"],
        latent=sizes["latent"],
    )
    prefix = f"{name}.model."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    model.load_state_dict(weights)  # strict: names and shapes must be the architecture's
    blend = Blend(**{part: tensors[f"{name}.{part}"] for part in _BLEND})
    wide = (n_groups, n_channels)
    if (name == _SETTLED) != (context.target > 0) or context.field > MAX_RECEPTIVE_FIELD:
        raise ValueError(f"{name} looks {context.target} rows back over {context.field} rows")
    if not ((blend.share >= 0) & (blend.share <= 1) & (blend.cut > 0)).all():
        raise ValueError(f"{name}.share must lie in 0..1, {name}.cut above 0")
    if not (blend.limit > 0).all():
        raise ValueError(f"{name}.limit must lie above 0")
    shapes = {"share": wide, "cut": wide, "limit": (n_groups, sizes["checks"], n_channels)}
    for part, shape in shapes.items():
        if tuple(getattr(blend, part).shape) != shape:
            raise ValueError(f"{name}.{part} must be {shape}, got {getattr(blend, part).shape}")
    return Cleaner(
        context=context, model=model.eval().requires_grad_(requires_grad=False), blend=blend
    )
