"""How well scores rank rows, whatever the threshold: average precision, best F1."""

import numpy as np
from jaxtyping import Float64

from detector.evaluation.counts import Column, Mask, check_pair


def average_precision(labels: Mask, scores: Column) -> float:
    """Area under the precision-recall steps, tied scores taken together.

    Raises:
        ValueError: no row is anomalous, or a score is not finite.
    """
    precision, recall = _precision_recall(labels, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def best_f1(labels: Mask, scores: Column) -> float:
    """Point F1 at the threshold that is best in hindsight: an upper bound, never a result.

    Raises:
        ValueError: no row is anomalous, or a score is not finite.
    """
    precision, recall = _precision_recall(labels, scores)
    total = precision + recall
    return float(np.max(np.divide(2 * precision * recall, total, where=total > 0, out=total * 0)))


def check_ranking(labels: Mask, scores: Column) -> None:
    """Reject what cannot be ranked.

    Raises:
        ValueError: no row is anomalous, a score is not finite, or the lengths differ.
    """
    check_pair(labels, scores)
    if not labels.any():
        raise ValueError("no row is labelled anomalous: a ranking cannot be judged")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")


def _precision_recall(
    labels: Mask, scores: Column
) -> tuple[Float64[np.ndarray, " distinct"], Float64[np.ndarray, " distinct"]]:
    """Precision and recall at each distinct score, highest first."""
    check_ranking(labels, scores)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(labels[order])[last_of_tie]
    return hits / (last_of_tie + 1.0), hits / float(labels.sum())
