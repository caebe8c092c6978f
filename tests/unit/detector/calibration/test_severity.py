import math

import pytest

from detector.calibration.severity import Direction, Severity, tail_p_value

RATE = 1 / 604_800


@pytest.mark.parametrize(
    ("p_value", "word"),
    [
        (1.0, "low"),
        (RATE, "low"),
        (RATE / 9.9, "low"),
        (RATE / 10, "medium"),
        (RATE / 999, "medium"),
        (RATE / 1_000, "high"),
        (0.0, "high"),
    ],
)
def test_severity_says_how_much_rarer_than_the_budget(p_value, word):
    assert Severity.of(p_value, RATE).word == word


def test_severities_are_ordered():
    assert Severity.LOW < Severity.MEDIUM < Severity.HIGH


@pytest.mark.parametrize(
    ("p_value", "rate"), [(-0.1, RATE), (1.1, RATE), (math.nan, RATE), (0.5, 0.0), (0.5, 1.0)]
)
def test_a_severity_of_nonsense_is_an_error(p_value, rate):
    with pytest.raises(ValueError, match="p-value"):
        Severity.of(p_value, rate)


def test_an_incident_that_barely_opened_is_as_rare_as_the_budget():
    assert tail_p_value(0.0, RATE) == tail_p_value(-1.0, RATE) == RATE
    assert tail_p_value(math.log(1_000), RATE) == pytest.approx(RATE / 1_000)
    assert tail_p_value(1e9, RATE) == 1e-12


@pytest.mark.parametrize(
    ("observed", "direction"),
    [(12.1, "high"), (12.0, "pattern"), (10.0, "pattern"), (8.0, "pattern"), (7.9, "low")],
)
def test_direction_is_that_of_the_reading_beyond_its_band(observed, direction):
    assert Direction.of(observed, 10.0, 2.0) == direction


def test_a_missing_reading_has_no_direction_but_a_pattern():
    assert Direction.of(math.nan, 10.0, 2.0) is Direction.PATTERN
