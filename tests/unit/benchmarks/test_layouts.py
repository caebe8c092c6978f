"""Sets that users bring, in small files as their publishers lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.sets import SETS, MissingDataError, Options
from benchmarks.detection.sets.layouts import (
    load_psm,
    load_swat,
    load_tsb_ad_m,
    load_tsb_ad_u,
    load_wadi,
)

NAMES = ("swat", "wadi", "psm", "tsb-ad-u", "tsb-ad-m")


def options(*paths: Path) -> Options:
    return Options(paths=paths)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_swat(folder: Path) -> None:
    header = " Timestamp,FIT101, MV101,P101,Normal/Attack\n"
    write(
        folder / "SWaT_Dataset_Normal_v1.csv",
        ",P1,,,\n"
        + header
        + "".join(f" 22/12/2015 4:30:{i:02d} PM,{i}.5,2,,Normal\n" for i in range(8)),
    )
    said = ["Normal", "Normal", "Attack", "A ttack", "Normal"]
    write(
        folder / "SWaT_Dataset_Attack_v0.csv",
        header
        + "".join(f" 28/12/2015 10:00:{i:02d} AM,{i},1,,{one}\n" for i, one in enumerate(said)),
    )


def test_swat_is_read_with_its_odd_names_labels_and_empty_columns(tmp_path):
    write_swat(tmp_path / "SWaT")

    (series,) = load_swat(options(tmp_path))

    assert series.rows.shape == (13, 2)  # P101 has no number
    assert series.n_train == 8
    assert series.rows[7].tolist() == [7.5, 2.0]
    assert np.flatnonzero(series.labels).tolist() == [10, 11]
    assert np.flatnonzero(series.judged).tolist() == [8, 9, 10, 11, 12]


def write_wadi(folder: Path, *, label: str = ",Attack LABLE (1:No Attack -1:Attack)") -> None:
    write(
        folder / "WADI_14days_new.csv",
        "Row,Date,Time,1_AIT_001_PV,2_LS_001_AL\n"
        + "".join(f"{i},9/25/17,00:00.0,{i}.25,\n" for i in range(6)),
    )
    flags = [1, -1, -1, 1]
    write(
        folder / "WADI_attackdataLABLE.csv",
        ",,,,,\n"
        f"Row ,Date ,Time,1_AIT_001_PV,2_LS_001_AL{label}\n"
        + "".join(
            f"{i},10/9/17,00:00.0,{i},{',' + str(flag) if label else ''}\n"
            for i, flag in enumerate(flags)
        )
        + (",,,,,\n" if label else ",,,,\n"),
    )


def test_wadi_is_read_below_its_empty_line_and_without_its_empty_end(tmp_path):
    write_wadi(tmp_path)

    (series,) = load_wadi(options(tmp_path))

    assert series.rows[:, 0].tolist() == [0.25, 1.25, 2.25, 3.25, 4.25, 5.25, 0.0, 1.0, 2.0, 3.0]
    assert series.rows.shape == (10, 1)
    assert np.flatnonzero(series.labels).tolist() == [7, 8]


def test_wadi_without_labels_names_the_release_that_has_them(tmp_path):
    write_wadi(tmp_path, label="")

    with pytest.raises(MissingDataError, match=r"no column of labels; take WADI\.A2"):
        next(load_wadi(options(tmp_path)))


def test_psm_keeps_missing_values_and_reads_labels_from_their_own_file(tmp_path):
    write(tmp_path / "train.csv", "timestamp_(min),feature_0,feature_1\n0,1,2\n1,,3\n2,4,5\n")
    write(tmp_path / "test.csv", "timestamp_(min),feature_0,feature_1\n3,1,2\n4,6,7\n")
    write(tmp_path / "test_label.csv", "timestamp_(min),label\n3,0\n4,1\n")

    (series,) = load_psm(options(tmp_path))

    assert np.isnan(series.rows[1, 0])
    assert series.labels.tolist() == [False, False, False, False, True]
    assert series.interval_s == 60.0


@pytest.mark.parametrize(
    ("load", "name", "columns"),
    [(load_tsb_ad_u, "TSB-AD-U", "Data"), (load_tsb_ad_m, "TSB-AD-M", "a,b")],
)
def test_tsb_ad_takes_the_training_rows_from_the_name_and_ranks_all_rows(
    tmp_path, load, name, columns
):
    width = columns.count(",") + 1
    for number in (1, 2):
        lines = [f"{columns},Label"]
        lines += [",".join([str(i)] * width + [str(int(i == 7))]) for i in range(9)]
        write(
            tmp_path / name / f"00{number}_SMD_id_1_Facility_tr_5_1st_7.csv",
            "\n".join(lines) + "\n",
        )

    first, second = load(options(tmp_path))

    assert (first.half, second.half) == ("A", "B")
    assert first.n_train == 5
    assert first.rows.shape == (9, width)
    assert first.judged.all()
    assert np.flatnonzero(first.alarm_judged).tolist() == [5, 6, 7, 8]
    assert np.flatnonzero(first.labels).tolist() == [7]


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_is_not_there_says_what_it_looked_for_and_where(tmp_path, name):
    with pytest.raises(
        MissingDataError, match=r"no folder with .*csv.*\(.*\.\w+.*; looked in"
    ) as said:
        list(SETS[name].load(options(tmp_path)))

    assert str(tmp_path) in str(said.value)


def test_a_file_without_its_line_of_names_is_said(tmp_path):
    write_swat(tmp_path)
    write(tmp_path / "SWaT_Dataset_Attack_v0.csv", "a,b\n1,2\n")

    with pytest.raises(MissingDataError, match="no line of names that begins with 'Timestamp'"):
        list(load_swat(options(tmp_path)))
