"""The views of one detector, measured together."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from detector.views.base import Measured, View
from detector.views.denoising import DenoisingView
from detector.views.reconstruction import ReconstructionView


class Views:
    """One or more views, in the order of their features.

    Attributes:
        signal: the view that expected values, latent vectors and units come from: the first
            reconstruction.
        denoising: the view that clean values come from; None: readings are published as they came.
            The others only add to the score.
        receptive_field: R of the detector, the largest of its views'.
        tile: windows that are best measured at once.
        device: where all of them are.

    Raises:
        ValueError: none of them is a reconstruction.
    """

    def __init__(self, views: Sequence[View[Any]]) -> None:
        signal = next((view for view in views if isinstance(view, ReconstructionView)), None)
        if signal is None:
            kinds = [view.kind for view in views]
            raise ValueError(f"a detector needs a {ReconstructionView.kind} view, got {kinds}")
        self._views = tuple(views)
        self.signal = signal
        self.denoising = next((view for view in views if isinstance(view, DenoisingView)), None)
        self.receptive_field = max(view.receptive_field for view in views)
        self.tile = max(view.tile for view in views)
        self.device = signal.device

    def __iter__(self) -> Iterator[View[Any]]:
        return iter(self._views)

    @property
    def settling(self) -> bool:
        """Whether settled values are measured too."""
        return self.denoising is not None and self.denoising.settling

    @property
    def n_features(self) -> int:
        """Features of all views."""
        return sum(len(view.features) for view in self._views)

    def with_signal(self, signal: ReconstructionView) -> "Views":
        """The same, with another signal view in its place."""
        return Views([signal if view is self.signal else view for view in self._views])

    def with_denoising(self, denoising: DenoisingView) -> "Views":
        """The same, with this denoising view in the place of its own, or behind all."""
        return Views([*(view for view in self._views if view is not self.denoising), denoising])

    def within(self, rows: int) -> tuple["Views", list[int]] | None:
        """What can be said of a window of so many rows.

        Returns:
            The views, and the positions of their features among those of all; None if every view
            needs the whole window or none measures a shorter one.
        """
        kept, places, first = list[View[Any]](), list[int](), 0
        for view in self._views:
            shorter, own = view.within(rows)
            if shorter is not None:
                kept.append(shorter)
            places += [first + place for place in own]
            first += len(view.features)
        return (Views(kept), places) if places and len(places) < first else None

    def prepare(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        times: Int64[np.ndarray, " rows"] | None = None,
    ) -> tuple[Any, ...]:
        """What each view prepares; arguments as for `View.prepare`."""
        return tuple(view.prepare(rows, groups, times) for view in self._views)

    def measure(self, prepared: tuple[Any, ...], ends: Int[Tensor, " windows"]) -> Measured:
        """The features of all views one behind the other, and what some of them say beside.

        Arguments as for `View.measure`; at each of `ends` a window of every view ends.
        """
        measured = [view.measure(rows, ends) for view, rows in zip(self, prepared, strict=True)]
        features = [one.features for one in measured]
        signal = measured[self._views.index(self.signal)]
        cleaning = [one for one in measured if one.cleaned is not None]
        return Measured(
            features=torch.cat(features) if len(features) > 1 else features[0],
            expected=signal.expected,
            latent=signal.latent,
            cleaned=cleaning[0].cleaned if cleaning else None,
            settled=cleaning[0].settled if cleaning else None,
        )

    def to(self, device: torch.device) -> "Views":
        """The same views on a device."""
        return Views([view.to(device) for view in self._views])
