"""The 4-norm of features as a fusion."""

import numpy as np
import torch

from detector.calibration.fusion import LEVELS, Fusion, raw_scores


def make_fusion(channels=3):
    features = np.random.default_rng(0).uniform(0, 1, (2, 500, channels)).astype(np.float32)
    return Fusion.fit(features), features


def test_a_calibration_window_in_a_hundred_is_at_one_in_each_feature():
    fusion, features = make_fusion(channels=1)

    z = (features - fusion.middle) / fusion.reach

    assert (np.sum(z > 1, axis=1) <= 6).all()
    assert (np.median(z, axis=1) == 0).all()


def test_the_distance_is_the_score_and_its_logarithm_every_level():
    fusion, features = make_fusion()
    raw = raw_scores(fusion, features)

    fused = fusion.fuse(raw[None], np.zeros(500, dtype=np.int64), np.zeros(500, dtype=bool))

    assert np.array_equal(fused.raw, raw)
    assert fused.levels.shape == (LEVELS, 500)
    assert (fused.levels == fused.logs).all()
    np.testing.assert_allclose(np.exp(fused.levels[0]), np.maximum(raw, 1e-30), rtol=1e-6)


def test_shares_are_of_the_fourth_power_and_all_alike_where_nothing_is_out():
    fusion, features = make_fusion()
    low = features[:, :3].copy()
    low[:, 0], low[:, 2] = 0.0, [0.0, 0.0, 9.0]  # nothing is out; one channel is
    raw, parts = fusion.ready(torch.device("cpu")).combine(
        torch.from_numpy(low), torch.zeros(3, dtype=torch.int64)
    )
    partial = np.zeros(3, dtype=bool)
    fused = fusion.fuse(raw.numpy(), np.zeros(3, dtype=np.int64), partial)

    shares = fusion.shares(fused, parts.numpy(), partial)

    assert raw[0, 0] == 0
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.allclose(shares[0], 1 / 3)
    assert np.allclose(shares[2], [0, 0, 1])
