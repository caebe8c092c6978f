"""Windows that are made of others: of one class, of known sources, in the sensor's units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detector.augmentation import Made, Method, Recipe, Residual, augment, labels_of, one_label
from detector.latent import Latents, Windows, decode, encode
from tests.support.models import plant_values, small_detector

R = 8
N = 12


def windows_of(rows: int = R * N, *, seed: int = 5) -> Windows:
    return plant_values(rows, seed=seed).reshape(-1, R, 3)


def unlabelled() -> Latents:
    return encode(small_detector(), windows_of(R * 40, seed=6), 0)


def make(
    method: Method,
    *,
    windows: Windows | None = None,
    group: Any = 0,
    labels: list[str] | None = None,
    count: int = 30,
    seed: int = 1,
    **recipe: Any,
) -> Made:
    windows = windows_of() if windows is None else windows
    return augment(
        small_detector(),
        windows,
        group,
        labels=["leak"] * len(windows) if labels is None else labels,
        recipe=Recipe(method=method, **recipe),
        count=count,
        generator=np.random.default_rng(seed),
        unlabelled=unlabelled(),
    )


@pytest.mark.parametrize("method", Method)
def test_windows_of_two_labels_are_refused(method: Method) -> None:
    labels = ["leak"] * (N - 1) + ["cavitation"]
    with pytest.raises(ValueError, match=r"never of several: got 'cavitation' and 'leak'"):
        make(method, labels=labels)


def test_a_window_that_spans_two_labels_is_refused_by_its_number() -> None:
    rows = [["leak", "leak"], ["leak", "none"]]
    with pytest.raises(ValueError, match=r"window 1 spans several labels \('leak' and 'none'\)"):
        labels_of(rows)
    assert labels_of(rows[:1]) == ("leak",)


def test_no_window_has_no_label() -> None:
    with pytest.raises(ValueError, match="got none"):
        one_label([])


@pytest.mark.parametrize("method", Method)
def test_the_same_seed_makes_the_same_windows(method: Method) -> None:
    one, same, other = make(method), make(method), make(method, seed=2)

    assert np.array_equal(one.windows, same.windows)
    assert not np.array_equal(one.windows, other.windows)


@pytest.mark.parametrize("method", Method)
def test_sources_take_turns(method: Method) -> None:
    made = make(method, count=2 * N)

    assert np.bincount(made.sources[:, 0]).tolist() == [2] * N
    assert made.methods == (method,) * (2 * N)


def test_between_two_windows_the_provenance_says_how_the_latent_was_mixed() -> None:
    windows = windows_of()
    made = make(Method.INTERPOLATE, residual=Residual.DROP)
    latents = encode(small_detector(), windows, 0)

    first, second = latents[made.sources[:, 0]], latents[made.sources[:, 1]]
    mixed = first + made.weight[:, None] * (second - first)
    expected = decode(small_detector(), mixed.astype(np.float32), 0)

    assert np.allclose(made.windows, expected, atol=1e-4)
    assert (made.sources[:, 0] != made.sources[:, 1]).all()
    assert ((made.weight >= 0) & (made.weight < 1)).all()


def test_between_two_windows_only_the_nearest_are_asked() -> None:
    made = make(Method.INTERPOLATE, count=20 * N, neighbours=1)

    partners = {(int(a), int(b)) for a, b in made.sources}
    assert len(partners) == N


def test_the_radius_scales_the_step_and_is_what_the_provenance_says() -> None:
    near, far = (make(Method.NEIGHBOURS, radius=radius, count=400) for radius in (0.5, 2.0))

    assert np.allclose(far.radius, 4 * near.radius, rtol=1e-3)
    assert np.sqrt(np.mean(near.radius**2)) == pytest.approx(0.5, rel=0.1)


def test_no_step_with_the_residual_gives_the_window_back() -> None:
    windows = windows_of()
    made = make(Method.NEIGHBOURS, radius=0.0, windows=windows)

    assert np.allclose(made.windows, windows[made.sources[:, 0]], atol=1e-5)


def test_without_the_residual_a_fault_that_the_model_does_not_know_is_lost() -> None:
    windows = windows_of()
    windows[:, 5, 1] += 3.0
    kept, dropped = (
        make(Method.NEIGHBOURS, windows=windows, radius=0.0, residual=residual)
        for residual in Residual
    )

    def spikes(made: Made) -> Any:
        return made.windows[:, 5, 1] - made.windows[:, [4, 6], 1].mean(axis=1)

    assert (spikes(kept) > 2.0).all()
    assert np.median(spikes(dropped)) < np.median(spikes(kept)) / 2


def test_missing_values_of_the_source_stay_missing() -> None:
    windows = windows_of()
    windows[:, 2:5, 0] = np.nan
    made = make(Method.TRANSFER, windows=windows)

    assert np.array_equal(np.isnan(made.windows), np.isnan(windows[made.sources[:, 0]]))
    assert np.isfinite(make(Method.TRANSFER, windows=windows, residual=Residual.DROP).windows).all()


def test_each_window_is_made_in_the_units_of_its_own_sensor() -> None:
    groups = np.array([1, 2] * (N // 2))
    made = make(Method.NEIGHBOURS, group=groups, radius=0.0, residual=Residual.DROP)
    latents = encode(small_detector(), windows_of(), groups)
    expected = np.stack(
        [decode(small_detector(), latents[[one]], int(groups[one]))[0] for one in range(N)]
    )

    assert np.array_equal(made.groups, groups[made.sources[:, 0]])
    assert np.allclose(made.windows, expected[made.sources[:, 0]], atol=1e-4)


def test_samples_lie_around_the_mean_of_the_class() -> None:
    made = make(Method.SAMPLE, count=500, radius=0.1, residual=Residual.DROP)
    mean = encode(small_detector(), windows_of(), 0).mean(axis=0, keepdims=True)
    middle = decode(small_detector(), mean, 0)[0]

    spread = windows_of().std(axis=0).mean()
    assert np.abs(made.windows.mean(axis=0) - middle).max() < spread / 2


def test_a_change_of_state_moves_a_window_as_unlabelled_windows_differ() -> None:
    windows = windows_of()[:1]
    (latent,) = encode(small_detector(), windows, 0)
    states = np.stack([latent, latent + 1.0])
    made = augment(
        small_detector(),
        windows,
        0,
        labels=["leak"],
        recipe=Recipe(method=Method.TRANSFER, residual=Residual.DROP),
        count=40,
        generator=np.random.default_rng(0),
        unlabelled=states,
    )

    stays, moved = decode(small_detector(), states, 0)
    same = np.abs(made.windows - stays).max(axis=(1, 2)) < 1e-4
    shifted = np.abs(made.windows - moved).max(axis=(1, 2)) < 1e-4
    assert (same | shifted).all()
    assert 5 < int(shifted.sum()) < 35


def test_the_methods_follow_each_other() -> None:
    made = make(Method.SAMPLE, count=3).followed_by(make(Method.INTERPOLATE, count=2))

    assert len(made) == 5
    assert made.methods == (Method.SAMPLE,) * 3 + (Method.INTERPOLATE,) * 2
    assert np.isnan(made.weight).tolist() == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"method": Method.NEIGHBOURS, "windows": windows_of()[:1]},
            "at least 2 windows",
        ),
        ({"method": Method.SAMPLE, "count": -1}, "count must be at least 0"),
        ({"method": Method.SAMPLE, "labels": ["leak"]}, "one label for each window: got 1 and 12"),
        ({"method": Method.SAMPLE, "radius": -1.0}, "radius must be"),
        ({"method": Method.SAMPLE, "neighbours": 0}, "neighbours must be"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make(**arguments)


def test_changes_of_state_need_unlabelled_windows() -> None:
    with pytest.raises(ValueError, match="transfer needs at least 2 unlabelled windows"):
        augment(
            small_detector(),
            windows_of(),
            0,
            labels=["leak"] * N,
            recipe=Recipe(method=Method.TRANSFER),
            count=1,
            generator=np.random.default_rng(0),
        )


def test_nothing_asked_for_is_nothing_made() -> None:
    made = make(Method.NEIGHBOURS, count=0)

    assert made.windows.shape == (0, R, 3)
    assert made.sources.shape == (0, 2)
