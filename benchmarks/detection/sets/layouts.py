"""Sets that users bring themselves, in the layouts of their publishers: SWaT, WADI, PSM, TSB-AD.

None of their licences lets them be shipped here. Columns without a single number in training are
left out; other gaps stay NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from benchmarks.detection.series import Half, LabelledSeries, Mask, Rows, after_training, half_of
from benchmarks.detection.sets.base import (
    MAX_ROWS,
    DataSet,
    MissingDataError,
    Options,
    find_folder,
)

BUDGET_ROWS = 2_000
_HEADER_LINES = 20
_TSB_NAME = re.compile(r".*_tr_(?P<train>\d+)_1st_\d+\.csv")
_SWAT = "SWaT: itrust.sutd.edu.sg, the CSV files of December 2015"
_WADI = "WADI.A2 of 19 November 2019: itrust.sutd.edu.sg"
_PSM = "PSM: github.com/eBay/RANSynCoders, its folder data"
_TSB_AD = "TSB-AD: github.com/TheDatumOrg/TSB-AD, its data sets"


def load_swat(options: Options) -> Iterator[LabelledSeries]:
    """Secure Water Treatment: a week of normal operation teaches, four days of attacks judge."""
    names = ("SWaT_Dataset_Normal_v*.csv", "SWaT_Dataset_Attack_v*.csv")
    folder = find_folder(options, holds=names, what=_SWAT)
    normal, attack = (_newest(folder, name) for name in names)
    train, test = _table(normal, "Timestamp"), _table(attack, "Timestamp")
    said = _column(test, "Normal/Attack", attack).cast(pa.string()).to_pylist()
    labels = np.array([str(one).replace(" ", "").lower() == "attack" for one in said])
    skip = {"Timestamp", "Normal/Attack"}
    yield _train_then_test("SWaT", train, test, labels, skip=skip, interval_s=1.0)


def load_wadi(options: Options) -> Iterator[LabelledSeries]:
    """Water Distribution: 14 days of normal operation teach, two days of attacks judge."""
    names = ("WADI_14days*.csv", "WADI_attackdata*.csv")
    folder = find_folder(options, holds=names, what=_WADI)
    normal, attack = (_newest(folder, name) for name in names)
    train, test = _table(normal, "Row"), _table(attack, "Row")
    label = next((name for name in test.column_names if name.startswith("Attack LABLE")), None)
    if label is None:
        raise MissingDataError(f"{attack} has no column of labels; take {_WADI}")
    said = _numbers(test, [label])[:, 0]
    # The file ends with empty lines.
    rows = ~np.isnan(said)
    skip = {"Row", "Date", "Time", label}
    test = test.filter(pa.array(rows))
    yield _train_then_test("WADI", train, test, said[rows] == -1, skip=skip, interval_s=1.0)


def load_psm(options: Options) -> Iterator[LabelledSeries]:
    """Pooled Server Metrics: 13 weeks teach, 8 weeks judge; one row a minute."""
    names = ("train.csv", "test.csv", "test_label.csv")
    folder = find_folder(options, holds=names, what=_PSM)
    train, test, labels = (_table(folder / name, "timestamp_(min)") for name in names)
    said = _numbers(labels, ["label"])[:, 0] > 0
    skip = {"timestamp_(min)"}
    yield _train_then_test("PSM", train, test, said, skip=skip, interval_s=60.0)


def load_tsb_ad_u(options: Options) -> Iterator[LabelledSeries]:
    """Univariate series of TSB-AD."""
    return _tsb_ad(options, "TSB-AD-U")


def load_tsb_ad_m(options: Options) -> Iterator[LabelledSeries]:
    """Multivariate series of TSB-AD."""
    return _tsb_ad(options, "TSB-AD-M")


def _tsb_ad(options: Options, name: str) -> Iterator[LabelledSeries]:
    folder = find_folder(options, holds=[f"{name}/*_tr_*_1st_*.csv"], what=_TSB_AD) / name
    for index, path in enumerate(sorted(folder.glob("*.csv"))):
        match = _TSB_NAME.fullmatch(path.name)
        if match is None:
            raise MissingDataError(f"{path}: the name does not say _tr_N_1st_M.csv")
        if options.quick and index > 1:
            return
        table = _table(path, "")
        labels = _numbers(table, [table.column_names[-1]])[:, 0] > 0
        rows, n_train = _numbers(table, table.column_names[:-1]), int(match["train"])
        yield LabelledSeries(
            name=path.stem,
            set=name,
            half=half_of(index),
            rows=_known(rows, n_train),
            n_train=n_train,
            labels=labels,
            judged=np.ones(len(rows), dtype=bool),
            interval_s=60.0,  # unknown
            budget_rows=BUDGET_ROWS,
        )


def _train_then_test(
    name: str, train: pa.Table, test: pa.Table, labels: Mask, *, skip: set[str], interval_s: float
) -> LabelledSeries:
    columns = [one for one in train.column_names if one not in skip]
    if missing := [one for one in columns if one not in test.column_names]:
        raise MissingDataError(f"{name}: the test file lacks columns {missing[:5]}")
    learned = _numbers(train, columns)
    rows = np.concatenate([learned, _numbers(test, columns)])
    half: Half = "A"
    return LabelledSeries(
        name=name,
        set=name,
        half=half,
        rows=_known(rows, len(learned)),
        n_train=len(learned),
        labels=np.concatenate([np.zeros(len(learned), dtype=bool), labels]),
        judged=after_training(len(rows), len(learned)),
        interval_s=interval_s,
        budget_rows=BUDGET_ROWS,
    )


def _known(rows: Rows, n_train: int) -> Rows:
    known: Rows = rows[:, ~np.isnan(rows[:n_train]).all(axis=0)]
    return known


def _newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern))


def _table(path: Path, first_name: str) -> pa.Table:
    """A CSV file whose line of names begins with this name; lines before it are no table.

    Raises:
        MissingDataError: there is no such line, or the file is too long.
    """
    with path.open(encoding="utf-8-sig") as lines:
        head = [
            line.strip().strip('"') for _, line in zip(range(_HEADER_LINES), lines, strict=False)
        ]
    at = next((i for i, line in enumerate(head) if line.startswith(first_name)), None)
    if at is None:
        raise MissingDataError(f"{path}: no line of names that begins with {first_name!r}")
    read = pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(skip_rows=at),
        convert_options=pacsv.ConvertOptions(null_values=["", "NA", "NaN", "nan", "None"]),
    )
    if read.num_rows > MAX_ROWS:
        raise MissingDataError(f"{path}: {read.num_rows:,} rows, at most {MAX_ROWS:,} are read")
    return read.rename_columns([name.strip() for name in read.column_names])


def _column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise MissingDataError(f"{path}: no column {name!r}")
    return table[name]


def _numbers(table: pa.Table, columns: Sequence[str]) -> Rows:
    """Columns as numbers; what is missing, or a column of text, is NaN."""
    rows = np.full((table.num_rows, len(columns)), np.nan)
    for place, name in enumerate(columns):
        column = table[name]
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            rows[:, place] = column.cast(pa.float64()).to_numpy()
    return rows


SWAT = DataSet(name="swat", about="your SWaT files, the normal week teaches", load=load_swat)
WADI = DataSet(name="wadi", about="your WADI.A2 files, the 14 normal days teach", load=load_wadi)
PSM = DataSet(name="psm", about="your PSM files, train.csv teaches", load=load_psm)
TSB_AD_U = DataSet(
    name="tsb-ad-u", about="your TSB-AD-U files, first rows teach", load=load_tsb_ad_u
)
TSB_AD_M = DataSet(
    name="tsb-ad-m", about="your TSB-AD-M files, first rows teach", load=load_tsb_ad_m
)
