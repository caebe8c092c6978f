"""The pyramid view: small autoencoders and banks of normal examples look at several time scales.

Each *look* is a set of features of `detector.signal.pyramid`. It measures a window twice: by what
its autoencoder cannot reconstruct, and by the distance to the nearest of the examples of normal
operation that it remembers. Both are sums of squares over channels, so each channel has its part.

The products of matrices are done in tiles of one fixed shape, all else is addition,
multiplication and square root of single numbers: see `detector.views.base`. The features are
computed on the CPU whatever the device: a window becomes a few numbers there, which then travel.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64
from torch import Tensor

from detector.models import Autoencoder, build, describe
from detector.signal.pyramid import Feature, pyramid
from detector.signal.scaler import ChannelScaler
from detector.signal.season import Season
from detector.views.base import Measured, View, tile_of

CLIP = 20.0
"""Features are cut there: one broken channel must not overflow."""
MAX_EXAMPLES = 4096
_PLACES = MAX_EXAMPLES - 1


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Examples of normal operation that a look remembers.

    Attributes:
        examples: features, in units of the look.
        ts_ns: event time of each example's newest row.
        owners: the sensor of each, a position in `sensors`.
        sensors: names.
    """

    examples: Float32[Tensor, "examples inputs"]
    ts_ns: Int64[Tensor, " examples"]
    owners: Int64[Tensor, " examples"]
    sensors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One set of features, and what is normal of them.

    Attributes:
        name: "long", "short" or "extremes".
        features: K of them.
        center, inverse: of each of the K * C inputs, over the history: q = (f - center) * inverse.
        model: its autoencoder, or None: a single number has no bottleneck.
        bank: its examples.
    """

    name: str
    features: tuple[Feature, ...]
    center: Float32[Tensor, " inputs"]
    inverse: Float32[Tensor, " inputs"]
    model: Autoencoder | None
    bank: Bank

    @cached_property
    def half_norms(self) -> Float32[Tensor, " examples"]:
        """Half the squared norm of each example."""
        return self.bank.examples.square().sum(1).mul_(0.5)

    @cached_property
    def places(self) -> Int32[Tensor, " examples"]:
        """The place of each example."""
        return torch.arange(len(self.bank.examples), dtype=torch.int32, device=self.center.device)

    @property
    def receptive_field(self) -> int:
        """Rows that its longest feature looks at."""
        return max(feature.rows for feature in self.features)

    @property
    def scores(self) -> tuple[str, ...]:
        """What it measures, in order."""
        nearest = f"{self.name} nearest"
        return (nearest,) if self.model is None else (nearest, f"{self.name} autoencoder")

    def units(
        self, features: Float32[Tensor, "n features channels"]
    ) -> Float32[Tensor, "n inputs"]:
        """Features in units of the look."""
        q = features.flatten(1).sub(self.center).mul_(self.inverse)
        return q.clamp_(-CLIP, CLIP)

    def nearest(self, q: Float32[Tensor, "tile inputs"]) -> Int64[Tensor, " tile"]:
        """The nearest example of each; of those equally near but for 2^-11, the first."""
        examples = self.bank.examples
        # Half the squared distance but for the window's own norm, which makes it positive: then
        # floats sort as integers, whose lowest bits can carry the place. A library's argmin takes
        # several times as long as its minimum.
        half = torch.addmm(self.half_norms, q, examples.T, alpha=-1.0)
        half.add_(q.square().sum(1, keepdim=True).mul_(0.5)).clamp_(min=0.0)
        keys = half.view(torch.int32)
        keys.bitwise_and_(~_PLACES).bitwise_or_(self.places)
        return keys.amin(1).bitwise_and_(_PLACES).long()

    def measure(self, q: Float32[Tensor, "tile inputs"]) -> list[Float32[Tensor, "tile channels"]]:
        """Squared distances by channel, one per score; of the autoencoder the mean over inputs."""
        count = len(self.features)
        shape = (len(q), count, -1)
        nearest = self.bank.examples.index_select(0, self.nearest(q))
        parts = [_summed(nearest.sub_(q).square_().view(shape))]
        if self.model is not None:
            window = q.view(shape)
            residual = self.model.reconstruct(window).sub_(window).square_()
            parts.append(_summed(residual).mul_(1.0 / q.shape[1]))
        return parts

    def deviations(
        self, features: Float32[Tensor, "n features channels"]
    ) -> tuple[Float32[Tensor, "scores n features channels"], Int64[Tensor, " n"]]:
        """How far each feature of some windows lies from what each score compares it with.

        In units of the look; and the place of the nearest example of each window.
        """
        q = self.units(features)
        nearest = self.nearest(q)
        found = [q - self.bank.examples.index_select(0, nearest)]
        if self.model is not None:
            found.append(q - self.model.reconstruct(q.view(features.shape)).flatten(1))
        return torch.stack([one.view(features.shape) for one in found]), nearest

    def to(self, device: torch.device) -> "Look":
        """The same on a device."""
        bank = self.bank
        return Look(
            name=self.name,
            features=self.features,
            center=self.center.to(device),
            inverse=self.inverse.to(device),
            # A module's own `to` would move the weights away from under this look.
            model=None if self.model is None else copy.deepcopy(self.model).to(device),
            bank=Bank(
                examples=bank.examples.to(device),
                ts_ns=bank.ts_ns,
                owners=bank.owners,
                sensors=bank.sensors,
            ),
        )


Prepared = tuple[Float32[np.ndarray, "rows channels"], Bool[np.ndarray, "rows channels"] | None]
"""Scaled rows, and whether a value is there (None when all are)."""


class PyramidView(View[Prepared]):
    """Several looks at the last rows, each from its own distance in time."""

    kind: ClassVar[str] = "pyramid"

    def __init__(self, scaler: ChannelScaler, season: Season, looks: Sequence[Look]) -> None:
        self.scaler = scaler
        self.season = season
        self.looks = tuple(looks)
        self.features = tuple(name for look in looks for name in look.scores)
        self.receptive_field = max(look.receptive_field for look in looks)
        self.device = looks[0].center.device
        self.tile = tile_of(self.device)

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None = None,
    ) -> Prepared:
        """Scale the rows, and take their season out."""
        return prepared(self.scaler, self.season, rows, groups, times)

    def measure(self, prepared: Prepared, ends: Int[Tensor, " windows"]) -> Measured:
        """Squared distances of each score, by channel."""
        n, (rows, present) = len(ends), prepared
        last = ends.cpu().numpy()
        full = n + -n % self.tile
        out = torch.empty(len(self.features), full, rows.shape[1], device=self.device)
        place = 0
        for look in self.looks:
            # Each look by itself, as it was fitted: which span stands in for one without a value
            # must not hang on the looks beside it.
            own = torch.from_numpy(pyramid(rows, present, last, look.features)).to(self.device)
            for begin in range(0, full, self.tile):
                tile = slice(begin, begin + self.tile)
                q = look.units(_filled(own[tile], self.tile))
                for number, part in enumerate(look.measure(q), start=place):
                    out[number, tile] = part
            place += len(look.scores)
        return Measured(features=out[:, :n])

    @torch.inference_mode()
    def deviations(
        self, prepared: Prepared, ends: Int64[np.ndarray, " n"]
    ) -> list[tuple[Float32[np.ndarray, "scores n features channels"], Int64[np.ndarray, " n"]]]:
        """See `Look.deviations`, of each look."""
        found = []
        for look in self.looks:
            own = torch.from_numpy(pyramid(*prepared, ends, look.features)).to(self.device)
            far, nearest = look.deviations(own)
            found.append((far.cpu().numpy(), nearest.cpu().numpy()))
        return found

    def within(self, rows: int) -> tuple["PyramidView | None", list[int]]:
        """The looks that need at most so many rows, and the positions of their features here."""
        looks = [look for look in self.looks if look.receptive_field <= rows]
        kept = {name for look in looks for name in look.scores}
        places = [place for place, name in enumerate(self.features) if name in kept]
        return (PyramidView(self.scaler, self.season, looks) if looks else None), places

    def only(self, features: Collection[str]) -> "PyramidView":
        """The looks of which a feature is wanted."""
        return PyramidView(
            self.scaler, self.season, [k for k in self.looks if set(k.scores) & set(features)]
        )

    def to(self, device: torch.device) -> "PyramidView":
        """See `View.to`."""
        if device == self.device:
            return self
        return PyramidView(self.scaler, self.season, [look.to(device) for look in self.looks])

    def config(self) -> dict[str, Any]:
        """Names, features and the models' sizes; the sensors of the examples."""
        return {
            "sensors": self.looks[0].bank.sensors,
            "looks": [
                {
                    "name": look.name,
                    "features": [asdict(feature) for feature in look.features],
                    "model": None
                    if look.model is None
                    else {"kind": look.model.kind, "sizes": describe(look.model)},
                }
                for look in self.looks
            ],
        }

    def tensors(self) -> dict[str, Tensor]:
        """Scaler, units, weights and examples."""
        found = {
            "scaler.center": torch.from_numpy(self.scaler.center),
            "scaler.scale": torch.from_numpy(self.scaler.scale),
        }
        found |= {f"season.{name}": value for name, value in self.season.tensors().items()}
        for look in self.looks:
            prefix = f"{look.name}."
            found[f"{prefix}center"] = look.center
            found[f"{prefix}inverse"] = look.inverse
            found[f"{prefix}bank.examples"] = look.bank.examples
            found[f"{prefix}bank.ts_ns"] = look.bank.ts_ns
            found[f"{prefix}bank.owners"] = look.bank.owners
            if look.model is not None:
                for name, value in look.model.state_dict().items():
                    found[f"{prefix}model.{name}"] = value
        return found

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        n_groups: int,
        n_channels: int,
    ) -> "PyramidView":
        """See `View.restore`."""
        center, scale = tensors["scaler.center"].numpy(), tensors["scaler.scale"].numpy()
        if center.shape != (n_groups, n_channels):
            raise ValueError(
                f"{n_groups} groups of {n_channels} channels, but a scaler of {center.shape}"
            )
        sensors = tuple(config["sensors"])
        looks = [_restored(one, tensors, sensors, n_channels) for one in config["looks"]]
        if not looks or len({look.name for look in looks}) < len(looks):
            raise ValueError("a pyramid needs at least one look, and distinct names")
        prefix = "season."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        season = Season.restore(own, n_groups=n_groups, n_channels=n_channels)
        return cls(ChannelScaler(center=center, scale=scale), season, looks)


