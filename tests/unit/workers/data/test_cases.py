"""Files as they come out of real plants: each kind is read, or its error leads on.

Built after public reports. The same is asked of the files themselves, where `VIGIE_CASES` names
their folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.files import stamp, table
from workers.data.errors import FileFormatError
from workers.data.files import read_files
from workers.data.history import check_usable
from workers.data.layout import Layout, make_layout

GERMAN = "%d.%m.%Y %H:%M:%S"
FILES: dict[str, tuple[dict[str, Any], int, int | None, int | str | None]] = {
    # name: (layout, rows read, sensors, rows of them, or the option that the error names)
    "machine_id.csv.gz": ({}, 3_500, 1, "--sensor"),
    "machine_id.csv.gz ": ({"sensor": "machineID"}, 3_500, 5, 3_500),
    "ten_hz_seconds.csv.gz": ({}, 4_000, 1, "--resample 1s"),
    "newer_block_first.csv.gz": ({}, 2_000, 1, 2_000),
    "descending.csv.gz": ({}, 2_000, 1, 2_000),
    "rates.csv.gz": ({}, 7_500, 2, 7_500),
    "clean2_train.csv.gz": ({}, 2_000, 1, 2_000),
    "sentinel.csv": ({"missing": "-200"}, 2_000, 1, 2_000),
    "thousands_de.csv": ({"decimal": ","}, 0, 0, r"--thousands \."),
    "thousands_de.csv ": ({"decimal": ",", "thousands": "."}, 1_500, 1, 1_500),
    "excel_serial.csv": ({}, 0, 0, "--epoch excel"),
    "excel_serial.csv ": ({"epoch": "excel"}, 1_500, 1, 1_500),
    "p_index.parquet": ({}, 2_000, 1, 2_000),
    "counter_big.csv.gz": ({}, 2_000, 1, 2_000),
    "unit_brackets.csv": ({}, 1_500, 1, 1_500),
    "no_header.csv": ({}, 0, 0, "names"),
    "german_utf8.csv": ({"time": "Zeit", "decimal": ","}, 0, 0, "--time-format '%d.%m.%Y"),
    "german_utf8.csv ": (
        {"time": "Zeit", "decimal": ",", "time_format": GERMAN}, 1_500, 1, 1_500
    ),
    "german_cp1252.csv": ({"time": "Zeit", "decimal": ","}, 0, 0, "--encoding"),
    "german_cp1252.csv ": (
        {"time": "Zeit", "decimal": ",", "encoding": "cp1252", "time_format": GERMAN},
        1_500, 1, 1_500,
    ),
    "postgres_offset.csv": ({}, 1_500, 1, 1_500),
    "bad_quality.csv": ({}, 0, 0, "--missing"),
    "bad_quality.csv ": ({"missing": ["Bad", "I/O Timeout", "No Data"]}, 2_000, 1, 2_000),
    "comment_lines.csv": ({}, 1_500, 1, 1_500),
    "units_row.csv": ({}, 1_500, 1, 1_500),
    "long_machines.csv.gz": ({}, 0, 0, "--long"),
    "long_machines.csv.gz ": ({"long": "tag=value"}, 4_800, None, None),
    "label_words.csv": ({}, 0, 0, "--label label=Attack"),
    "label_words.csv ": ({"label": "label=Attack"}, 1_500, 1, 1_500),
    "space_time.csv": ({}, 1_500, 1, 1_500),
    "readings.parquet.gzip": ({}, 2_000, 1, 2_000),
    "counter_train.csv.gz": ({"rate": "volume_m3"}, 3_000, 1, 3_000),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_a_plant_is_read_or_its_error_leads_on(case):
    folder = os.environ.get("VIGIE_CASES")
    if not folder:
        pytest.skip(
            "VIGIE_CASES is not set: point it at the folder of cases (machine_id.csv.gz...)"
        )
    keys, read, sensors, rows = FILES[case]
    path = Path(folder) / case.strip()

    if isinstance(rows, str):
        with pytest.raises(FileFormatError, match=rows):
            check_usable(read_files([path], make_layout(keys)), 0.2)
        return
    history = read_files([path], make_layout(keys))
    assert history.read == read
    if rows is not None:
        assert (len(history.sensors), len(history)) == (sensors, rows)


def test_columns_in_another_order_are_known_by_their_names(make_file):
    folder = os.environ.get("VIGIE_CASES")
    paths = [
        Path(folder) / f"order_{n}.csv.gz"
        if folder
        else make_file(f"{names}\n{stamp(n)},{n},{n}\n", f"{n}.csv")
        for n, names in ((1, "time,flow,p"), (2, "time,p,flow"))
    ]

    assert len(read_files(paths, Layout(sensor_id="p")).channels) == 2


# -- the same kinds, made here ---------------------------------------------------------------------


def test_a_machine_id_that_is_a_number_is_not_merged_into_one_sensor(read):
    text = table([["time", "machineID", "flow"], *[[stamp(i // 5), i % 5, i] for i in range(100)]])

    with pytest.raises(FileFormatError, match=r"80 of 100 rows .*--sensor machineID"):
        check_usable(read(text), 0.2)
    history = read(text, sensor="machineID")
    assert [one.sensor for one in history.sensors] == list("01234")
    assert {len(one) for one in history.sensors} == {20}


def test_ten_rows_in_one_second_are_not_dropped_unsaid(read):
    text = table([["time", "flow"], *[[stamp(i // 10), i] for i in range(100)]])

    with pytest.raises(FileFormatError, match=r"90 of 100 rows .*--resample 1s"):
        check_usable(read(text), 0.2)


def test_sensors_of_different_rates_are_both_read(read):
    fast = [[stamp(i), "fast", i] for i in range(120)]
    slow = [[stamp(i * 60), "slow", i] for i in range(2)]

    history = read(table([["time", "sensor", "flow"], *fast, *slow]))

    assert {one.sensor: len(one) for one in history.sensors} == {"fast": 120, "slow": 2}


def test_a_sentinel_can_be_read_as_missing(read):
    text = table(
        [
            ["time", "flow", "p"],
            *[[stamp(i), -200 if i % 9 == 0 else i, -200.0] for i in range(1, 28)],
        ]
    )

    history = read(text, missing="-200")

    assert history.told_missing == {"flow": 3, "p": 27}
    assert np.isnan(history.sensors[0].values[:, 1]).all()


def test_german_thousands_are_no_decimals(read):
    text = f"time;rpm\n{stamp(0)};987\n{stamp(1)};1.039\n"

    with pytest.raises(FileFormatError, match=r"row 2, column 'rpm': '1\.039'.*--thousands \."):
        read(text, decimal=",")
    found = read(text, decimal=",", thousands=".")
    assert found.sensors[0].values[:, 0].tolist() == [987, 1039]


def test_day_numbers_of_a_spreadsheet_are_not_seconds_of_1970(read):
    text = "time,flow\n45950.000694,1\n45950.001389,2\n"

    with pytest.raises(FileFormatError, match=r"in 1970.*--epoch excel"):
        read(text)
    assert np.diff(read(text, epoch="excel").sensors[0].ts_ns).tolist() == [60_048_000_000]


def test_whole_numbers_beyond_2_to_the_53_are_the_nearest_floats(read):
    text = f"time,count\n{stamp(0)},9007199254740993\n{stamp(1)},18446744073709551615\n"

    assert read(text).sensors[0].values[:, 0].tolist() == [2.0**53, 2.0**64]


def test_a_unit_in_brackets_is_no_markup(read):
    assert read(f"time,Speed [/min]\n{stamp(0)},1\n").channels == ("Speed [/min]",)


def test_a_file_without_names_of_columns_shows_what_is_missing(read):
    with pytest.raises(FileFormatError, match=r"line 1 holds data .*time,sensor_id,flow"):
        read(f"{stamp(0)},1,2\n{stamp(1)},1,2\n")


def test_german_times_name_their_form_and_are_read_in_it(read):
    text = "Zeit;Durchfluß\n20.10.2025 00:00:00;1,5\n20.10.2025 00:00:01;1,5\n"

    with pytest.raises(FileFormatError, match=r"--time-format '%d\.%m\.%Y %H:%M:%S'"):
        read(text, time="Zeit", decimal=",")
    found = read(text, time="Zeit", decimal=",", time_format="%d.%m.%Y %H:%M:%S")
    assert len(found) == 2


def test_an_offset_without_minutes_is_read(read):
    found = read("time,flow\n2025-10-20 02:00:00.250000+02,1\n")

    assert found.sensors[0].ts_ns.tolist() == [1_760_918_400_250_000_000]


def test_words_of_bad_quality_name_the_option_and_are_counted(read):
    cells = ["Bad", "I/O Timeout", "No Data", *range(17)]
    text = table([["time", "flow"], *[[stamp(i), cell] for i, cell in enumerate(cells)]])

    with pytest.raises(FileFormatError) as caught:
        read(text)
    words = ["Bad", "I/O Timeout", "No Data"]
    assert all(word in str(caught.value) for word in words)
    assert read(text, missing=words).told_missing == {"flow": 3}


def test_an_export_with_one_value_per_row_is_pivoted(read):
    rows = [[stamp(i), m, tag, i] for i in range(3) for m in "ab" for tag in ("flow", "p")]
    text = table([["timestamp", "sensor_id", "tag", "value"], *rows])

    with pytest.raises(FileFormatError, match=r"'flow' is not a number.*--long"):
        read(text)
    history = read(text, long="tag=value")
    assert history.channels == ("flow", "p")
    assert [one.values.tolist() for one in history.sensors] == [[[0, 0], [1, 1], [2, 2]]] * 2


def test_a_counter_that_only_rises_can_be_its_rate(read):
    text = table([["time", "volume_m3"], *[[stamp(i), 1000 + 2 * i] for i in range(9)]])

    history = read(text, rate="volume_m3")

    assert history.sensors[0].values[1:, 0].tolist() == [2.0] * 8


def test_every_row_of_a_clean_history_is_there(read):
    text = table([["time", "flow"], *[[stamp(i), i] for i in range(200)]])

    history = read(text)

    check_usable(history, 0)
    assert (history.read, len(history), history.notes) == (200, 200, ())
    assert Layout().max_left_out == 0.2
