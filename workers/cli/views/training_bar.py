"""A training as it goes: bar, loss, time left. Shared by `train` and `demo`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

if TYPE_CHECKING:
    from detector.training.train import Progress

_BAR_WIDTH = 40


def training_bar(progress: Progress, *, began_s: float) -> RenderableType:
    """The state of a training that began at a time of `time.monotonic`.

    The time left is at most that: training may stop early.
    """
    step, steps = progress.step, progress.max_steps
    left_s = (time.monotonic() - began_s) / max(step, 1) * (steps - step)
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(total=steps, completed=step, width=_BAR_WIDTH),
        f"step {step:,} of {steps:,}  loss {progress.loss:.4f}  "
        f"validation {progress.validation_loss:.4f} (best {progress.best_loss:.4f})  "
        f"{left_s:.0f} s left",
    )
    return line
