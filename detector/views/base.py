"""A view: what a detector measures of the readings that lead up to a sample.

A view turns rows into *features*: numbers per window and channel that are near a constant while
all is well. A detector holds one or more, each with a receptive field of its own; how all their
features become one score is the business of `detector.calibration.fusion`. How a view is fitted
stands in `detector.training`, beside it by name.

For a score to be the same however a stream is cut into calls, every view keeps this promise: the
features of a window are a function of the R rows that end with it and of its calibration group,
to the last bit. Not of the rows before, not of the other windows of the call. So sums over time
are taken from each window's own rows (a running sum carries its start along), and what a library
computes, it computes in tiles of one fixed shape.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

PreparedT = TypeVar("PreparedT")
_TILE_CPU, _TILE_CUDA = 256, 8192


def tile_of(device: torch.device) -> int:
    """Windows that a view computes at once on a device."""
    return _TILE_CUDA if device.type == "cuda" else _TILE_CPU


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What a reading of each window is without its noise.

    Attributes:
        prediction: of the reading from all around it, scaled units.
        share: of the difference between the reading and its prediction that is noise, 0..1.
    """

    prediction: Float[Tensor, "windows channels"]
    share: Float[Tensor, "windows channels"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a view says of some windows.

    Attributes:
        features: >= 0; may be overwritten by the reader.
        expected: what the newest reading should have been, scaled units; None from a view that
            does not know (see `detector.views.joined`).
        latent: the latent vector of each window; None as `expected`.
        cleaned: of the newest reading; None from a view that does not clean.
        settled: of an earlier one; likewise, and where nobody asks.
    """

    features: Float[Tensor, "features windows channels"]
    expected: Float[Tensor, "windows channels"] | None = None
    latent: Float[Tensor, "windows latent"] | None = None
    cleaned: Cleaned | None = None
    settled: Cleaned | None = None


class View(ABC, Generic[PreparedT]):
    """One way of looking at the last R rows. Immutable; `to` gives another one.

    Attributes:
        kind: its name in an artifact and in `detector.views.registry`.
        features: names of what it measures, in order.
        receptive_field: R, 1..4096.
        tile: windows that it computes at once; a call with a multiple of it wastes nothing.
        device: where its numbers are.
    """

    kind: ClassVar[str]
    features: tuple[str, ...]
    receptive_field: int
    tile: int
    device: torch.device

    @abstractmethod
    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None,
    ) -> PreparedT:
        """Do once for all windows what need not be done for each.

        Args:
            rows: channel units, oldest first; NaN or an infinity = missing. Not written to.
            groups: calibration group of each row, [rows], or of all, [].
            times: event time of each row, nanoseconds; None when nobody knows.

        Raises:
            ValueError: the view needs the times, and there are none.
        """

    @abstractmethod
    def measure(self, prepared: PreparedT, ends: Int[Tensor, " windows"]) -> Measured:
        """Measure windows.

        Args:
            prepared: the rows.
            ends: last row of each window, each at least R-1, on the view's device.
        """

    def within(self, rows: int) -> tuple["View[PreparedT] | None", list[int]]:
        """What of the view a window of so many rows is enough for.

        Returns:
            A view, or None, and the positions of its features among this view's.
        """
        if self.receptive_field > rows:
            return None, []
        return self, list(range(len(self.features)))

    @abstractmethod
    def to(self, device: torch.device) -> "View[PreparedT]":
        """The same view with its numbers on a device."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Sizes and choices for the artifact, JSON values only."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Every fitted number for the artifact, by a name of the view's own."""

    @classmethod
    @abstractmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        n_groups: int,
        n_channels: int,
    ) -> "View[PreparedT]":
        """The view that gave `config` and `tensors`, on the CPU.

        Args:
            config: as parsed from JSON; the artifact vouches for nothing but that.
            tensors: finite numbers, of any name and shape.
            n_groups: calibration groups that `prepare` will be called with.
            n_channels: columns of the rows.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError: they do not make a view of this kind
                for so many groups and channels.
        """
