"""The benchmark of made windows: nothing of a test source is learned from, labels stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.augmentation.tasks import R, Task
from detector.latent import encode
from tests.support.models import CHANNELS, plant_values, small_detector

pytest.importorskip("imblearn", reason="needs imbalanced-learn: uv sync --group bench")
pytest.importorskip("sklearn", reason="needs scikit-learn: uv sync --extra latent")


def task(*, teaching: tuple[str, ...] | None = None) -> Task:
    """Eight sources in two folders, with six windows each of a class of its folder."""
    names = [f"{folder}-{number}" for folder in ("valve", "leak") for number in range(4)]
    sources = np.repeat(names, 6)
    return Task(
        name="made up",
        windows=np.zeros((len(sources), R, 3)),
        labels=np.array([one.partition("-")[0] for one in sources]),
        sources=sources,
        teaching=teaching,
        unlabelled=(),
        channels=CHANNELS,
        max_gap_s=0.0,
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_source_is_on_both_sides_and_each_folder_is(seed: int) -> None:
    one = task()
    learned = one.split(np.random.default_rng(seed))

    assert not set(one.sources[learned]) & set(one.sources[~learned])
    assert set(one.labels[learned]) == set(one.labels[~learned]) == {"valve", "leak"}


def test_a_task_may_say_which_sources_teach() -> None:
    one = task(teaching=("valve-0", "leak-1"))

    assert set(one.sources[one.split(np.random.default_rng(0))]) == {"valve-0", "leak-1"}


def test_examples_come_evenly_from_the_sources_and_none_from_the_test() -> None:
    from benchmarks.augmentation.__main__ import _drawn

    one, generator = task(), np.random.default_rng(1)
    learned = one.split(generator)
    picked = _drawn(one, learned, 4, generator)

    assert learned[picked].all()
    assert len(set(picked.tolist())) == 8
    counts = np.unique(one.sources[picked], return_counts=True)[1]
    assert counts.tolist() == [2, 2, 2, 2]


def test_every_way_makes_so_many_of_each_class() -> None:
    from benchmarks.augmentation.arms import ARMS, Examples, Knowledge

    detector = small_detector()
    windows = plant_values(8 * 12, seed=4).reshape(-1, 8, 3)
    windows[0, 2, 1] = np.nan
    given = Examples(
        windows=windows, labels=np.array(["a", "b"] * 6), groups=np.ones(12, dtype=np.int64)
    )
    known = Knowledge(detector=detector, unlabelled=encode(detector, windows, 0))

    for name, arm in ARMS.items():
        if arm is None:
            continue
        made: Any = arm(given, known, 9, np.random.default_rng(2))
        assert np.unique(made.labels, return_counts=True)[1].tolist() == [9, 9], name
        assert made.windows.shape == (18, 8, 3), name
        assert len(made.groups) == 18, name
