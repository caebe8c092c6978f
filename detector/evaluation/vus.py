"""VUS-PR, the volume under the precision-recall surface, as TSB-AD 1.5 computes it."""

import numpy as np
from jaxtyping import Float64

from detector.evaluation.counts import Column, Mask, Ranges
from detector.evaluation.ranking import check_ranking
from detector.signal.series import true_runs

VUS_THRESHOLDS = 250
DEFAULT_VUS_WINDOW = 100
MAX_VUS_WINDOW = 10_000


def vus_pr(labels: Mask, scores: Column, *, window: int) -> float:
    """Volume under the precision-recall surface, as TSB-AD 1.5 computes it.

    For every width w = 0..window each event grows a slope of w // 2 rows on both sides, of weight
    sqrt(1 - distance / w); slopes add up, to 1 at most. A threshold's true positives are the
    weights it flags; its recall is taken against the mean of the plain and the touched label
    mass, times the share of (grown, then merged) events it touches. The area under precision over
    that recall, at 250 thresholds taken from the ranked scores, is averaged over the widths.
    (Paparrizos et al. 2022; Liu and Paparrizos 2024.)

    Args:
        labels: True where anomalous.
        scores: larger is more anomalous, any scale.
        window: largest width in rows, 0..10,000.

    Raises:
        ValueError: no row is anomalous, a score is not finite, or the window is out of range.
    """
    if not 0 <= window <= MAX_VUS_WINDOW:
        raise ValueError(f"window must be in 0..{MAX_VUS_WINDOW}, got {window}")
    check_ranking(labels, scores)
    events = true_runs(labels)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    thresholds = ranked[np.linspace(0, len(ranked) - 1, VUS_THRESHOLDS).astype(np.int64)]
    flagged = np.searchsorted(-ranked, -thresholds, side="right")
    hits = np.cumsum(labels[order])[flagged - 1]
    areas = []
    for width in range(window + 1):
        mass = np.cumsum(_slopes(labels, events, width)[order])[flagged - 1]
        existence = _existence(scores, _grown(events, width, len(scores)), thresholds)
        touched = mass - hits + np.count_nonzero(labels)
        middle = (np.count_nonzero(labels) + touched) / 2.0
        recall = np.minimum(mass / middle, 1.0) * existence
        areas.append(np.sum(np.diff(recall, prepend=0.0) * mass / flagged))
    return float(np.mean(areas))


def _slopes(labels: Mask, events: Ranges, width: int) -> Column:
    """Label weights with a slope of `width` // 2 rows on both sides of every event."""
    weights = labels.astype(np.float64)
    half = width // 2
    if half == 0:
        return weights
    slope = np.sqrt(1.0 - np.arange(1, half + 1) / width)
    for start, end in events:
        right = min(half, len(weights) - end)
        weights[end : end + right] += slope[:right]
        left = min(half, start)
        weights[start - left : start] += slope[:left][::-1]
    return np.minimum(weights, 1.0)


def _grown(events: Ranges, width: int, n_rows: int) -> Ranges:
    """Events grown by `width` // 2 rows on both sides, touching ones merged."""
    half = width // 2
    starts, ends = events[:, 0] - half, events[:, 1] + half
    apart = starts[1:] >= ends[:-1]
    first, last = np.append(True, apart), np.append(apart, True)
    merged = np.stack([starts[first], ends[last]], axis=1)
    grown: Ranges = np.clip(merged, 0, n_rows)
    return grown


def _existence(
    scores: Column,
    ranges: Ranges,
    thresholds: Float64[np.ndarray, " thresholds"],
) -> Float64[np.ndarray, " thresholds"]:
    """Share of ranges whose highest score reaches each threshold."""
    peaks = np.sort([scores[start:end].max() for start, end in ranges])
    return 1.0 - np.searchsorted(peaks, thresholds, side="left") / len(peaks)
