"""Files whose rows are of classes: the class of each row, as the files write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detector.scoring import Detector
from workers.backtest.backtest import read_both_for
from workers.data.errors import FileFormatError, listed
from workers.data.file import sql
from workers.data.file.rows import FileRows
from workers.data.file.table import open_raw
from workers.data.history import History, SensorRows
from workers.data.layout import LabelColumn, Layout

IntArray = npt.NDArray[np.int64]

MAX_CLASSES = 64
"""More different words in a column are no classes."""
NO_CLASS, SEVERAL = -1, -2


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What was read, and the class of every row.

    Attributes:
        history: with the channels of a model, in its order.
        classes: words of the label column, sorted; one empty word if there is no such column.
        codes: of each sensor of the history, the place of each row's class in `classes`;
            `NO_CLASS` where it has none, `SEVERAL` where rows of two were made into one.
        dropped: columns (of a long file: tags) that are no channel of the model, nor anything else
            that is kept; without those that the layout ignores.
    """

    history: History
    classes: tuple[str, ...]
    codes: tuple[IntArray, ...]
    dropped: tuple[str, ...] = ()

    def only(self, names: Sequence[str]) -> Labelled:
        """The same with these sensors alone; with all of them if none is named.

        Raises:
            FileFormatError: there is no such sensor.
        """
        history = self.history.only(names)
        kept = {one.sensor for one in history.sensors}
        codes = tuple(
            own
            for one, own in zip(self.history.sensors, self.codes, strict=True)
            if one.sensor in kept
        )
        return replace(self, history=history, codes=codes)


def read_labelled(
    detector: Detector, paths: Sequence[Path], layout: Layout, column: str | None
) -> Labelled:
    """Read the channels of a model from files, and the class of each row.

    A layout knows one label, normal or not. So the files are read once for each class, with its
    word as the label: a row is sorted, repeated or left out as for every other command.

    Args:
        detector: whose channels.
        paths: of the files.
        layout: how to read them; what it says of labels does not count.
        column: of the class; None = all rows are of one class.

    Raises:
        FileFormatError: see `read_both_for`; or no file has the column, or it holds no classes.
    """
    plain = layout.model_copy(update={"label": None, "label_ranges": None})
    if column is None:
        files, history = read_both_for(detector, paths, plain)
        ones = tuple(np.zeros(len(one), np.int64) for one in history.sensors)
        dropped = _dropped(files, plain, column)
        return Labelled(history=history, classes=("",), codes=ones, dropped=dropped)
    classes = _words(paths, plain, column)
    histories = []
    for word in classes:
        label = LabelColumn(column, (word,))
        files, history = read_both_for(detector, paths, plain.model_copy(update={"label": label}))
        histories.append(history)
    return Labelled(
        dropped=_dropped(files, plain, column),
        history=histories[0],
        classes=classes,
        codes=tuple(
            _codes([history.sensors[place] for history in histories])
            for place in range(len(histories[0].sensors))
        ),
    )


def _dropped(files: Sequence[FileRows], layout: Layout, label: str | None) -> tuple[str, ...]:
    """Names in the files that are not in what comes out, in their order."""
    names: dict[str, None] = {}
    for one in files:
        found = one.columns
        kept = {*found.time, *found.sensor, *found.channels.values(), *(layout.long or ())}
        kept |= {label, *layout.ignore}
        names |= dict.fromkeys(name for name in one.names if name not in kept)
    return tuple(names)


def _codes(readings: Sequence[SensorRows]) -> IntArray:
    """The class of each row of a sensor, from one reading of it for each class."""
    n = len(readings[0])
    of_class = np.stack(
        [np.zeros(n, np.bool_) if one.labels is None else one.labels for one in readings]
    )
    codes = np.where(of_class.any(axis=0), of_class.argmax(axis=0), NO_CLASS)
    return np.where(of_class.sum(axis=0) > 1, SEVERAL, codes).astype(np.int64)


def _words(paths: Sequence[Path], layout: Layout, column: str) -> tuple[str, ...]:
    """The different words of a column over all files, sorted; 2, 2.0 and 2.00 are one word."""
    found: set[str] = set()
    for path in paths:
        with open_raw(path, layout) as table:
            if column not in table.names:
                raise FileFormatError(
                    f"{path}: there is no column {column!r} (--label-column); the file has "
                    f"{listed(table.names)}"
                )
            shown = sql.trimmed(table.column(column))
            rows = table.query(
                f"SELECT DISTINCT {shown} FROM raw WHERE coalesce({shown}, '') <> '' "  # noqa: S608 - the column is ours
                f"LIMIT {10 * MAX_CLASSES}"
            )
        found |= {_one_form(str(word)) for (word,) in rows}
        if len(found) > MAX_CLASSES:
            raise FileFormatError(
                f"{path}: column {column!r} holds more than {MAX_CLASSES} different words, such as "
                f"{listed(sorted(found)[:3])}: that is no class of a row; name another with "
                "--label-column"
            )
    if not found:
        raise FileFormatError(f"{paths[0]}: column {column!r} is empty: no row has a class")
    return tuple(sorted(found))


def _one_form(word: str) -> str:
    """A number as it is written shortest, every other word as it is."""
    try:
        number = float(word)
    except ValueError:
        return word
    return str(int(number)) if number.is_integer() else str(number)
