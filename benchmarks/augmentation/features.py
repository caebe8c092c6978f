"""What a classifier sees of a window: a few numbers a channel, and the same over all channels."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.augmentation.arms import Examples
from benchmarks.augmentation.tasks import FloatArray
from detector.latent import decode, encode
from detector.scoring import Detector

_FLOOR = 0.02


def summary(given: Examples, detector: Detector) -> FloatArray:
    """Mean, slope, log deviation, log deviation of differences and share of missing values.

    Of each channel in scaled units of its sensor; and the largest and smallest over the channels,
    as the same fault may come in any of them.
    """
    scaler = detector.signal.scaler
    center, scale = scaler.center[given.groups][:, None], scaler.scale[given.groups][:, None]
    scaled = (given.windows - center) / scale
    time = np.linspace(-1.0, 1.0, scaled.shape[1])[None, :, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a channel without any value is nan
        mean = np.nanmean(scaled, axis=1)
        slope = np.nanmean(time * (scaled - mean[:, None]), axis=1)
        deviation = np.nanstd(scaled, axis=1)
        flicker = np.nanstd(np.diff(scaled, axis=1), axis=1)
    sizes = [np.log(np.nan_to_num(one) + _FLOOR) for one in (deviation, flicker)]
    levels = [np.nan_to_num(one) for one in (mean, slope)]
    missing = np.isnan(scaled).mean(axis=1)
    over_all = [
        *(np.abs(one).max(axis=1) for one in levels),
        *(one.max(axis=1) for one in sizes),
        *(one.min(axis=1) for one in sizes),
        missing.max(axis=1),
    ]
    return np.column_stack([*levels, *sizes, missing, *over_all])


def with_residual(given: Examples, detector: Detector) -> FloatArray:
    """The same, and mean and log deviation of what the autoencoder could not explain."""
    latents = encode(detector, given.windows, given.groups)
    residual = np.empty(given.windows.shape)
    for group in np.unique(given.groups):
        own = given.groups == group
        explained = decode(detector, latents[own], int(group))
        residual[own] = (given.windows[own] - explained) / detector.signal.scaler.scale[group]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nan_to_num(np.nanmean(residual, axis=1))
        size = np.log(np.nan_to_num(np.nanstd(residual, axis=1)) + _FLOOR)
    over_all = [np.abs(mean).max(axis=1), size.max(axis=1), size.min(axis=1)]
    return np.column_stack([summary(given, detector), mean, size, *over_all])
