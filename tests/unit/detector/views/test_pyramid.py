"""The looks of the pyramid view, against slow twins."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.signal.pyramid import EXTREMES, ROW, SHORT, Feature
from detector.views.pyramid import CLIP, MAX_EXAMPLES, Bank, Look, PyramidView
from tests.support import naive
from tests.support.pyramids import look_of, pyramid_detector, pyramid_of, small_fleet

EPS = 2.0**-24


def make_look(examples, *, features=None, center=None, inverse=None):
    examples = torch.as_tensor(np.asarray(examples, dtype=np.float32))
    count, inputs = examples.shape
    return Look(
        name="long",
        features=features or tuple(Feature(kind="mean", span=1) for _ in range(inputs)),
        center=torch.zeros(inputs) if center is None else center,
        inverse=torch.ones(inputs) if inverse is None else inverse,
        model=None,
        bank=Bank(
            examples=examples,
            ts_ns=torch.arange(count),
            owners=torch.zeros(count, dtype=torch.int64),
            sensors=("s0",),
        ),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    examples=st.sampled_from([1, 2, 37, 64]),
    inputs=st.sampled_from([1, 3, 44]),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
    windows=st.sampled_from([1, 5, 17]),
)
def test_the_example_chosen_is_hardly_farther_than_the_nearest(
    seed, examples, inputs, spread, windows
):
    """At most 2^-11 of the squared distance, and what single precision makes of the norms."""
    rng = np.random.default_rng(seed)
    bank = np.clip(rng.normal(size=(examples, inputs)) * spread + 2, -CLIP, CLIP)
    q = np.clip(rng.normal(size=(windows, inputs)) * spread + 2, -CLIP, CLIP)
    q[0] = bank[examples // 2]  # an example itself
    look = make_look(bank)
    q = q.astype(np.float32)

    chosen = look.nearest(torch.from_numpy(q)).numpy()
    exact = naive.distances(q, look.bank.examples.numpy())

    norms = (q.astype(np.float64) ** 2).sum(1) + (bank**2).sum(1).max()
    slack = 2.0**-11 * exact.min(1) + 8 * (inputs + 2) * EPS * norms
    assert (exact[np.arange(windows), chosen] <= exact.min(1) + slack).all()


def test_of_examples_equally_near_the_first_is_chosen():
    look = make_look([[4.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])

    assert look.nearest(torch.zeros(3, 2)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("place", [0, 1, 2047, 4094, MAX_EXAMPLES - 1])
def test_every_place_of_the_largest_bank_can_be_chosen(place):
    bank = np.full((MAX_EXAMPLES, 1), 5.0)
    bank[place] = 3.0

    assert make_look(bank).nearest(torch.zeros(2, 1)).tolist() == [place, place]


@pytest.mark.parametrize("name", ["long", "short"])
def test_measured_parts_are_those_of_the_twin(name):
    look = look_of(pyramid_detector(), name)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(9, len(look.features), 4)).astype(np.float32)
    features[3] *= 100  # beyond the clip
    q = look.units(torch.from_numpy(features.copy()))

    nearest, reconstructed = (part.numpy() for part in look.measure(q))

    center, inverse = look.center.numpy(), look.inverse.numpy()
    assert look.model is not None
    for n, window in enumerate(features.reshape(9, -1)):
        expected = np.clip((window - center) * inverse, -CLIP, CLIP)
        assert np.allclose(q[n].numpy(), expected)
        example = look.bank.examples[int(look.nearest(q)[n])].numpy()
        output = look.model(q[n].view(1, len(look.features), 4)).numpy().reshape(-1)
        for found, other, of in ((nearest, example, 1), (reconstructed, output, len(expected))):
            for channel in range(4):
                squares = [
                    (float(expected[place]) - float(other[place])) ** 2
                    for place in range(channel, len(expected), 4)
                ]
                assert found[n, channel] == pytest.approx(sum(squares) / of, rel=1e-4, abs=1e-5)


def test_deviations_are_the_roots_of_what_is_measured():
    view = pyramid_of(pyramid_detector())
    prepared = view.prepare(small_fleet().noisy[0][:300], np.array(1))
    ends = np.array([255, 280, 299])

    measured = view.measure(prepared, torch.from_numpy(ends)).features.numpy()

    place = 0
    for look, (far, nearest) in zip(view.looks, view.deviations(prepared, ends), strict=True):
        assert ((nearest >= 0) & (nearest < len(look.bank.examples))).all()
        for number, one in enumerate(far):
            scale = 1.0 if number == 0 else one[0].size
            assert np.allclose((one**2).sum(1) / scale, measured[place], rtol=1e-4, atol=1e-5)
            place += 1


def test_a_look_measures_alike_whatever_looks_are_beside_it():
    """With values missing for longer than the short look sees, too."""
    view = pyramid_of(pyramid_detector())
    rows = small_fleet().noisy[0][:320].copy()
    rows[280:310, 1] = np.nan
    rows[30:320, 2] = np.nan
    ends = torch.arange(255, 320)
    whole = view.measure(view.prepare(rows, np.array(1)), ends).features

    for look in view.looks:
        alone = view.only(look.scores)
        measured = alone.measure(alone.prepare(rows, np.array(1)), ends).features
        places = [view.features.index(name) for name in look.scores]
        assert torch.equal(measured, whole[places]), look.name


def test_the_looks_within_some_rows_are_those_that_need_no_more():
    view = pyramid_of(pyramid_detector())

    shorter, places = view.within(16)
    assert shorter is not None
    names = [look.name for look in view.looks if look.receptive_field <= 16]
    assert "short" in names
    assert [look.name for look in shorter.looks] == names
    assert [view.features[place] for place in places] == list(shorter.features)
    assert shorter.receptive_field == 16
    assert view.within(255)[1] == places
    assert view.within(256)[1] == list(range(len(view.features)))
    assert view.only({"long nearest"}).within(255) == (None, [])


def test_a_look_names_what_it_measures():
    bare = make_look([[0.0]])

    assert bare.scores == ("long nearest",)
    assert bare.receptive_field == 1
    assert look_of(pyramid_detector(), "short").scores == ("short nearest", "short autoencoder")
    extremes = replace(bare, name="extremes", features=EXTREMES)
    assert extremes.receptive_field == 256


def restored(change=lambda config, tensors: None, **sizes):
    view = pyramid_of(pyramid_detector())
    config = view.config()
    config["looks"] = [one | {"features": list(one["features"])} for one in config["looks"]]
    tensors = dict(view.tensors())
    change(config, tensors)
    return PyramidView.restore(config, tensors, **{"n_groups": 3, "n_channels": 4, **sizes})


def test_what_it_says_of_itself_makes_it_again():
    view, twin = pyramid_of(pyramid_detector()), restored()
    prepared = view.prepare(small_fleet().noisy[0][:300], np.array(1))
    ends = torch.arange(255, 300)

    assert twin.config() == view.config()
    assert torch.equal(twin.measure(prepared, ends).features, view.measure(prepared, ends).features)


BROKEN = {
    "no look": lambda config, tensors: config.update(looks=[]),
    "no features": lambda config, tensors: config["looks"][0].update(features=[]),
    "other features": lambda config, tensors: config["looks"][0].update(
        features=config["looks"][1]["features"]
    ),
    "an unknown kind of feature": lambda config, tensors: config["looks"][0][
        "features"
    ].__setitem__(0, {"kind": "median", "span": 1, "longer": 0}),
    "another network": lambda config, tensors: config["looks"][0].update(
        model=config["looks"][1]["model"]
    ),
    "two looks of one name": lambda config, tensors: config["looks"].append(config["looks"][0]),
    "no examples": lambda config, tensors: tensors.update(
        {
            "short.bank.examples": torch.zeros(0, 24),
            "short.bank.ts_ns": torch.zeros(0, dtype=torch.int64),
            "short.bank.owners": torch.zeros(0, dtype=torch.int64),
        }
    ),
    "more examples than fit": lambda config, tensors: tensors.update(
        {
            "short.bank.examples": torch.zeros(MAX_EXAMPLES + 1, 24),
            "short.bank.ts_ns": torch.zeros(MAX_EXAMPLES + 1, dtype=torch.int64),
            "short.bank.owners": torch.zeros(MAX_EXAMPLES + 1, dtype=torch.int64),
        }
    ),
    "an unknown sensor": lambda config, tensors: config.update(sensors=["s0"]),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_makes_no_view_is_rejected(fault):
    with pytest.raises((ValueError, KeyError, TypeError, RuntimeError)):
        restored(BROKEN[fault])


@pytest.mark.parametrize("sizes", [{"n_groups": 2}, {"n_channels": 3}])
def test_numbers_for_another_fleet_are_rejected(sizes):
    with pytest.raises(ValueError, match="groups of"):
        restored(**sizes)


def test_the_row_look_sees_one_row_and_the_short_one_sixteen():
    assert max(one.rows for one in ROW) == 1
    assert max(one.rows for one in SHORT) == 16
