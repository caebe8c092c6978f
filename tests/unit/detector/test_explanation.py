"""Why a window scored as it did: channels, looks, spans and the nearest example."""

import numpy as np
import pytest

from detector.explanation import band, explain
from detector.training.pyramid import PyramidTraining
from detector.training.train import train
from tests.support.fleets import INTERVAL_NS, make_config, trained
from tests.support.pyramids import (
    REACH,
    WARM_UP,
    look_of,
    make_pyramid_config,
    pyramid_detector,
    pyramid_of,
    score,
    small_fleet,
)

ROWS = 420
AT = 300


def spike(values, size):
    values[AT] += 15 * size


def shift(values, size):
    values[AT:] += 8 * size


def drift(values, size):
    values[AT:] += 8 * size * np.linspace(0, 1, len(values) - AT)


def burst(values, size):
    values[AT:] += 6 * size * np.random.default_rng(0).standard_normal(len(values) - AT)


def stuck_high(values, size):
    values[AT:] = values.max() + 6 * size


def lost(values, size):
    values[AT:] = np.nan


def sentinel(values, size):
    values[AT:] = -9999.0


FAULTS = (spike, shift, drift, burst, stuck_high, lost, sentinel)


def broken(fault, channel):
    rows = small_fleet().noisy[0][:ROWS].copy()
    fault(rows[:, channel], rows[:, channel].std())
    return rows


def explained(detector, rows, ends, lengths=None, group=1):
    ends = np.asarray(ends, dtype=np.int64)
    lengths = None if lengths is None else np.asarray(lengths, dtype=np.int64)
    return explain(detector, rows, ends, np.full(len(ends), group, dtype=np.int32), lengths=lengths)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("channel", range(4))
def test_shares_sum_to_one_and_point_at_the_broken_channel(fault, channel):
    ends = np.arange(AT, ROWS)

    scores = score(pyramid_detector(), broken(fault, channel), ends)

    assert len(scores.flagged)
    assert np.allclose(scores.contribution.sum(1), 1, atol=1e-6)
    assert (scores.contribution >= 0).all()
    assert (scores.contribution[scores.flagged].argmax(1) == channel).mean() > 0.9
    worst = np.argmax(scores.score)
    assert scores.contribution[worst].argmax() == channel


@pytest.mark.parametrize("fault", [spike, shift, burst, stuck_high, lost, sentinel])
@pytest.mark.parametrize("channel", [0, 3])
def test_they_do_so_in_partial_windows(fault, channel):
    rows, ends = broken(fault, channel)[AT - 40 :], np.arange(40, 100)

    scores = score(pyramid_detector(), rows, ends, lengths=ends + 1)

    assert scores.partial.all()
    assert len(scores.flagged)
    assert np.allclose(scores.contribution.sum(1), 1, atol=1e-6)
    worst = np.argmax(scores.score)
    assert scores.contribution[worst].argmax() == channel


