"""Windows of labelled rows: inside one label, without a gap, named by sensor and time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workers.augment.labelled import NO_CLASS, SEVERAL, Labelled
from workers.augment.windows import Left, Place, cut, name_of, named_sources
from workers.data.errors import FileFormatError
from workers.data.history import History, SensorRows

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
CLASSES = ("leak", "normal")


def labelled(codes: list[int], *, gap_before: int | None = None) -> Labelled:
    """One sensor, `pump-1`, a row a second; perhaps a minute of silence before a row."""
    ts_ns = START_NS + np.arange(len(codes), dtype=np.int64) * SECOND_NS
    if gap_before is not None:
        ts_ns[gap_before:] += 60 * SECOND_NS
    values = np.arange(len(codes), dtype=np.float64)[:, None]
    sensor = SensorRows(sensor="pump-1", ts_ns=ts_ns, values=values)
    history = History(
        channels=("flow",),
        sensors=(sensor,),
        read=len(codes),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )
    return Labelled(history=history, classes=CLASSES, codes=(np.array(codes, np.int64),))


def firsts(found: Labelled, *, step: int = 4) -> list[tuple[int, int]]:
    places = cut(found, rows=4, step=step, max_gap_ns=10 * SECOND_NS).places
    return [(one.first, one.code) for one in places]


def left(found: Labelled) -> dict[tuple[str | None, Left], int]:
    return dict(cut(found, rows=4, step=4, max_gap_ns=10 * SECOND_NS).left)


def test_no_window_spans_two_labels() -> None:
    found = labelled([1] * 6 + [0] * 9 + [1] * 4)

    assert firsts(found) == [(0, 1), (6, 0), (10, 0), (15, 1)]
    assert left(found) == {("normal", Left.REST): 2, ("leak", Left.REST): 1}


def test_no_window_reaches_over_a_gap() -> None:
    found = labelled([1] * 10, gap_before=3)

    assert firsts(found) == [(3, 1)]
    assert left(found) == {("normal", Left.SHORT): 3, ("normal", Left.REST): 3}


def test_windows_overlap_by_a_smaller_step() -> None:
    assert firsts(labelled([0] * 7), step=1) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_rows_without_a_label_or_with_several_are_in_no_window_and_counted() -> None:
    found = labelled([1] * 4 + [NO_CLASS] * 5 + [SEVERAL] * 2)

    assert firsts(found) == [(0, 1)]
    assert left(found) == {(None, Left.NO_LABEL): 5, (None, Left.SEVERAL): 2}


def named(found: Labelled, *names: str) -> tuple[Place, ...]:
    return named_sources(found, names, rows=4, max_gap_ns=10 * SECOND_NS)


def test_a_window_is_found_by_its_name() -> None:
    found = labelled([1] * 6 + [0] * 6)
    place = Place(sensor=0, first=7, code=0)

    assert name_of(found, place, rows=4) == "pump-1@2023-11-14T22:13:30Z"
    assert named(found, "pump-1@2023-11-14T22:13:30Z") == (place,)


def test_a_named_window_that_spans_two_labels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"spans several labels \('leak' and 'normal'\)"):
        named(labelled([1] * 6 + [0] * 6), "pump-1@2023-11-14T22:13:27Z")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pump-9@2023-11-14T22:13:20Z", "there is no sensor 'pump-9'"),
        ("2023-11-14T22:13:20Z", "there is no sensor ''"),
        ("pump-1@yesterday", "is not RFC 3339"),
        ("pump-1@2023-11-14T22:13:20.5Z", "has no row at this time"),
        ("pump-1@2023-11-14T22:13:22Z", "fewer than 4 rows lead up to this time without a gap"),
        ("pump-1@2023-11-14T22:14:29Z", "fewer than 4 rows lead up to this time without a gap"),
    ],
)
def test_a_name_that_is_no_window_is_refused_with_what_is(name: str, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        named(labelled([1] * 10, gap_before=8), name)


def test_a_named_window_needs_a_label() -> None:
    with pytest.raises(ValueError, match="has no label"):
        named(labelled([NO_CLASS] * 5), "pump-1@2023-11-14T22:13:23Z")
