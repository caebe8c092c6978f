"""Denoising views: of random numbers, for what holds of any; and a small one that was fitted."""

import functools
from typing import Any

import numpy as np
import torch

from detector.models.blind_spot import BlindSpot
from detector.signal.blend import Blend
from detector.signal.context import Context
from detector.signal.impulses import NONE, Impulses
from detector.signal.scaler import ChannelScaler
from detector.training.dataset import Dataset, Split, assemble
from detector.training.denoising import DenoisingTraining, FittedDenoiser, fit_denoiser
from detector.views.denoising import Cleaner, DenoisingView
from tests.support.fleets import Fleet, make_fleet

ROWS, SHORT_ROWS = 44, 16
"""Of the windows that `fitted` may look at."""


def random_view(
    *, channels: int = 5, hidden: int = 7, groups: int = 3, impulsive: bool = True
) -> DenoisingView:
    """Three cleaners of random weights, in scaled units that are channel units but for a group."""
    rng = np.random.default_rng(channels)
    contexts = {
        "causal": Context.of(37),
        "short": Context.of(11),
        "settled": Context.of(37, ahead=6),
    }
    return DenoisingView(
        ChannelScaler(
            center=rng.normal(0, 0.1, (groups, channels)),
            scale=rng.uniform(0.5, 2, (groups, channels)),
        ),
        Impulses(
            limit=np.where(np.arange(channels) == 1, 4.0, NONE).astype(np.float32),
            most=np.where(np.arange(channels) == 1, 1e3, 0.0).astype(np.float32),
        )
        if impulsive
        else Impulses.none(channels),
        {
            name: _random_cleaner(rng, one, channels, hidden, groups)
            for name, one in contexts.items()
        },
    )


def _random_cleaner(
    rng: np.random.Generator, context: Context, channels: int, hidden: int, groups: int
) -> Cleaner:
    means, checks = len(context.lags), 1 if context.target else 3
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(1 << 30)))
        model = BlindSpot(
            channels=channels,
            means=means,
            near=[0, 3, means],
            checks=checks,
            hidden=hidden,
            latent=3,
        )
        for weights in (model.own, model.cross):
            weights.copy_(0.2 * torch.randn(weights.shape))
    wide = (groups, max(checks, 1), channels)
    numbers = {"share": (0.2, 0.9, wide[::2]), "cut": (0.5, 2, wide[::2]), "limit": (0.5, 2, wide)}
    mix = {
        name: torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))
        for name, (low, high, shape) in numbers.items()
    }
    return Cleaner(
        context=context, model=model.eval().requires_grad_(requires_grad=False), blend=Blend(**mix)
    )


def dataset_of(fleet: Fleet, *, rows: int = ROWS) -> Dataset:
    """A fleet's readings, cut in time."""
    return assemble(
        fleet.series(),
        n_channels=fleet.noisy[0].shape[1],
        receptive_field=rows,
        longest=rows,
        split=Split(),
        max_gap_s=0.0,
        max_rows=1 << 20,
    )


def fit(fleet: Fleet, *, rows: int = ROWS, **changes: Any) -> FittedDenoiser:
    """A view of linear predictors: about half a second."""
    config = DenoisingTraining(
        **{"hidden": 0, "latent": 0, "max_windows": 2000, "max_group_windows": 1000, **changes}
    )
    return fit_denoiser(
        dataset_of(fleet, rows=rows),
        config,
        rows=rows,
        short_rows=SHORT_ROWS,
        generator=torch.Generator().manual_seed(0),
        device=torch.device("cpu"),
    )


@functools.cache
def fitted() -> FittedDenoiser:
    """Of a fleet of two sensors; shared, it cannot be changed."""
    return fit(make_fleet(rows=1500))
