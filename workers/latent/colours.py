"""Colours of maps and pictures, told apart by colour-blind eyes as well (Okabe and Ito 2008)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

ACCENT = "#b2182b"
GREY = "#c3cad1"
_HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6d3b", "#5b4b8a")
_LEAST, _MOST = 0.03, 300.0


def hues(names: Sequence[str], *, grey: Collection[str] = ()) -> dict[str, str]:
    """A colour for each name; grey for some. Greys first, to be drawn below; then by name.

    More than eight colours begin again.
    """
    others = sorted(name for name in names if name not in grey)
    below = {name: GREY for name in sorted(names) if name in grey}
    return {**below, **{name: _HUES[place % len(_HUES)] for place, name in enumerate(others)}}


def clipped_scores(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Decimal logarithm of scores, within what a colour bar can show."""
    found: npt.NDArray[np.float64] = np.log10(np.clip(score, _LEAST, _MOST))
    return found
