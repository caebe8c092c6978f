"""Sensors that a training with its defaults learns nothing from are named, and no others."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from detector.training.dataset import Split
from detector.training.train import TrainingConfig
from workers.data.finding import Kind
from workers.data.findings import few_rows
from workers.data.findings.few_rows import few_rows_findings
from workers.data.history import History, SensorRows

SECOND = 10**9


def history(**times):
    sensors = tuple(
        SensorRows(sensor=name, ts_ns=np.asarray(ts) * SECOND, values=np.ones((len(ts), 1)))
        for name, ts in times.items()
    )
    return History(
        channels=("flow",),
        sensors=sensors,
        read=sum(map(len, sensors)),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )


@pytest.mark.parametrize("rows", [1, 20, 300])
def test_a_history_that_is_too_short_for_a_training_is_named(rows):
    (finding,) = few_rows_findings(history(pump=range(rows)))

    assert finding.kind is Kind.FEW_ROWS
    assert "320 rows without a gap" in finding.text
    assert f"at most {rows}:" in finding.text


def test_a_history_that_is_long_enough_is_not():
    assert list(few_rows_findings(history(pump=range(320)))) == []
    assert list(few_rows_findings(history())) == []


def test_a_long_history_full_of_gaps_is_too_short():
    bursts = [100 * (n // 10) + n % 10 for n in range(1_000)]

    assert "at most 10:" in next(few_rows_findings(history(pump=bursts))).text


def test_the_short_one_of_two_sensors_is_named_and_one_of_another_rate_is_not():
    (finding,) = few_rows_findings(history(long=range(1_000), short=range(20)))

    assert "1 of 2 sensors" in finding.text
    assert "'short': 20 readings, at least 320 are needed" in finding.text
    slow = range(0, 6_000, 60)
    assert list(few_rows_findings(history(a=range(1_000), b=range(1_000), slow=slow))) == []


def test_the_defaults_are_those_of_training():
    split = Split()
    defaults = {one.name: one.default for one in TrainingConfig.__dataclass_fields__.values()}

    assert few_rows._PARTS[1:] == (split.validation, split.calibration)
    assert math.isclose(sum(few_rows._PARTS), 1)
    assert defaults["receptive_field"] == few_rows._WINDOW
