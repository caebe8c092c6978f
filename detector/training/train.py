"""Training: from series without labels to a calibrated detector.

Each sensor's series is cut in time: the first part trains, the next stops the training early,
the last calibrates. A model is judged on what comes after what it learned from, never on rows
drawn between them: those are too easy, and a threshold set on them is far too low.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from detector.calibration.budget import AlarmBudget
from detector.scoring import Detector, Identity, pick_device
from detector.signal.series import Series
from detector.training.base import FittedView, Progress, ViewTraining
from detector.training.dataset import Dataset, Split, assemble
from detector.training.fit_head import FittedHead, fit_head
from detector.training.reconstruction import ReconstructionTraining
from detector.views.joined import Views

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
        budget: false alarms that a sensor may raise.
        max_gap_s: a longer gap ends a window; 0 = ten sampling intervals.
        max_rows: rows used; a longer history is thinned evenly in pieces.
        further_views: training blocks of views that add to the score.

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
    max_gap_s: float = 0.0
    max_rows: int = 2_000_000
    further_views: tuple[ViewTraining, ...] = ()

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
        receptive_field=max(block.receptive_field for block in blocks),
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
    views = Views([one.view for one in fitted])
    fit = fit_head(views, data, rate=config.budget.rate(data.interval_s))
    return Detector(_identity(config, data, fitted, fit), views, fit.head)


def _identity(
    config: TrainingConfig, data: Dataset, fitted: Sequence[FittedView], head: FittedHead
) -> Identity:
    first, *further = [dict(one.summary) for one in fitted]
    training: dict[str, Any] = {
        **data.summary(),
        **first,
        "seed": config.seed,
        "budget": asdict(config.budget),
        "promise": str(head.head.calibration.promise),
        "standing_out": [asdict(one) for one in head.standing_out[:MAX_NAMED]],
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
