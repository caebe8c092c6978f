"""A picture from nothing to its file, with matplotlib where it is installed and never a screen."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from workers.errors import VigieError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110


class PlotExtraError(VigieError):
    """matplotlib is not installed."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotExtraError(
            "Drawing needs matplotlib, which is not installed: "
            "pip install 'vigie[plot]' (or uv sync --extra plot)."
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: Path, *, dpi: int = _DPI) -> Path:
    """Write a figure; its folder is made, the path's ending chooses the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box: no news for who reads a terminal.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(path, dpi=dpi)
    return path