@pytest.mark.parametrize("fault", [spike, shift, burst, stuck_high, sentinel])
def test_the_reasons_name_the_channel_first_and_each_channel_once(fault):
    detector, rows = pyramid_detector(), broken(fault, 2)
    ends = AT + np.flatnonzero(score(detector, rows, np.arange(AT, AT + 16)).score >= 1)

    for one in explained(detector, rows, ends):
        channels = [reason.channel for reason in one.reasons]
        assert channels[0] == 2
        assert len(set(channels)) == len(channels) <= 3
        sizes = [abs(reason.deviation) for reason in one.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert all(0 < reason.rows <= REACH for reason in one.reasons)


def test_a_spike_is_short_and_a_slow_drift_is_long():
    detector = pyramid_detector()
    (short,) = explained(detector, broken(spike, 1), [AT])
    (slow,) = explained(detector, broken(drift, 1), [ROWS - 1])

    assert short.reasons[0].rows <= 16
    assert slow.reasons[0].channel == 1
    assert slow.reasons[0].rows >= 64 or "mean" in slow.reasons[0].feature


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_deviation_has_the_side_that_the_channel_went_to(sign):
    rows = small_fleet().noisy[0][:ROWS].copy()
    rows[AT - 20 :, 0] += sign * 10 * rows[:, 0].std()

    (one,) = explained(pyramid_detector(), rows, [AT])

    levels = [reason for reason in one.reasons if reason.feature.startswith("mean")]
    assert levels[0].channel == 0
    assert np.sign(levels[0].deviation) == sign


def test_the_looks_shares_are_by_size_and_sum_to_one():
    detector = pyramid_detector()
    for one in explained(detector, broken(shift, 0), [280, AT, AT + 50]):
        names, shares = zip(*one.looks, strict=True)
        assert sum(shares) == pytest.approx(1)
        assert list(shares) == sorted(shares, reverse=True)
        assert set(names) == {name for view in detector.views for name in view.features}


def test_in_a_partial_window_only_the_short_look_counts():
    rows = broken(shift, 0)[AT - 40 :]

    for one in explained(pyramid_detector(), rows, [20, 50], [21, 51]):
        shares = dict(one.looks)
        assert shares["short nearest"] + shares["short autoencoder"] == pytest.approx(1)
        assert all(reason.rows <= WARM_UP for reason in one.reasons)


def test_what_lies_before_a_partial_window_does_not_matter():
    rows = broken(shift, 0)
    other = rows.copy()
    other[: AT - 9] = 1e30

    one = explained(pyramid_detector(), rows, [AT + 10], [20])
    two = explained(pyramid_detector(), other, [AT + 10], [20])

    assert one == two


@pytest.mark.parametrize("group", [0, 1, 2])
def test_the_nearest_example_is_a_row_of_the_training(group):
    times = set(small_fleet().series()[0].ts_ns.tolist())
    assert INTERVAL_NS in times

    for one in explained(pyramid_detector(), broken(shift, 0), [270, 299, AT + 3], group=group):
        assert one.nearest is not None
        assert one.nearest.sensor in {"s0", "s1"}
        assert one.nearest.ts_ns in times


def test_a_window_of_the_training_is_like_itself():
    """All learned rows of a short history are remembered; the nearest is it, or one as near."""
    values = small_fleet().series(slice(0, 700))[:1]
    detector = train(values, make_pyramid_config(examples=1024))
    learned = look_of(detector, "long").bank.ts_ns.numpy() // INTERVAL_NS
    ends = learned[learned > 255][::9]

    found = explained(detector, values[0].values, ends)

    assert len(ends) > 30
    assert [one.nearest.ts_ns // INTERVAL_NS for one in found] == ends.tolist()


def test_several_sensors_are_explained_in_one_call():
    rows = np.concatenate([broken(shift, 0), broken(shift, 3)])
    ends, groups = np.array([AT, ROWS + AT]), np.array([1, 2], dtype=np.int32)

    both = explain(pyramid_detector(), rows, ends, groups)

    assert both[0] == explained(pyramid_detector(), rows, [AT])[0]
    assert [one.reasons[0].channel for one in both] == [0, 3]


def test_no_window_is_no_explanation():
    assert explained(pyramid_detector(), np.zeros((0, 4)), []) == []


def test_looks_shorter_than_the_signal_view_explain_as_well():
    looks = tuple(one for one in PyramidTraining().looks if one[0] == "short")
    pyramid = PyramidTraining(max_steps=5, looks=looks, examples=16)
    config = make_config(receptive_field=32, max_steps=5, further_views=(pyramid,))
    detector = train(small_fleet().series(), config)

    (one,) = explained(detector, broken(spike, 1), [AT])

    assert one.reasons[0].channel == 1


def test_a_plain_detector_has_its_reconstruction_to_name():
    rows = small_fleet().noisy[0][:ROWS]

    (one,) = explained(trained(), rows, [AT])

    assert (one.looks, one.reasons, one.nearest) == ((("reconstruction", 1.0),), (), None)
    assert explained(trained(), rows, []) == []


@pytest.mark.parametrize(
    ("ends", "message"), [([254], "ends must lie in"), ([ROWS], "ends must lie in")]
)
def test_an_impossible_request_is_rejected_as_by_score(ends, message):
    with pytest.raises(ValueError, match=message):
        explained(pyramid_detector(), broken(shift, 0), ends)


def test_the_band_holds_most_healthy_values():
    detector = pyramid_detector()
    ends = np.arange(255, 1500)
    rows = small_fleet().noisy[0]

    scores = score(detector, rows, ends)

    inside = np.abs(rows[ends] - scores.expected) <= band(detector, 1)
    assert inside.mean() > 0.95
    assert (band(detector, 1) > 0).all()


def test_the_signal_view_is_named_among_the_looks_and_reasons_are_those_of_a_look():
    detector = pyramid_detector("signal")
    names = {name for view in detector.views for name in view.features}
    assert "signal" in names

    for fault, at in ((spike, AT), (shift, AT + 60), (burst, AT + 10)):
        (one,) = explained(detector, broken(fault, 2), [at])

        assert {name for name, _ in one.looks} == names
        shares = [share for _, share in one.looks]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1.0)
        assert one.reasons[0].channel == 2
        assert one.reasons[0].deviation == pytest.approx(
            farthest(detector, broken(fault, 2), at, one)
        )
        assert one.nearest is not None
    assert dict(one.looks)["signal"] > 0


def farthest(detector, rows, at, explanation):
    """The deviation that is farthest out in the distance of a look that counts most."""
    most = next(name for name, _ in explanation.looks if name != "signal")
    look, view = look_of(detector, most.split()[0]), pyramid_of(detector)
    prepared = view.prepare(rows[: at + 1], np.array(1))
    far, _ = view.deviations(prepared, np.array([at]))[view.looks.index(look)]
    own = far[look.scores.index(most), 0].ravel()
    return own[np.argmax(np.abs(own))]
