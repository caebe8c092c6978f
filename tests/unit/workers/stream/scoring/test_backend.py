"""What a scoring call asks, cut and joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import early_detector, plant_values
from workers.stream.scoring.backend import LocalScoring, Work

# Sequences: rows each, and how many of them are scored; the first windows are short.
SHAPES = st.lists(st.tuples(st.integers(3, 12), st.integers(0, 9)), min_size=1, max_size=4)


def work_of(shapes: list[tuple[int, int]], field: int = 8) -> Work:
    rows = sum(size for size, _ in shapes)
    ends, lengths, base = [], [], 0
    for size, scored in shapes:
        own = range(max(size - scored, 2), size)
        ends += [base + at for at in own]
        lengths += [min(at + 1, field) for at in own]
        base += size
    return Work(
        rows=plant_values(rows, seed=1),
        times=np.arange(rows) * 7,
        ends=np.array(ends, np.int64),
        lengths=np.array(lengths, np.int64),
        groups=np.ones(len(ends), np.int32),
    )


def windows(work: Work) -> list[tuple[list[int], list[list[float]]]]:
    found = []
    for end, length in zip(work.ends.tolist(), work.lengths.tolist(), strict=True):
        assert 0 <= end - length + 1 <= end < len(work.rows) == len(work.times)
        part = slice(end - length + 1, end + 1)
        found.append((work.times[part].tolist(), work.rows[part].tolist()))
    return found


@given(shapes=SHAPES, cuts=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_a_part_has_the_windows_of_its_samples_and_no_row_before_them(shapes, cuts):
    work = work_of(shapes)
    start, stop = sorted(min(cut, len(work.ends)) for cut in cuts)
    part = work.part(start, stop)
    assert windows(part) == windows(work)[start:stop]
    assert len(part.groups) == stop - start
    if stop > start:
        assert part.ends[0] - part.lengths[0] + 1 == 0
        assert part.ends[-1] == len(part.rows) - 1
    else:
        assert len(part.rows) == 0


@given(parts=st.lists(SHAPES, min_size=1, max_size=3))
def test_joined_work_has_the_windows_of_all(parts):
    works = [work_of(shapes) for shapes in parts]
    assert windows(Work.joined(works)) == [window for work in works for window in windows(work)]


def test_scores_of_parts_are_those_of_the_whole():
    work = work_of([(12, 9), (5, 3), (3, 1), (12, 9)])
    scoring = LocalScoring(early_detector())
    whole = scoring.submit(work).scores()
    assert whole.partial.any()
    assert not whole.partial.all()
    for middle in range(len(work.ends) + 1):
        parts = (work.part(0, middle), work.part(middle, len(work.ends)))
        scores = [scoring.submit(part).scores() for part in parts]
        assert np.concatenate([part.score for part in scores]).tolist() == whole.score.tolist()
        assert np.concatenate([p.partial for p in scores]).tolist() == whole.partial.tolist()


def test_what_a_detector_raises_comes_with_the_scores():
    work = work_of([(4, 1)])
    broken = Work(
        rows=work.rows[:, :2],
        times=work.times,
        ends=work.ends,
        lengths=np.full(1, 4),
        groups=work.groups,
    )
    future = LocalScoring(early_detector()).submit(broken)
    with pytest.raises(ValueError, match="rows must be"):
        future.scores()
