"""The types that a column of the files tells of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector.scoring import Detector
from workers.backtest.backtest import read_for
from workers.data.errors import listed
from workers.data.file.raw import RawTable
from workers.data.file.suspects import words_of
from workers.data.file.table import open_raw
from workers.data.history import History
from workers.data.layout import LabelColumn, Layout
from workers.latent.errors import LatentError


def kinds_of(
    paths: Sequence[Path], layout: Layout, column: str, detector: Detector
) -> dict[str, History]:
    """By word of the column, the history in which the rows of that word are labelled.

    At most twelve words, the most frequent ones; the files are read once for each.

    Raises:
        LatentError: no file has the column, or it holds no word.
        FileFormatError: see `read_for`.
    """
    words = dict[str, None]()
    for path in paths:
        with open_raw(path, layout) as table:
            words |= dict.fromkeys(_words(table, column))
    if not words:
        raise LatentError(f"--type: no row of {column!r} holds a word")
    return {
        word: read_for(
            detector, paths, layout.model_copy(update={"label": LabelColumn(column, (word,))})
        )
        for word in words
    }


def _words(table: RawTable, column: str) -> list[str]:
    if column not in table.names:
        raise LatentError(
            f"--type: {table.path} has no column {column!r}; it has {listed(table.names)}"
        )
    return words_of(table, column)
