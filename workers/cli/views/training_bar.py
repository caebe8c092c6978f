"""A training as it goes: bar, loss, time left. Shared by `train` and `demo`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from detector.training.train import Progress

_BAR_WIDTH = 40


class TrainingBar:
    """Draws the state of one training."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Begin the clock."""
        self._now_s = now_s
        self._began_s = now_s()

    def draw(self, progress: Progress) -> RenderableType:
        """The bar as it is now."""
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=progress.max_steps, completed=progress.step, width=_BAR_WIDTH),
            Text(self.words(progress)),
        )
        return line

    def words(self, progress: Progress) -> str:
        """The same in words. The time left is at most that: training may stop early."""
        elapsed_s = self._now_s() - self._began_s
        left_s = elapsed_s / max(progress.step, 1) * (progress.max_steps - progress.step)
        return (
            f"step {progress.step:,} of {progress.max_steps:,}  loss {progress.loss:.4f}  "
            f"validation {progress.validation_loss:.4f} (best {progress.best_loss:.4f})  "
            f"{left_s:.0f} s left"
        )
