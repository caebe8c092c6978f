"""Sets of arrays with an index: SMD (server machines) and NASA (SMAP and MSL telemetry).

A folder holds `index.csv` (columns `name`, `tr`, and others) and for each name a file `name.npz`
with `train` [n, C], `test` [m, C] and `label` [m]. Two protocols:

1. learn on `train`, judge `test`;
2. as TSB-AD-M: `test` is the whole stream, its first `tr` rows teach, all rows are ranked.

SMD's `interpretation/name.txt` has one line for each event, `start-end:channels`: test rows
start <= t < end, channels from 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.detection.series import LabelledSeries, RootCause, after_training, half_of
from benchmarks.detection.sets.base import DataSet, Options, find_folder

INTERVAL_S = 60.0  # SMD's; NASA's is not published
BUDGET_ROWS = 2_000
SMD_FROM = "SMD: arrays of InterFusion's copy, github.com/zhhlee/InterFusion, with an index.csv"
NASA_FROM = "SMAP and MSL: github.com/khundman/telemanom as arrays, with an index.csv"


def find_smd(options: Options) -> Path:
    """The folder of the server machines."""
    return find_folder(options, holds=["index.csv", "machine-*.npz"], what=SMD_FROM)


def read_index(folder: Path) -> dict[str, int]:
    """Training rows `tr` of each entity, by name in order."""
    with (folder / "index.csv").open(newline="") as lines:
        return {line["name"]: int(line["tr"]) for line in sorted(csv.DictReader(lines), key=_name)}


def read_root_causes(path: Path) -> tuple[RootCause, ...]:
    """The events of an interpretation file.

    Raises:
        ValueError: a line has another form.
    """
    causes = []
    for line in path.read_text().split():
        try:
            span, channels = line.split(":")
            start, end = map(int, span.split("-"))
            causes.append(
                RootCause(
                    start=start,
                    end=end,
                    channels=tuple(int(one) - 1 for one in channels.split(",")),
                )
            )
        except ValueError as error:
            raise ValueError(f"{path}: {line!r} is not start-end:channels") from error
    return tuple(causes)


def load_smd_1(options: Options) -> Iterator[LabelledSeries]:
    """Server machines, protocol 1."""
    folder = find_smd(options)
    for series in _protocol_1(folder, "SMD, train file"):
        causes = folder / "interpretation" / f"{series.name}.txt"
        shift = series.n_train
        yield replace(
            series,
            root_causes=tuple(
                replace(one, start=one.start + shift, end=one.end + shift)
                for one in (read_root_causes(causes) if causes.exists() else ())
            ),
        )


def load_smd_2(options: Options) -> Iterator[LabelledSeries]:
    """Server machines, protocol 2."""
    folder = find_smd(options)
    for series in _protocol_2(folder, "SMD, first rows"):
        causes = folder / "interpretation" / f"{series.name}.txt"
        yield replace(series, root_causes=read_root_causes(causes) if causes.exists() else ())


def load_nasa_1(options: Options) -> Iterator[LabelledSeries]:
    """Spacecraft, protocol 1."""
    return _some(_protocol_1(_find_nasa(options), "NASA, train file"), options)


def load_nasa_2(options: Options) -> Iterator[LabelledSeries]:
    """Spacecraft, protocol 2."""
    return _some(_protocol_2(_find_nasa(options), "NASA, first rows"), options)


def _find_nasa(options: Options) -> Path:
    return find_folder(options, holds=["index.csv", "[A-Z]-*.npz"], what=NASA_FROM)


def _some(series: Iterator[LabelledSeries], options: Options) -> Iterator[LabelledSeries]:
    return (one for i, one in enumerate(series) if not options.quick or i % 20 < 2)


def _name(line: dict[str, str]) -> str:
    return line["name"]


def _protocol_1(folder: Path, name: str) -> Iterator[LabelledSeries]:
    for index, entity in enumerate(read_index(folder)):
        with np.load(folder / f"{entity}.npz") as arrays:
            train, test = arrays["train"].astype(np.float64), arrays["test"].astype(np.float64)
            labels = arrays["label"].astype(bool)
        yield LabelledSeries(
            name=entity,
            set=name,
            half=half_of(index),
            rows=np.concatenate([train, test]),
            n_train=len(train),
            labels=np.concatenate([np.zeros(len(train), dtype=bool), labels]),
            judged=after_training(len(train) + len(test), len(train)),
            interval_s=INTERVAL_S,
            budget_rows=BUDGET_ROWS,
        )


def _protocol_2(folder: Path, name: str) -> Iterator[LabelledSeries]:
    for index, (entity, n_train) in enumerate(read_index(folder).items()):
        with np.load(folder / f"{entity}.npz") as arrays:
            test, labels = arrays["test"].astype(np.float64), arrays["label"].astype(bool)
        yield LabelledSeries(
            name=entity,
            set=name,
            half=half_of(index),
            rows=test,
            n_train=n_train,
            labels=labels,
            judged=np.ones(len(test), dtype=bool),
            interval_s=INTERVAL_S,
            budget_rows=BUDGET_ROWS,
        )


SMD_1 = DataSet(name="smd-1", about="4 machines, the train file teaches", load=load_smd_1)
SMD_2 = DataSet(name="smd-2", about="4 machines, first tr rows teach (TSB-AD-M)", load=load_smd_2)
NASA_1 = DataSet(name="nasa-1", about="41 channels, the train file teaches", load=load_nasa_1)
NASA_2 = DataSet(
    name="nasa-2", about="41 channels, first tr rows teach (TSB-AD-M)", load=load_nasa_2
)
