"""The two classifiers, and how right they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from benchmarks.augmentation.arms import Labels
from benchmarks.augmentation.tasks import FloatArray

TREES = 50


def balanced_accuracies(
    features: Sequence[FloatArray],
    labels: Sequence[Labels],
    test_features: FloatArray,
    test_labels: Labels,
    seed: int,
) -> Iterator[tuple[str, float]]:
    """Train on examples and what was made of them, and test.

    Args:
        features: of the examples and, if there are any, of the windows that were made.
        labels: likewise.
        test_features: of the test.
        test_labels: likewise.
        seed: of the forest.

    Yields:
        The name of a classifier, and the mean of its recall over the classes.
    """
    known, classes = np.concatenate(features), np.concatenate(labels)
    # Ten times as many made windows would drown the examples, and make C mean something else.
    share = len(features[0]) / len(features)
    weights = np.concatenate([np.full(len(one), share / len(one)) for one in features])
    scaler = StandardScaler().fit(known)
    for name, model in (
        ("random forest", RandomForestClassifier(TREES, random_state=seed)),
        ("logistic regression", LogisticRegression(max_iter=500, tol=1e-3)),
    ):
        model.fit(scaler.transform(known), classes, sample_weight=weights)
        said = model.predict(scaler.transform(test_features))
        yield name, float(balanced_accuracy_score(test_labels, said))
