"""Faults that are put in: one channel each, apart from one another, told where they are."""

from __future__ import annotations

import numpy as np
import pytest

from detector.signal.series import true_runs
from tests.support.compared import linear_rows
from workers.compare.faults import SLOT_LENGTHS, Kind, inject

LENGTH = 10
SLOT = SLOT_LENGTHS * LENGTH


def put_in(rows, channels=(0, 1, 2), seed=0):
    return inject(
        rows,
        spread=np.ones(rows.shape[1]),
        channels=channels,
        length=LENGTH,
        generator=np.random.default_rng(seed),
    )


def test_the_rows_that_differ_are_the_labelled_ones_and_one_channel_each():
    rows = linear_rows(SLOT * 10)

    found = put_in(rows)

    changed = found.rows != rows
    assert not changed[~found.labels].any()
    spans = true_runs(found.labels)
    assert len(spans) == len(found.kinds) == 10
    for (start, end), kind in zip(spans, found.kinds, strict=True):
        assert changed[start:end].any(axis=0).sum() == 1
        assert end - start == (1 if kind is Kind.SPIKE else LENGTH)
        assert changed[start:end, 3].sum() == 0


def test_each_kind_comes_as_often_and_meets_every_channel():
    rows = linear_rows(SLOT * 15)

    found = put_in(rows)

    assert [found.kinds.count(kind) for kind in Kind] == [3] * 5
    changed = found.rows != rows
    met = {
        (kind, int(np.argmax(changed[start:end].any(axis=0))))
        for (start, end), kind in zip(true_runs(found.labels), found.kinds, strict=True)
    }
    assert len(met) == 15


def test_each_kind_does_what_it_says():
    rows = linear_rows(SLOT * 5)

    found = put_in(rows, channels=(0,))

    spans = dict(zip(found.kinds, true_runs(found.labels).tolist(), strict=True))
    difference = {kind: (found.rows - rows)[slice(*span), 0] for kind, span in spans.items()}
    assert np.abs(difference[Kind.SPIKE]) == pytest.approx([3.0])
    assert np.abs(difference[Kind.SHIFT]) == pytest.approx(np.ones(LENGTH))
    assert np.abs(difference[Kind.DRIFT]) == pytest.approx(np.linspace(0.15, 1.5, LENGTH))
    start, end = spans[Kind.STUCK]
    assert (found.rows[start:end, 0] == rows[start - 1, 0]).all()
    start, end = spans[Kind.EXCHANGE]
    places = np.flatnonzero(rows[:, 0] == found.rows[start, 0])
    assert len(places) == 1
    assert abs(int(places[0]) - start) > LENGTH
    assert (rows[places[0] : places[0] + LENGTH, 0] == found.rows[start:end, 0]).all()


def test_the_same_generator_puts_in_the_same():
    rows = linear_rows(SLOT * 3)

    assert (put_in(rows).rows == put_in(rows).rows).all()


def test_without_room_there_is_no_fault():
    found = put_in(linear_rows(SLOT - 1))

    assert not found.labels.any()
    assert found.kinds == ()


def test_a_channel_is_needed():
    with pytest.raises(ValueError, match="no channel moves"):
        put_in(linear_rows(SLOT), channels=())