def prepared(
    scaler: ChannelScaler,
    season: Season,
    rows: Float64[np.ndarray, "rows channels"],
    groups: Int[np.ndarray, "..."],
    times: Int64[np.ndarray, " rows"] | None,
) -> Prepared:
    """Scaled rows without their season; see `View.prepare`."""
    scaled, present = scaler.scaled(rows, groups)
    if season.is_none:
        return scaled, present
    if times is None:
        raise ValueError("this model knows a rhythm of day and week: its rows need their times")
    return season.remove(scaled, times, groups).astype(np.float32, copy=False), present


def _restored(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    sensors: tuple[str, ...],
    n_channels: int,
) -> Look:
    name = str(config["name"])
    own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
    features = tuple(Feature(**one) for one in config["features"])
    inputs = len(features) * n_channels
    bank = Bank(
        examples=own["bank.examples"],
        ts_ns=own["bank.ts_ns"],
        owners=own["bank.owners"],
        sensors=sensors,
    )
    examples = len(bank.examples)
    shapes = {"center": (inputs,), "inverse": (inputs,), "bank.examples": (examples, inputs)}
    shapes |= {"bank.ts_ns": (examples,), "bank.owners": (examples,)}
    for key, shape in shapes.items():
        if tuple(own[key].shape) != shape:
            raise ValueError(f"{name}.{key} must be {shape}, got {tuple(own[key].shape)}")
    if not bool((own["inverse"] > 0).all()):
        raise ValueError(f"{name}.inverse must be greater than 0")
    if not 0 < examples <= MAX_EXAMPLES or not bool(
        ((bank.owners >= 0) & (bank.owners < len(sensors))).all()
    ):
        raise ValueError(f"{name} needs examples of known sensors")
    model = None
    if config["model"] is not None:
        model = build(config["model"]["kind"], config["model"]["sizes"])
        if (model.n_channels, model.receptive_field) != (n_channels, len(features)):
            raise ValueError(f"{name} has a model for other features")
        weights = {k.removeprefix("model."): v for k, v in own.items() if k.startswith("model.")}
        model.load_state_dict(weights)
        model.eval().requires_grad_(requires_grad=False)
    return Look(
        name=name,
        features=features,
        center=own["center"],
        inverse=own["inverse"],
        model=model,
        bank=bank,
    )


def _filled(
    features: Float32[Tensor, "n features channels"], tile: int
) -> Float32[Tensor, "tile features channels"]:
    """Brought to the length of a tile by repeating the first."""
    short = tile - len(features)
    return features if short == 0 else torch.cat([features, features[:1].expand(short, -1, -1)])


def _summed(squares: Float[Tensor, "tile features channels"]) -> Float32[Tensor, "tile channels"]:
    """Sums over features, added one by one: a library may choose its order by the shape."""
    total = squares[:, 0].clone()
    for place in range(1, squares.shape[1]):
        total += squares[:, place]
    return total
