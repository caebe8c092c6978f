"""What fits a view: its training block in `TrainingConfig`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from detector.training.dataset import Dataset
from detector.views.base import View


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the training of a view stands after a look at the validation block.

    Attributes:
        step: steps done.
        max_steps: steps at most; early stopping may end before.
        loss: mean training loss since the last look.
        validation_loss: on the validation block, without corruption.
        best_loss: least validation loss so far; its weights are the ones kept.
    """

    step: int
    max_steps: int
    loss: float
    validation_loss: float
    best_loss: float


@dataclass(frozen=True, kw_only=True)
class FittedView:
    """A view, and a summary of its training for people (JSON values only)."""

    view: View[Any]
    summary: Mapping[str, Any]


@runtime_checkable
class ViewTraining(Protocol):
    """All choices of one view's training, and the training itself.

    The dataset serves all views: a view takes from it the windows of its own receptive field
    (`Dataset.block`), or the rows and segments. It leaves the calibration block alone, whose
    scores would otherwise be those of data it knows.
    """

    @property
    def receptive_field(self) -> int:
        """R of the view."""

    def fit(
        self,
        data: Dataset,
        *,
        generator: torch.Generator,
        device: torch.device,
        progress: Callable[[Progress], None],
    ) -> FittedView:
        """Fit the view.

        Args:
            data: whose segments hold at least a window of the largest view.
            generator: all randomness, on the CPU; this view's alone.
            device: where the view shall be.
            progress: called after each look at the validation block, in this thread.
        """
