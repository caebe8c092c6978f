"""A set of series: where it is looked for, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.detection.series import LabelledSeries

MAX_ROWS = 2_000_000
"""A longer file is refused: the baselines hold it in memory several times."""


class MissingDataError(Exception):
    """The files of a set are not below the given paths; the message says which, and from where."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all loaders are given.

    Attributes:
        paths: folders of data.
        seed: of simulations.
        quick: a few series of each set, for CI.
    """

    paths: tuple[Path, ...]
    seed: int = 0
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A named set.

    Attributes:
        name: for `--sets`; its series may count in several lines (conditions) of the tables.
        about: protocol, in one line.
        load: yields the series, half A and B by turns.
    """

    name: str
    about: str
    load: Callable[[Options], Iterator[LabelledSeries]]


def find_folder(options: Options, *, holds: Sequence[str], what: str) -> Path:
    """The first given folder, or folder in one, in which all of these files are.

    Args:
        options: the paths.
        holds: patterns, each with at least one match in the folder.
        what: the set, and where it comes from.

    Raises:
        MissingDataError: there is no such folder.
    """
    for path in options.paths:
        for folder in (path, *sorted(one for one in path.glob("*") if one.is_dir())):
            if all(any(folder.glob(pattern)) for pattern in holds):
                return folder
    looked = ", ".join(map(str, options.paths)) or "no path was given"
    raise MissingDataError(f"no folder with {', '.join(holds)} ({what}); looked in: {looked}")
