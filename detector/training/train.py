"""Training: from series without labels to a calibrated detector.

Each sensor's series is cut in time: the first part trains, the next stops the training early,
the last calibrates. A model is judged on what comes after what it learned from, never on rows
drawn between them: those are too easy, and a threshold set on them is far too low.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from detector.calibration.alarm_numbers import INDEPENDENT
from detector.calibration.alarm_rule import AlarmDials
from detector.calibration.budget import AlarmBudget, worth
from detector.calibration.log_fusion import LogFusion
from detector.head import Head, Identity
from detector.scoring import Detector, pick_device
from detector.signal.series import Series
from detector.training.base import FittedView, Progress, ViewTraining
from detector.training.dataset import Dataset, Split, assemble
from detector.training.denoising import DenoisingTraining, fit_denoiser
from detector.training.fit_head import FittedHead, fit_head
from detector.training.fit_latent_map import fit_latent_map
from detector.training.fit_likeness import fit_likeness
from detector.training.reconstruction import ReconstructionTraining
from detector.views.base import View
from detector.views.joined import Views
from detector.views.pyramid import PyramidView
from detector.views.reconstruction import ReconstructionView

__all__ = ["Progress", "TrainingConfig", "train"]

MAX_NAMED = 10_000
"""Sensors that the summary names one by one."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ReconstructionTraining):
    """Everything that decides what `train` returns; the same config and data give the same bits.

    It is the training block of the one view that every detector has (inherited: the model, its R
    and how it is fitted), what all views share, and the blocks of further views.

    Attributes:
        channels: names of the columns.
        units: their units; empty = unknown.
        name: name of the model.
        version: its version; empty = from the content when it is saved.
        seed: of weights, order and noise.
        device: "auto", "cpu" or "cuda".
        split: shares of each series, in time.
        budget: false incidents that are accepted.
        dials: what else the operator set of the alarm rule.
        accept_after_s: a change is accepted as the new normal no sooner; 0 = never (see
            `AlarmDials.accepting_after`).
        max_gap_s: a longer gap ends a window; 0 = ten sampling intervals.
        max_rows: rows used; a longer history is thinned evenly in pieces.
        further_views: training blocks of views that add to the score.
        denoising: how clean values are learned.

    Raises:
        ValueError: a number out of range.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...] = ()
    name: str = "vigie"
    version: str = ""
    seed: int = 0
    device: str = "auto"
    split: Split = field(default_factory=Split)
    budget: AlarmBudget = field(default_factory=AlarmBudget)
    dials: AlarmDials = field(default_factory=AlarmDials)
    accept_after_s: float = 86_400.0
    max_gap_s: float = 0.0
    max_rows: int = 2_000_000
    further_views: tuple[ViewTraining, ...] = ()
    denoising: DenoisingTraining = field(default_factory=DenoisingTraining)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels must be at least one and distinct, got {self.channels}")
        if self.units and len(self.units) != len(self.channels):
            raise ValueError(f"{len(self.channels)} channels need as many units, got {self.units}")
        if self.max_rows < 1 or self.max_gap_s < 0:
            raise ValueError(
                f"max_rows must be at least 1 and max_gap_s >= 0, "
                f"got {self.max_rows} and {self.max_gap_s}"
            )
        if not self.accept_after_s >= 0:
            raise ValueError(f"accept_after_s must be >= 0, got {self.accept_after_s}")


def train(
    series: Sequence[Series],
    config: TrainingConfig,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Detector:
    """Train, stop early, calibrate.

    1. Cut each series in time; fit scaler and noise level on the training block. 2. Smooth the
    training targets with hindsight. 3. Fit each view. 4. Normalise the features of all views, set
    thresholds and the denoising mix on the calibration block.

    Args:
        series: one per sensor, or several of one sensor (they are taken as separate segments).
        config: all choices.
        progress: called after each look at the validation block, in this thread.

    Returns:
        A detector on `config.device`.

    Raises:
        ValueError: no data, wrong shapes, or a block without a single window; the message says
            how many rows are needed.
    """
    blocks: tuple[ViewTraining, ...] = (config, *config.further_views)
    data = assemble(
        series,
        n_channels=len(config.channels),
        receptive_field=max(block.least_rows for block in blocks),
        longest=max(block.receptive_field for block in blocks),
        split=config.split,
        max_gap_s=config.max_gap_s,
        max_rows=config.max_rows,
    )
    device = pick_device(config.device)
    fitted = [
        block.fit(
            data,
            generator=torch.Generator().manual_seed(config.seed),
            device=device,
            progress=progress,
        )
        for block in blocks
    ]
    crossfit = next((one.crossfit for one in fitted if one.crossfit is not None), None)
    views = Views([one.view for one in fitted])
    rate = config.budget.rate(data.interval_s, sensors=len(data.names))
    dials = config.dials.accepting_after(config.accept_after_s, data.interval_s)
    fit = fit_head(views, data, rate=rate, dials=dials, crossfit=crossfit)
    views, head = _without_idle_looks(fit.views, fit.head)
    identity = _identity(config, data, fitted, fit)
    scored = Detector(identity, views, head)
    likeness, latent_map = fit_likeness(scored, data), fit_latent_map(scored, data)
    alike = None if likeness is None else likeness.radii
    cleaning = fit_denoiser(
        data,
        config.denoising,
        rows=views.receptive_field,
        short_rows=scored.warm_up,
        generator=torch.Generator().manual_seed(config.seed),
        device=device,
    )
    if cleaning.view is not None:
        views = views.with_denoising(cleaning.view)
    summary = {**identity.training, "alike_within": alike, "denoising": cleaning.summary}
    head = replace(head, likeness=likeness, latent_map=latent_map)
    return Detector(replace(identity, training=summary), views, head)


def _without_idle_looks(views: Views, head: Head) -> tuple[Views, Head]:
    """Leave out the looks that count nowhere: they would only cost time."""
    if not isinstance(head.fusion, LogFusion):
        return views, head
    names = [name for view in views for name in view.features]
    used = np.flatnonzero(head.fusion.weight.max(axis=0) > 0)
    counts = {names[place] for place in used}
    kept = [_only(view, counts) for view in views]
    left = [name for view in kept for name in view.features]
    fusion = head.fusion.only([place for place, name in enumerate(names) if name in left])
    return Views(kept), replace(head, fusion=fusion)


def _only(view: View[Any], features: Collection[str]) -> View[Any]:
    if isinstance(view, PyramidView):
        return view.only(features)
    if isinstance(view, ReconstructionView) and not set(view.features) & set(features):
        return view.silent()
    return view


def _identity(
    config: TrainingConfig, data: Dataset, fitted: Sequence[FittedView], head: FittedHead
) -> Identity:
    first, *further = [dict(one.summary) for one in fitted]
    promise = worth(
        config.budget,
        interval_s=data.interval_s,
        readings=head.readings,
        independent=head.readings // INDEPENDENT,
        sensors=len(data.names),
    )
    training: dict[str, Any] = {
        **data.summary(),
        **first,
        "seed": config.seed,
        "budget": asdict(config.budget),
        "budget_words": str(config.budget),
        "promise": str(promise),
        "budget_warning": promise.warning,
        "budget_basis": promise.basis.value,
        "standing_out": [asdict(one) for one in head.standing_out[:MAX_NAMED]],
        "gross": [asdict(one) for one in data.gross[:MAX_NAMED]],
        "not_learned": [one.summary() for one in data.unused[:MAX_NAMED]],
        "torch": torch.__version__.split("+", maxsplit=1)[0],
    }
    if further:
        training["further_views"] = further
    return Identity(
        name=config.name,
        version=config.version,
        channels=config.channels,
        units=config.units or ("",) * len(config.channels),
        sensors=data.sensors,
        interval_s=data.interval_s,
        max_gap_s=data.max_gap_s,
        training=training,
    )
