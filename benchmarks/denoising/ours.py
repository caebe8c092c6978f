"""Vigie's denoising view, fitted on noisy rows alone and applied to later ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detector.signal.series import Series
from detector.training.dataset import Split, assemble
from detector.training.denoising import DenoisingTraining, fit_denoiser
from detector.views.base import Cleaned
from detector.views.denoising import DenoisingView

FloatArray = npt.NDArray[np.float64]

FIELD, SHORT = 256, 32
_OWN = 1
"""The calibration group of the only sensor."""
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A fitted view; None where the history shows no noise: then readings are published as is."""

    view: DenoisingView | None
    summary: dict[str, Any]

    @classmethod
    def fit(cls, noisy: FloatArray, *, seed: int) -> Ours:
        """As `vigie train` fits it on one sensor's readings, one row a second."""
        series = Series(
            sensor="it", ts_ns=np.arange(len(noisy), dtype=np.int64) * 10**9, values=noisy
        )
        data = assemble(
            [series],
            n_channels=noisy.shape[1],
            receptive_field=SHORT,
            split=Split(),
            max_gap_s=0,
            max_rows=len(noisy),
            longest=FIELD,
        )
        fitted = fit_denoiser(
            data,
            DenoisingTraining(),
            rows=FIELD,
            short_rows=SHORT,
            generator=torch.Generator().manual_seed(seed),
            device=torch.device("cpu"),
        )
        return cls(view=fitted.view, summary=fitted.summary)

    @property
    def lag(self) -> int:
        """Rows that the settled value waits for."""
        return 0 if self.view is None else self.view.lag

    def clean(
        self, noisy: FloatArray, places: npt.NDArray[np.int64]
    ) -> tuple[FloatArray, FloatArray]:
        """The causal and the settled value of some rows, [n, C].

        Args:
            noisy: rows, NaN = missing; a full window before the first place and the lag behind
                the last one.
            places: rows to clean.
        """
        if self.view is None:
            return noisy[places], noisy[places]
        view = self.view.settled()
        prepared = view.prepare(noisy, np.array(_OWN), None)

        def published(name: str, ends: npt.NDArray[np.int64]) -> FloatArray:
            parts = []
            for begin in range(0, len(ends), _CHUNK):
                own = ends[begin : begin + _CHUNK]
                with torch.inference_mode():
                    found = view.measure(prepared, torch.from_numpy(own))
                one: Cleaned = getattr(found, name)
                rows = noisy[places[begin : begin + _CHUNK]]
                parts.append(_mixed(view, one, rows))
            return np.concatenate(parts)

        causal = published("cleaned", places)
        return causal, published("settled", places + view.lag) if view.lag else causal


def _mixed(view: DenoisingView, cleaned: Cleaned, rows: FloatArray) -> FloatArray:
    """The reading less its share of the difference; the prediction where it is missing."""
    groups = np.full(len(rows), _OWN)
    prediction = view.scaler.invert(cleaned.prediction.numpy(), groups)
    share = cleaned.share.numpy()
    mixed = np.where(share > 0, rows + share * (prediction - rows), rows)
    return np.where(np.isfinite(rows), mixed, prediction)
