"""Baselines: simple, causal, learned from the training rows alone."""

from benchmarks.detection.baselines.autoencoder import PLAIN_AUTOENCODER
from benchmarks.detection.baselines.distance import K_MEANS, NEAREST_NEIGHBOUR
from benchmarks.detection.baselines.forests import HALF_SPACE_TREES, ISOLATION_FOREST
from benchmarks.detection.baselines.rowwise import (
    ALL_ROWS,
    MOVING_VARIANCE,
    PCA,
    SQUARED_DIFFERENCE,
    Z_SCORE,
)

BASELINES = (
    ALL_ROWS,
    MOVING_VARIANCE,
    SQUARED_DIFFERENCE,
    Z_SCORE,
    PCA,
    K_MEANS,
    NEAREST_NEIGHBOUR,
    PLAIN_AUTOENCODER,
    ISOLATION_FOREST,
    HALF_SPACE_TREES,
)

__all__ = ["BASELINES"]
