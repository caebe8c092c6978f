"""Fit the map of the latent space on the calibration block."""

import numpy as np
import torch
from jaxtyping import Float32, Int64

from detector.calibration.latent_map import LatentMap
from detector.scoring import Detector
from detector.signal.series import thin
from detector.training.dataset import Block, Dataset

MAX_ROWS = 4_096
"""Windows that are encoded again, evenly picked of all sensors."""


def fit_latent_map(detector: Detector, data: Dataset) -> LatentMap | None:
    """The map; None where the block has next to no window.

    Each window is scaled as its own sensor's are, so that all machines share one map.

    Args:
        detector: finished but for this.
        data: what it was trained on.
    """
    field = detector.signal.receptive_field
    ends = thin(data.ends(Block.CALIBRATION, field), MAX_ROWS)
    return LatentMap.fit(_latents(detector, data, ends)) if len(ends) else None


@torch.inference_mode()
def _latents(
    detector: Detector, data: Dataset, ends: Int64[np.ndarray, " n"]
) -> Float32[np.ndarray, "n latent"]:
    signal, found = detector.signal, []
    field = signal.receptive_field
    for begin in range(0, len(ends), signal.tile):
        # Window by window: evenly picked ones lie far apart in a long history.
        own = ends[begin : begin + signal.tile]
        rows = (own[:, None] + np.arange(1 - field, 1)).ravel()
        prepared = signal.prepare(data.rows[rows], np.repeat(data.groups[own], field))
        local = torch.arange(field - 1, len(rows), field, device=detector.device)
        found.append(signal.encode(prepared, local).cpu().numpy())
    return np.concatenate(found)
