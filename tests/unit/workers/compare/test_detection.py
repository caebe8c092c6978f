"""Judged by labels where there are some, by faults put in where there are none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.compared import SECOND_NS, make_history
from tests.support.models import CHANNELS, plant_values
from workers.compare.detection import detection_of, fault_length, with_faults
from workers.compare.faults import Kind
from workers.compare.methods import Method, Plan, fit
from workers.compare.time_split import ComparisonError, cut

PLAN = Plan(bottleneck=4, receptive_field=8)


@pytest.fixture(scope="module")
def detector():
    """Principal components: fitted at once."""
    series = make_split(2_400).series()
    return fit(series, PLAN.training(Method.PCA, CHANNELS)).detector()


def make_split(rows=1_200, *, labels=None, values=None):
    values = plant_values(rows, seed=50) if values is None else values
    history = make_history(values, labels=labels)
    return cut(replace(history, channels=CHANNELS), 0.5)


def test_time_that_judges_comes_after_all_that_teaches():
    labels = np.zeros(1_200, dtype=np.bool_)
    labels[100:120] = labels[700:710] = True

    split = make_split(labels=labels)

    (known,), (held,) = split.training.sensors, split.held_out.sensors
    assert len(known) == 600 - 20
    assert known.ts_ns[-1] < held.ts_ns[0] == known.ts_ns[0] + 600 * SECOND_NS
    assert split.labelled
    assert held.labels is not None
    assert held.labels.sum() == 10


def test_a_history_without_a_row_on_one_side_is_rejected():
    history = make_history(plant_values(1, seed=0))

    with pytest.raises(ComparisonError, match="1 rows to learn from and 0 to judge by"):
        cut(history, 0.3)


def test_labels_judge_where_there_are_some(detector):
    values, labels = plant_values(1_200, seed=50), np.zeros(1_200, dtype=np.bool_)
    values[900:930, 1] += 3.0
    values[1100:1110, 1] += 0.7  # less than the other's: only sound rows make the level
    labels[900:930] = labels[1100:1110] = True

    told = detection_of(detector, make_split(labels=labels, values=values), PLAN)

    assert told.injected == {}
    assert told.faults is told.quiet
    assert (told.faults.events.found, told.faults.events.missed) == (2, 0)
    assert told.faults.average_precision > 0.7
    assert told.at_equal_rate == 1.0
    assert told.incidents >= 1


def test_without_labels_faults_are_put_in_and_the_sound_rows_count_the_false_ones(detector):
    told = detection_of(detector, make_split(), PLAN)

    put_in = sum(told.injected.values())
    assert put_in == 600 // (6 * fault_length(PLAN)) == 6
    assert told.quiet.events.found + told.quiet.events.missed == 0
    assert math.isnan(told.quiet.average_precision)
    assert told.faults.events.found + told.faults.events.missed == put_in
    assert told.faults.events.found >= 3
    assert 0.5 <= told.at_equal_rate <= 1.0


def test_a_label_on_a_sound_row_is_not_found_at_an_equal_rate(detector):
    split = make_split()
    usual = np.zeros(600, dtype=np.bool_)
    usual[300:301] = True
    held = replace(split.held_out.sensors[0], labels=usual)
    unseen = replace(split, held_out=replace(split.held_out, sensors=(held,)))

    assert detection_of(detector, unseen, PLAN).at_equal_rate == 0.0


def test_channels_that_stand_still_get_no_fault():
    values = plant_values(1_200, seed=50)
    values[:, 0] = 7.0
    split = make_split(values=values)

    faulty, kinds = with_faults(split.held_out, split.training, PLAN)

    assert set(kinds) == set(Kind)
    assert (faulty.sensors[0].values[:, 0] == 7.0).all()


@pytest.mark.parametrize("rows", [150, 1_200])
def test_no_room_or_nothing_that_moves_is_said(rows):
    values = np.ones((rows, 3)) if rows > 1_000 else plant_values(rows, seed=0)
    split = make_split(values=values)

    with pytest.raises(ComparisonError, match="no labels, and no room to put faults in"):
        with_faults(split.held_out, split.training, PLAN)
