"""What fits a view: its training block in `TrainingConfig`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64

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
class CrossFit:
    """The history as models that have not seen it measure it.

    Attributes:
        rows: places in the dataset, ascending.
        blocks: the block in time of each row; its models did not learn from that block.
        distances: of each feature of the view.
        pooled: those of some rows scaled as the rows of a sensor are that training has not seen.
        pooled_rows: these rows.
    """

    rows: Int64[np.ndarray, " n"]
    blocks: Int64[np.ndarray, " n"]
    distances: Float32[np.ndarray, "distances n"]
    pooled: Float32[np.ndarray, "distances k"]
    pooled_rows: Int64[np.ndarray, " k"]


@dataclass(frozen=True, kw_only=True)
class FittedView:
    """A view.

    Attributes:
        view: the view.
        summary: of its training, for people; JSON values only.
        crossfit: of a view that learns from the whole history; None when it leaves the
            calibration block alone.
    """

    view: View[Any]
    summary: Mapping[str, Any]
    crossfit: CrossFit | None = None


@runtime_checkable
class ViewTraining(Protocol):
    """All choices of one view's training, and the training itself.

    The dataset serves all views: a view takes from it the windows of its own receptive field
    (`Dataset.block`), or the rows, segments and runs. It leaves the calibration block alone, whose
    scores would otherwise be those of data it knows, or says what its history is worth to models
    that have not seen it (`CrossFit`).
    """

    @property
    def receptive_field(self) -> int:
        """R of the view."""

    @property
    def least_rows(self) -> int:
        """Rows without a gap that a segment of the history must have to be of use."""

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
