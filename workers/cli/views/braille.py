"""A curve in characters: each of Braille's holds two by four dots. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK = 0x2800
COLUMNS, ROWS = 2, 4


def draw(low: FloatArray, high: FloatArray, *, lines: int) -> list[str]:
    """Lines of characters that hold a bar from the smallest to the largest value of each piece.

    Args:
        low: the smallest values, [2 * width]; NaN where a piece has none.
        high: the largest ones.
        lines: height in characters.
    """
    dots = lines * ROWS
    known = np.isfinite(low) & np.isfinite(high)
    cells = np.zeros((lines, -(-len(low) // COLUMNS)), np.int64)
    if known.any():
        # In halves: the span of two large floats may be none.
        bottom, top = low[known].min() / 2, high[known].max() / 2
        span = top - bottom or 1.0
        for piece in np.flatnonzero(known):
            first, last = (
                round((value / 2 - bottom) / span * (dots - 1)) if top > bottom else dots // 2
                for value in (low[piece], high[piece])
            )
            for dot in range(first, last + 1):
                row, within = divmod(dots - 1 - dot, ROWS)
                cells[row, piece // COLUMNS] |= _DOTS[piece % COLUMNS][within]
    return ["".join(chr(_BLANK + int(cell)) for cell in line) for line in cells]
