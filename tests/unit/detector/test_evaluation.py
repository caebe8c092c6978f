"""The measures of detector.evaluation, against small vectors, definitions and TSB-AD's figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.evaluation import (
    EventCounts,
    Outcome,
    PointCounts,
    average_precision,
    best_f1,
    count_events,
    count_points,
    detection_delays,
    evaluate,
    vus_pr,
)
from detector.signal.series import true_runs
from tests.support.fleets import SHAPE_ERRORS

VECTORS = json.loads((Path(__file__).parent / "data" / "evaluation_vectors.json").read_text())
MASKS = arrays(np.bool_, st.integers(1, 60))
S = 1_000_000_000


def mask(values):
    return np.array(values, dtype=bool)


def reference_vus_pr(labels, scores, window):
    """VUS-PR from its definition, one threshold and one row after the other."""
    n, events = len(labels), [tuple(run) for run in true_runs(labels)]
    thresholds = [sorted(scores, reverse=True)[int(i)] for i in np.linspace(0, n - 1, 250)]
    areas = []
    for width in range(window + 1):
        weights = [float(label) for label in labels]
        regions: list[tuple[int, int]] = []
        for start, end in events:
            for distance in range(1, width // 2 + 1):
                for row in (start - distance, end - 1 + distance):
                    if 0 <= row < n:
                        weights[row] += (1 - distance / width) ** 0.5
            low, high = start - width // 2, end + width // 2
            if regions and low < regions[-1][1]:
                regions[-1] = (regions[-1][0], high)
            else:
                regions.append((low, high))
        weights = [min(weight, 1.0) for weight in weights]
        area = before = 0.0
        for threshold in thresholds:
            rows = [row for row in range(n) if scores[row] >= threshold]
            mass = sum(weights[row] for row in rows)
            touched = sum(labels) + sum(weights[row] for row in rows if not labels[row])
            exists = sum(any(low <= row < high for row in rows) for low, high in regions)
            recall = min(mass / ((sum(labels) + touched) / 2), 1.0) * exists / len(regions)
            area += (recall - before) * mass / len(rows)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_measures_match_the_stored_vectors(case):
    labels, scores = mask(case["labels"]), np.array(case["scores"], dtype=float)

    assert vus_pr(labels, scores, window=case["window"]) == pytest.approx(case["vus_pr"], abs=1e-9)
    assert average_precision(labels, scores) == pytest.approx(case["average_precision"], abs=1e-9)
    assert best_f1(labels, scores) == pytest.approx(case["best_f1"], abs=1e-9)


def test_measures_match_tsb_ad():
    root = os.environ.get("VIGIE_DATA")
    if root is None:
        pytest.skip("VIGIE_DATA is not set: point it at a folder holding metrics/vectors.json")
    cases = json.loads((Path(root) / "metrics" / "vectors.json").read_text())

    assert cases
    for case in cases:
        labels, scores = mask(case["labels"]), np.array(case["scores"], dtype=float)
        assert vus_pr(labels, scores, window=case["window"]) == pytest.approx(
            case["vus_pr"], abs=1e-9
        )
        assert average_precision(labels, scores) == pytest.approx(
            case["average_precision"], abs=1e-9
        )
        assert best_f1(labels, scores) == pytest.approx(case["best_f1"], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), window=st.integers(0, 9))
def test_vus_pr_equals_its_definition(data, window):
    labels = data.draw(arrays(np.bool_, st.integers(1, 24)).filter(np.any))
    scores = data.draw(arrays(np.float64, len(labels), elements=st.integers(0, 6).map(float)))

    measured = vus_pr(labels, scores, window=window)

    assert measured == pytest.approx(reference_vus_pr(labels, scores, window), abs=1e-12)


@given(labels=MASKS.filter(np.any))
def test_a_perfect_ranking_scores_one(labels):
    scores = labels.astype(float)

    assert average_precision(labels, scores) == 1.0
    assert best_f1(labels, scores) == 1.0
    assert vus_pr(labels, scores, window=0) == pytest.approx(1.0)


@given(labels=MASKS.filter(np.any), data=st.data())
def test_measures_depend_on_the_order_of_scores_only(labels, data):
    scores = data.draw(arrays(np.float64, len(labels), elements=st.integers(0, 9).map(float)))

    assert vus_pr(labels, scores, window=5) == vus_pr(labels, 3 * scores - 7, window=5)
    assert average_precision(labels, scores) == average_precision(labels, 3 * scores - 7)


@given(flags=MASKS, data=st.data())
def test_points_agree_with_counting_by_hand(flags, data):
    labels = data.draw(arrays(np.bool_, len(flags)))

    points = count_points(labels, flags)

    pairs = list(zip(labels.tolist(), flags.tolist(), strict=True))
    assert points == PointCounts(
        true_positives=pairs.count((True, True)),
        false_positives=pairs.count((False, True)),
        false_negatives=pairs.count((True, False)),
        true_negatives=pairs.count((False, False)),
    )


def test_point_rates_are_the_textbook_ones():
    points = PointCounts(true_positives=6, false_positives=2, false_negatives=4, true_negatives=8)

    assert points.precision == 0.75
    assert points.recall == 0.6
    assert points.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert points.false_alarm_rate == 0.2
    assert points.missed_alarm_rate == 0.4


def test_rates_of_nothing_are_zero():
    assert (PointCounts().precision, PointCounts().recall, PointCounts().f1) == (0, 0, 0)
    assert (EventCounts().precision, EventCounts().recall, EventCounts().f1) == (0, 0, 0)


@given(rows=MASKS)
def test_runs_rebuild_the_mask(rows):
    rebuilt = np.zeros_like(rows)
    for start, end in true_runs(rows):
        assert start < end
        rebuilt[start:end] = True

    assert np.array_equal(rebuilt, rows)


def test_an_event_is_found_by_one_row_and_a_run_beside_it_is_false():
    labels = mask([0, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    flags = mask([0, 0, 0, 1, 1, 0, 0, 0, 1, 1])

    assert count_events(labels, flags) == EventCounts(found=1, missed=1, false=1)
    assert detection_delays(labels, flags).tolist() == [2, -1]


def test_one_run_over_two_events_finds_both_and_is_no_false_alarm():
    labels, flags = mask([0, 1, 0, 1, 0]), mask([1, 1, 1, 1, 1])

    assert count_events(labels, flags) == EventCounts(found=2, missed=0, false=0)
    assert detection_delays(labels, flags).tolist() == [0, 0]


def test_an_alarm_after_the_event_does_not_find_it():
    assert detection_delays(mask([1, 0, 0]), mask([0, 1, 0])).tolist() == [-1]


def make_outcome(labels, scores, *, interval_s=10):
    return Outcome(
        ts_ns=np.arange(len(labels), dtype=np.int64) * interval_s * S,
        labels=np.array(labels, dtype=bool),
        scores=np.array(scores, dtype=float),
    )


def test_evaluate_keeps_series_apart():
    ends_in_event = make_outcome([0, 0, 1, 1], [0.1, 0.2, 0.9, 1.5])
    starts_in_event = make_outcome([1, 0, 0, 0], [0.8, 0.2, 1.0, 0.1])

    verdict = evaluate([ends_in_event, starts_in_event], interval_s=10.0, vus_window=4)

    assert verdict.events == EventCounts(found=1, missed=1, false=1)
    assert verdict.delays_s.tolist() == [10.0]
    assert verdict.median_delay_s == 10.0
    assert verdict.normal_s == 50
    assert verdict.false_alarms_per_day == pytest.approx(86_400 / 50)
    assert verdict.average_precision == pytest.approx((1.0 + 0.5) / 2)


def test_evaluate_without_events_leaves_rankings_open():
    verdict = evaluate([make_outcome([0, 0], [0.1, 1.2])], interval_s=10.0)

    assert np.isnan([verdict.vus_pr, verdict.average_precision, verdict.median_delay_s]).all()
    assert verdict.events.false == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vus_pr(mask([0, 0]), np.array([1.0, 2.0]), window=3), "no row is labelled"),
        (lambda: vus_pr(mask([0, 1]), np.array([1.0, np.nan]), window=3), "finite"),
        (lambda: vus_pr(mask([0, 1]), np.array([1.0, 2.0]), window=-1), "window must be in"),
        (lambda: evaluate([], interval_s=1.0), "at least one"),
        (lambda: evaluate([make_outcome([1], [1])], interval_s=0.0), "interval_s"),
    ],
)
def test_unusable_input_is_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_that_do_not_match_are_rejected():
    with pytest.raises(SHAPE_ERRORS):
        average_precision(mask([0, 1]), np.array([1.0, 2.0, 3.0]))
    with pytest.raises(SHAPE_ERRORS):
        count_points(mask([0, 1]), mask([1]))
