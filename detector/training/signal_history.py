"""What the signal autoencoder says of the history that it learned from, in part."""

import numpy as np
import torch
from jaxtyping import Float32, Int64

from detector.training.dataset import Block, Dataset
from detector.views.joined import Views

_BATCH = 4096


class SignalHistory:
    """Distances of the signal view over a dataset.

    It has learned from all but the calibration block, and what it has seen lies nearer to it. To
    fit it four times, as looks are, would take four times as long; so what it has seen is brought
    to the median of what it has not, sensor by sensor.
    """

    def __init__(self, views: Views, data: Dataset) -> None:
        self._data = data
        self._only = Views([views.signal])
        self.held_back = data.ends(Block.CALIBRATION, views.signal.receptive_field)
        self._own: dict[int | None, Float32[np.ndarray, " rows"]] = {}

    def distances(
        self, rows: Int64[np.ndarray, " n"], group: int | None = None
    ) -> Float32[np.ndarray, "1 n"]:
        """Distances of rows.

        Args:
            rows: places in the dataset; the first rows of a run, which no window ends with, get
                the median of their sensor's.
            group: whose numbers to scale by; None: each row's own.
        """
        if group not in self._own:
            self._own[group] = self._measured(group)
        distances: Float32[np.ndarray, "1 n"] = self._own[group][rows][None]
        return distances

    def _measured(self, group: int | None) -> Float32[np.ndarray, " rows"]:
        data, field = self._data, self._only.signal.receptive_field
        found = np.full(len(data.rows), np.nan, dtype=np.float32)
        for start, end in data.runs:
            for begin in range(start + field - 1, end, _BATCH):
                stop = min(begin + _BATCH, end)
                own = int(data.groups[begin]) if group is None else group
                found[begin:stop] = self._in_run(begin, stop, own)
        for owner in range(len(data.names)):
            self._level(found, np.flatnonzero(data.owners == owner))
        return found

    @torch.inference_mode()
    def _in_run(self, begin: int, stop: int, group: int) -> Float32[np.ndarray, " n"]:
        first = begin - self._only.signal.receptive_field + 1
        prepared = self._only.prepare(self._data.rows[first:stop], np.array(group))
        ends = torch.arange(begin - first, stop - first, device=self._only.device)
        features = self._only.measure(prepared, ends).features
        distances: Float32[np.ndarray, " n"] = features[0].sum(1).sqrt().cpu().numpy()
        return distances

    def _level(self, found: Float32[np.ndarray, " rows"], rows: Int64[np.ndarray, " n"]) -> None:
        """Bring what was learned from to the level of what was not; in place."""
        own = found[rows]
        held = np.isin(rows, self.held_back)
        known = np.isfinite(own)
        if (known & held).any() and (known & ~held).any():
            seen = float(np.median(own[known & ~held]))
            own[~held] *= float(np.median(own[known & held])) / max(seen, 1e-6)
        own[~known] = np.median(own[known]) if known.any() else 1.0
        found[rows] = own
