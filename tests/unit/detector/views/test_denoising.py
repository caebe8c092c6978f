"""The denoising view: the same bits however a stream is cut, and nothing is made worse."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.views.denoising import DenoisingView
from detector.views.registry import VIEWS
from tests.support.denoisers import SHORT_ROWS, fitted, random_view
from tests.support.fleets import SHAPE_ERRORS, make_fleet, trained

CHANNELS = 5
SENSORS, ROWS = 2, 360
MODES = ("causal", "short", "settled")
VIEW = random_view(channels=CHANNELS)


def view_of(mode):
    if mode == "short":
        return VIEW.within(11 + VIEW.impulses.margin)[0]
    return VIEW.settled() if mode == "settled" else VIEW


def stream(seed, missing):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((SENSORS, ROWS, CHANNELS))
    rows += 40 * (rng.random(rows.shape) < 0.02)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows


def measure(view, mode, rows, groups, ends):
    with torch.inference_mode():
        found = view.measure(view.prepare(rows, groups), torch.from_numpy(ends))
    own = found.settled if mode == "settled" else found.cleaned
    return np.stack([own.prediction.numpy(), own.share.numpy()])


@settings(max_examples=12, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.02, 0.4]),
    cuts=st.lists(st.integers(1, ROWS - 60), max_size=5),
)
def test_the_bits_are_those_of_the_whole_however_a_stream_is_cut(mode, seed, missing, cuts):
    """Each call has the new rows of every sensor behind its last R-1, sensors in any order."""
    view, rows, rng = view_of(mode), stream(seed, missing), np.random.default_rng(seed)
    size, groups = view.receptive_field, np.repeat(np.arange(SENSORS) + 1, ROWS)
    ends = np.concatenate([np.arange(size - 1, ROWS) + i * ROWS for i in range(SENSORS)])
    whole = measure(view, mode, rows.reshape(-1, CHANNELS), groups, ends)
    whole = whole.reshape(2, SENSORS, -1, CHANNELS)

    borders = sorted({0, *cuts, ROWS - size + 1})
    for start, stop in itertools.pairwise(borders):
        order, length = rng.permutation(SENSORS), stop - start + size - 1
        some = rows[order, start : stop + size - 1].reshape(-1, CHANNELS)
        mine = np.concatenate([np.arange(size - 1, length) + i * length for i in range(SENSORS)])
        found = measure(view, mode, some, np.repeat(order + 1, length), mine)

        assert np.array_equal(found.reshape(2, SENSORS, -1, CHANNELS), whole[:, order, start:stop])


@pytest.mark.parametrize("mode", MODES)
def test_neighbours_in_a_call_change_no_bit(mode):
    view, rows = view_of(mode), stream(3, 0.02)[0]
    ends = np.arange(view.receptive_field - 1, ROWS)
    whole = measure(view, mode, rows, np.array(1), ends)

    for place in (0, 1, 200, len(ends) - 1):
        alone = measure(view, mode, rows, np.array(1), ends[place : place + 1])
        assert np.array_equal(alone[:, 0], whole[:, place])


def test_an_impulse_goes_and_a_step_passes_after_two_rows():
    rows = 0.01 * np.random.default_rng(0).standard_normal((200, CHANNELS))
    rows[100, 1] += 8.0
    rows[150:, 1] += 8.0
    ends = np.array([99, 100, 101, 150, 151, 152])

    _, share = measure(VIEW, "causal", rows, np.array(0), ends)

    assert (share[[1, 3, 4], 1] == 1).all()
    assert share[5, 1] == 0
    assert (share[1, [0, 2, 3, 4]] < 1).all()


def test_what_is_far_beyond_all_readings_reaches_nothing_as_an_infinity():
    rows = np.random.default_rng(0).standard_normal((200, CHANNELS))
    rows[150, 2], rows[160, 3], rows[170, 4] = 1e300, -np.inf, np.nan
    ends = np.arange(140, 200)

    prediction, share = measure(VIEW.settled(), "settled", rows, np.array(0), ends)

    assert np.isfinite(prediction).all()
    assert np.abs(prediction).max() < 1e7
    assert share[150 + VIEW.lag - 140, 2] == 0


def test_a_value_of_1e300_leaves_the_other_channels_where_they_were():
    detector, fleet = trained(), make_fleet(rows=600, seed=8)
    rows = fleet.noisy[0].copy()
    ends, groups = np.arange(100, 600), np.zeros(500, dtype=np.int32)
    usual = detector.score(rows, ends, groups).denoised
    rows[300, 1] = 1e300

    odd = detector.score(rows, ends, groups).denoised

    noise = detector.identity.training["denoising"]["noise"]
    assert odd[200, 1] == 1e300
    moved = np.abs(odd - usual)[:, [0, 2, 3]] / np.array(noise)[[0, 2, 3]]
    assert moved.max() < 4
    assert (moved[250:] == 0).all()


def test_a_missing_reading_is_predicted():
    detector, fleet = trained(), make_fleet(rows=600, seed=8)
    rows, clean = fleet.noisy[0].copy(), fleet.clean[0]
    rows[100::50, 1] = np.nan
    ends = np.arange(100, 600, 50)

    found = detector.score(rows, ends, np.ones(10, dtype=np.int32)).denoised[:, 1]

    error = np.sqrt(np.mean((found - clean[ends, 1]) ** 2))
    assert error < 0.6 * clean[:, 1].std()


def test_readings_come_back_bit_for_bit_where_nothing_is_noise():
    detector = trained()
    view = detector.views.denoising
    silent = {
        name: replace(one, blend=replace(one.blend, share=torch.zeros_like(one.blend.share)))
        for name, one in view.cleaners.items()
    }
    quiet = type(detector)(
        detector.identity,
        detector.views.with_denoising(
            DenoisingView(view.scaler, view.impulses, silent, settling=True)
        ),
        detector.head,
    )
    rows = make_fleet(rows=200).noisy[0]
    ends = np.arange(15, 200)

    scores = quiet.score(rows, ends, np.ones(len(ends), dtype=np.int32))

    assert (scores.denoised == rows[ends]).all()
    early = ends - quiet.settled_lag
    assert scores.settled is not None
    assert np.array_equal(scores.settled, rows[early])


def test_a_settled_value_is_that_of_an_earlier_reading_and_better_than_the_causal_one():
    detector, fleet = trained().settling(), make_fleet(rows=2000, seed=4)
    rows, clean, lag = fleet.noisy[0], fleet.clean[0], detector.settled_lag
    ends = np.arange(15, 2000)

    scores = detector.score(rows, ends, np.zeros(len(ends), dtype=np.int32))

    assert lag > 0
    assert scores.settled is not None
    late = np.mean((scores.settled[lag:] - clean[ends[:-lag]]) ** 2, axis=0)
    causal = np.mean((scores.denoised[:-lag] - clean[ends[:-lag]]) ** 2, axis=0)
    assert np.mean(late / causal) < 0.9


def test_a_detector_settles_only_when_asked_to():
    rows, ends = make_fleet(rows=40).noisy[0], np.array([20])

    assert trained().score(rows, ends, np.array([1], dtype=np.int32)).settled is None


@pytest.mark.parametrize("settled", [False, True])
def test_it_is_the_same_from_an_artifact(settled):
    config = json.loads(json.dumps(VIEW.config()))
    restored = VIEWS["denoising"].restore(config, VIEW.tensors(), n_groups=3, n_channels=CHANNELS)
    assert isinstance(restored, DenoisingView)
    rows, ends = stream(1, 0.1)[0], np.arange(60, ROWS)
    mode = "settled" if settled else "causal"
    views = [one.settled() if settled else one for one in (VIEW, restored)]

    first, second = (measure(one, mode, rows, np.array(2), ends) for one in views)

    assert np.array_equal(first, second)
    assert list(restored.cleaners) == list(MODES)
    short = [one.within(11 + VIEW.impulses.margin)[0] for one in (VIEW, restored)]
    first, second = (measure(one, "short", rows, np.array(2), ends) for one in short)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "name",
    [
        "scaler.center",
        "impulses.limit",
        "causal.share",
        "short.cut",
        "settled.limit",
        "causal.model.own",
        "settled.model.cross",
        "short.model.layers.0.weight",
    ],
)
def test_a_tensor_of_another_shape_is_rejected(name):
    tensors = VIEW.tensors()
    tensors[name] = tensors[name][..., :-1].contiguous()

    with pytest.raises((*SHAPE_ERRORS, RuntimeError)):
        DenoisingView.restore(VIEW.config(), tensors, n_groups=3, n_channels=CHANNELS)


@pytest.mark.parametrize(
    ("cleaner", "changes"),
    [
        ("causal", {"widths": None}),
        ("causal", {"lags": [0] * 17}),
        ("causal", {"near": [99, 17]}),
        ("hasty", {}),
    ],
)
def test_a_config_that_is_none_is_rejected(cleaner, changes):
    config = VIEW.config()
    config[cleaner] = {**config["causal"], **changes}

    with pytest.raises((*SHAPE_ERRORS, RuntimeError, KeyError, TypeError)):
        DenoisingView.restore(config, VIEW.tensors(), n_groups=3, n_channels=CHANNELS)


def test_a_view_needs_its_causal_cleaner():
    config = {name: one for name, one in VIEW.config().items() if name != "causal"}

    with pytest.raises(KeyError):
        DenoisingView.restore(config, VIEW.tensors(), n_groups=3, n_channels=CHANNELS)


def test_short_windows_have_a_cleaner_of_their_own():
    view = fitted().view

    short, places = view.within(SHORT_ROWS)

    assert short.receptive_field <= SHORT_ROWS < view.receptive_field
    assert (short.lag, places) == (0, [])
    assert view.within(view.receptive_field)[0] is view
    assert view.within(4) == (None, [])
