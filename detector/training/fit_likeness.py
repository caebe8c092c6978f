"""Fit what is alike on the calibration block, as the finished detector scores it."""

import numpy as np
import torch
from jaxtyping import Float32, Int64

from detector.calibration.likeness import Likeness, ScoredRows
from detector.scoring import POOLED, Detector
from detector.signal.series import thin
from detector.training.dataset import Block, Dataset

MAX_ROWS = 65_536
"""That are scored again, of all sensors: beside a training they cost nothing."""
LEAST_GROUP_ROWS, MAX_GROUP_ROWS = 256, 4_096
_BATCH = 4096

Rows = Int64[np.ndarray, " n"]


def fit_likeness(detector: Detector, data: Dataset) -> Likeness | None:
    """Radii and latent scales; None where no exceedance of the calibration block has two rows.

    Contributions and latent vectors come with no score of the calibration, so the last rows of
    the block are scored once more, with their neighbours: of at most 256 sensors, evenly
    picked. The others take the pooled latent scale.

    Args:
        detector: finished but for this.
        data: what it was trained on.
    """
    ends = data.ends(Block.CALIBRATION, detector.signal.receptive_field)
    lengths = np.minimum(ends - _starts(data, ends) + 1, detector.receptive_field)
    ends, lengths = (one[lengths >= detector.warm_up] for one in (ends, lengths))
    if len(ends) == 0:
        return None
    owners = data.groups[ends]
    groups = np.unique(owners[owners != POOLED])
    groups = thin(groups, MAX_ROWS // LEAST_GROUP_ROWS) if len(groups) else np.array([POOLED])
    most = int(np.clip(MAX_ROWS // len(groups), LEAST_GROUP_ROWS, MAX_GROUP_ROWS))
    history = []
    for group in groups.tolist():
        own = np.flatnonzero(owners == group)[-most:]
        history.append(_scored(detector, data, group, ends[own], lengths[own]))
    pooled = _pooled(detector, data, thin(ends, MAX_GROUP_ROWS))
    return Likeness.fit(history, pooled, n_groups=detector.n_groups)


def _starts(data: Dataset, ends: Rows) -> Rows:
    """First row of the run that each row lies in."""
    starts = np.array(sorted(start for start, _ in data.runs), dtype=np.int64)
    own: Rows = starts[np.searchsorted(starts, ends, side="right") - 1]
    return own


def _scored(detector: Detector, data: Dataset, group: int, ends: Rows, lengths: Rows) -> ScoredRows:
    parts = []
    for begin in range(0, len(ends), _BATCH):
        own = slice(begin, begin + _BATCH)
        first = int((ends[own] - lengths[own]).min()) + 1
        rows = slice(first, int(ends[own][-1]) + 1)
        local = ends[own] - first
        parts.append(
            detector.score(
                data.rows[rows],
                local,
                np.full(len(local), group, dtype=np.int32),
                lengths=lengths[own],
                times=data.ts_ns[rows],
            )
        )
    return ScoredRows(
        group=group,
        places=ends,
        level=np.concatenate([one.levels[:, 0] for one in parts]),
        profile=np.concatenate([one.contribution for one in parts]),
        latent=np.concatenate([one.latent for one in parts]),
    )


@torch.inference_mode()
def _pooled(detector: Detector, data: Dataset, ends: Rows) -> Float32[np.ndarray, "n latent"]:
    signal, found = detector.signal, []
    field = signal.receptive_field
    for begin in range(0, len(ends), signal.tile):
        # Window by window: evenly picked ones lie far apart in a long history.
        own = ends[begin : begin + signal.tile, None] + np.arange(1 - field, 1)
        prepared = signal.prepare(data.rows[own.ravel()], np.array(POOLED))
        local = torch.arange(field - 1, own.size, field, device=detector.device)
        found.append(signal.encode(prepared, local).cpu().numpy())
    return np.concatenate(found)
