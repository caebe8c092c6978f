"""Streams without a fault: what alarms there are, are false.

SMD's train files after the first `tr` rows, and SKAB's anomaly-free record after 2,000 rows; as
they are, and with the mean of every channel drifting by two training standard deviations in
10,000 rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.detection.series import Half, LabelledSeries, Rows, after_training, half_of
from benchmarks.detection.sets import indexed, skab
from benchmarks.detection.sets.base import DataSet, MissingDataError, Options, find_folder

SKAB_TRAIN_ROWS = 2_000
DRIFT_PER_ROW = 2.0 / 10_000
BUDGET_ROWS = 2_000


def drifting(rows: Rows, n_train: int, *, per_row: float = DRIFT_PER_ROW) -> Rows:
    """The rows with every mean on its way after training, in training standard deviations a row."""
    away = np.maximum(np.arange(len(rows)) - n_train, 0) * per_row
    moved: Rows = rows + away[:, None] * np.nanstd(rows[:n_train], axis=0)
    return moved


def load(options: Options) -> Iterator[LabelledSeries]:
    """Each stream twice: as it is, and drifting."""
    found = list(_streams(options))
    if not found:
        raise MissingDataError(f"neither {indexed.SMD_FROM} nor anomaly-free.csv of {skab.FROM}")
    for name, half, rows, n_train, interval_s in found:
        for title, stream in (("quiet", rows), ("quiet, drifting", drifting(rows, n_train))):
            yield LabelledSeries(
                name=name,
                set=title,
                half=half,
                rows=stream,
                n_train=n_train,
                labels=np.zeros(len(rows), dtype=bool),
                judged=after_training(len(rows), n_train),
                interval_s=interval_s,
                budget_rows=BUDGET_ROWS,
            )


def _streams(options: Options) -> Iterator[tuple[str, Half, Rows, int, float]]:
    try:
        folder = indexed.find_smd(options)
    except MissingDataError as missing:
        print(f"quiet: without SMD: {missing}", file=sys.stderr)
    else:
        for index, (name, n_train) in enumerate(indexed.read_index(folder).items()):
            with np.load(folder / f"{name}.npz") as arrays:
                rows = arrays["train"].astype(np.float64)
            yield name, half_of(index), rows, n_train, indexed.INTERVAL_S
    try:
        folder = find_folder(options, holds=["anomaly-free/anomaly-free.csv"], what=skab.FROM)
    except MissingDataError as missing:
        print(f"quiet: without SKAB: {missing}", file=sys.stderr)
    else:
        file = skab.read_rows(folder / "anomaly-free" / "anomaly-free.csv")
        yield file.sensor, "A", file.values, SKAB_TRAIN_ROWS, skab.INTERVAL_S


QUIET = DataSet(
    name="quiet", about="no faults: SMD train files, SKAB anomaly-free; and drifting", load=load
)
