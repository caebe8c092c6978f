"""The table of the comparison: medians, and how often a method is nearer than PCA."""

from __future__ import annotations

import math

from benchmarks.comparison import Case, Figures, summary
from tests.support.compared import linear_rows, make_history
from workers.compare.methods import Method
from workers.compare.time_split import cut

SPLIT = cut(make_history(linear_rows(20)), 0.5)


def figures(name, method, *, left, truth=math.nan):
    return Figures(
        case=Case(set="plant", name=name, sound=SPLIT, faulty=None),
        method=method,
        bottleneck=2,
        left=left,
        truth=truth,
        precision=math.nan,
        found=math.nan,
        fit_s=1.0,
    )


def test_a_method_wins_where_its_error_is_smaller_than_that_of_pca_on_the_same_seed():
    found = [
        figures("0", Method.PCA, left=0.10, truth=0.05),
        figures("0", Method.NONLINEAR, left=0.12, truth=0.03),
        figures("1", Method.PCA, left=0.30, truth=0.20),
        figures("1", Method.NONLINEAR, left=0.20, truth=0.25),
        figures("2", Method.PCA, left=0.20, truth=0.10),
        figures("2", Method.NONLINEAR, left=0.10, truth=0.09),
    ]

    _, _, pca, curve = summary(found)

    assert "| 20.00 (10.00..30.00) | 10.00 (5.00..20.00) |  |" in pca
    assert "| 12.00 (10.00..20.00) | 9.00 (3.00..25.00) | 2 of 3 |" in curve


def test_where_the_truth_is_unknown_the_error_against_readings_decides():
    found = [
        figures("0", Method.PCA, left=0.10),
        figures("0", Method.LINEAR, left=0.09),
    ]

    lines = summary(found)

    assert lines[3].startswith("| plant | 2 | linear autoencoder | 9.00 |  | 1 of 1 |")
