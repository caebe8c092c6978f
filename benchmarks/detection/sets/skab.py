"""SKAB, the testbed of a water pump: 34 experiments; the first 400 rows of each teach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.detection.series import LabelledSeries, after_training, half_of
from benchmarks.detection.sets.base import DataSet, MissingDataError, Options, find_folder
from workers.data.files import read_files
from workers.data.history import SensorRows
from workers.data.layout import LabelColumn, Layout

TRAIN_ROWS = 400
INTERVAL_S = 1.0
# Longer than every gap in the files (247 s): one experiment is one sequence.
MAX_GAP_S = 300.0
BUDGET_ROWS = 500
FOLDERS = {"other": 14, "valve1": 16, "valve2": 4}
FROM = 'SKAB: github.com/waico/SKAB, its folder "data"'


def find_files(root: Path) -> list[Path]:
    """The 34 labelled files in a fixed order.

    Raises:
        MissingDataError: they are not there.
    """
    found = {
        name: sorted((root / name).glob("*.csv"), key=lambda path: int(path.stem))
        for name in FOLDERS
    }
    wrong = [
        f"{name} ({len(found[name])} of {n})"
        for name, n in FOLDERS.items()
        if len(found[name]) != n
    ]
    if wrong:
        raise MissingDataError(f"{root} lacks files of {FROM}: {', '.join(wrong)}")
    return [path for paths in found.values() for path in paths]


def read_rows(path: Path) -> SensorRows:
    """One file: eight channels, and the labels where it has them."""
    labelled = path.parent.name in FOLDERS
    layout = Layout(
        sensor_id=f"{path.parent.name}-{path.stem}",
        label=LabelColumn("anomaly") if labelled else None,
        ignore=("changepoint",) if labelled else (),
    )
    (file,) = read_files([path], layout).sensors
    return file


def load(options: Options) -> Iterator[LabelledSeries]:
    """The 34 experiments."""
    root = find_folder(options, holds=[f"{name}/*.csv" for name in FOLDERS], what=FROM)
    for index, path in enumerate(find_files(root)):
        if options.quick and index % 8 > 1:
            continue
        file = read_rows(path)
        assert file.labels is not None  # the labelled files
        yield LabelledSeries(
            name=file.sensor,
            set="SKAB",
            half=half_of(index),
            rows=file.values,
            n_train=TRAIN_ROWS,
            labels=file.labels,
            judged=after_training(len(file.values), TRAIN_ROWS),
            interval_s=INTERVAL_S,
            budget_rows=BUDGET_ROWS,
            ts_ns=file.ts_ns,
        )


SKAB = DataSet(
    name="skab",
    about="34 files, the first 400 rows of each teach, the rest is judged; 1 incident in 500 rows",
    load=load,
)
