"""A stretch of a topic is treated like a file."""

from __future__ import annotations

import numpy as np

from workers.data.history import Part
from workers.data.topic import take_missing


def test_numbers_that_mean_missing_are_taken_from_a_topic_and_counted():
    values = np.array([[1.0, -200.0], [-200.0, -200.0], [3.0, 7.0]])
    part = Part(sensor="a", ts_ns=np.arange(3), values=values)

    taken = take_missing([[part]], ("flow", "speed"), ("-200", "Bad", "nan"))

    assert taken == {"flow": 1, "speed": 2}
    assert np.isnan(part.values).tolist() == [[False, True], [True, True], [False, False]]


def test_without_a_number_nothing_is_taken():
    part = Part(sensor="a", ts_ns=np.arange(1), values=np.array([[0.0]]))

    assert take_missing([[part]], ("flow",), ("Bad",)) == {}
    assert part.values.tolist() == [[0.0]]
