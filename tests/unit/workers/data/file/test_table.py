"""Text, Parquet and Excel as tables: nothing is lost on the way, whatever the file looks like."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.files import (
    CLOCK,
    DATE,
    DATE_TIME,
    FIRST_DAY,
    SECOND_NS,
    START_NS,
    Cell,
    stamp,
    table,
    workbook,
)
from workers.data.errors import FileFormatError
from workers.data.file.rows import Reason
from workers.data.file.text import Lines
from workers.data.files import read_files
from workers.data.layout import Layout

PLAIN = "time,flow\n2026-01-01,1\n2026-01-02,2\n"
SECONDS = pa.array([START_NS, START_NS + SECOND_NS], pa.timestamp("ns", "UTC"))


def flows(history):
    """Values of the first channel of the only sensor."""
    (one,) = history.sensors
    return one.values[:, 0].tolist()


def parquet(columns):
    packed = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), packed)
    return packed.getvalue()


# -- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "time,flow\r2026-01-01,1\r\n2026-01-02,2",
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", "\t").encode("utf-16"),  # "Unicode text" of Excel
        PLAIN.encode("utf-32"),
        gzip.compress(PLAIN.encode()),
        gzip.compress(PLAIN[:20].encode()) + gzip.compress(PLAIN[20:].encode()),
        bz2.compress(PLAIN.encode()),
        lzma.compress(PLAIN.encode()),
        pa.compress(PLAIN.encode(), codec="zstd", asbytes=True),
    ],
    ids=[
        "CRLF", "CR", "mixed ends", "BOM", "UTF-16", "Unicode text", "UTF-32",
        "gzip", "gzip of two members", "bzip2", "xz", "zstd",
    ],
)  # fmt: skip
def test_ends_of_lines_marks_and_packing_are_told_by_the_bytes(read, text):
    assert flows(read(text)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        (PLAIN.encode("utf-16-le"), {}, r"zero bytes.*--encoding utf-16-le"),
        (PLAIN.encode("utf-16-le"), {"encoding": "utf-16"}, r"--encoding utf-16-le or utf-16-be"),
        ("time,flow\n2026-01-01,\u00b0\n".encode("cp1252"), {}, r"byte 21 \(0xb0\).*--encoding, "),
        (PLAIN, {"encoding": "klingon"}, r"no encoding 'klingon'; known are"),
        (PLAIN, {"encoding": "base64"}, r"no encoding 'base64'"),
        (gzip.compress(PLAIN.encode())[:-12], {}, r"ended before the end-of-stream marker"),
        (gzip.compress(PLAIN.encode() * 99)[:30] + b"xy" * 30, {}, r"pump\.csv: "),
        (parquet({"ts": [1], "x": [1]})[:-20], {}, r"pump\.csv: .*magic bytes"),
        (b"PK\x03\x04 not a workbook", {}, r"not an Excel file.*unpack a zip"),
        (b"", {}, r"the file is empty"),
        (b"\n \n\n", {}, r"the file is empty"),
    ],
)
def test_bytes_that_are_no_table_are_an_error_with_the_way_out(read, content, keys, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read(content, **keys)
    assert "vigie-data-" not in str(caught.value)


def test_cp1252_is_read_when_named(read):
    text = "Zeit;Zufluß\n2026-01-01;1,5\n".encode("cp1252")

    history = read(text, encoding="cp1252", time="Zeit", decimal=",")

    assert history.channels == ("Zufluß",)
    assert flows(history) == [1.5]


def test_a_row_with_too_few_or_too_many_fields_is_counted(read):
    text = table([["time", "flow"], *[[stamp(i), i] for i in range(20)]])

    history = read(text + "-- end --\n" + stamp(21) + ",1,2\n" + stamp(22))

    assert len(history) == 20
    assert history.read == 23
    assert history.left_out == {(Reason.FIELDS, ""): 3}


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_last_line_cut_off_inside_quotes_is_counted(read, ending):
    text = table([["time", "flow"], *[[f'"{stamp(i)}"', i] for i in range(20)]])

    history = read(text + '"2026-01-0' + ending)

    assert (history.read, len(history)) == (21, 20)


def test_a_quote_that_nothing_closes_swallows_no_rows_unsaid(read):
    """The quote of line 3 is closed by the one of line 9: the lines between would be one field."""
    lines = [f"{stamp(i)},x,{i}" for i in range(40)]
    lines[1] = f'{stamp(1)},"x,1'
    lines[7] = f'{stamp(7)},x,7"'

    with pytest.raises(FileFormatError, match=r"line 3: a quoted field is not closed"):
        read("time,note,flow\n" + "\n".join(lines), ignore="note", max_left_out=1)


def test_ends_of_lines_inside_quotes_are_no_rows_and_are_said(read):
    text = f'time,note,flow\n{stamp(0)},"a\n\nb",1\n{stamp(1)},c,2\n'

    history = read(text, ignore="note")

    assert flows(history) == [1.0, 2.0]
    assert history.notes == ("2 ends of lines stand inside quoted fields",)


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_ends_of_lines_end_a_line(read, mark):
    """`str.splitlines` ends lines at these as well: the first row of data would be gone."""
    assert flows(read(f"Plant{mark}7\n{PLAIN}")) == [1.0, 2.0]


def test_lines_that_repeat_the_names_are_left_out_and_said(read):
    history = read(PLAIN + "time,flow\n2026-01-03,3\n")

    assert flows(history) == [1.0, 2.0, 3.0]
    assert history.notes == ("left out: 1 line with the names of the columns again",)


def test_a_field_longer_than_any_buffer_is_read(read):
    history = read(f"time,note,flow\n{stamp(0)},{'x' * 300_000},1\n", ignore="note")

    assert flows(history) == [1.0]


def test_a_file_larger_than_any_buffer_has_all_its_rows(read):
    n = 400_000
    lines = [f"{START_NS + i * SECOND_NS},{i}" for i in range(n)]
    for bad in range(0, n, 50_000):
        lines[bad] += ",too,many"

    history = read("ts,flow\n" + "\r\n".join(lines))

    assert history.read == n
    assert history.left_out == {(Reason.FIELDS, ""): 8}
    kept = np.delete(np.arange(n), np.arange(0, n, 50_000))
    assert np.array_equal(history.sensors[0].values[:, 0], kept)
    assert np.array_equal(history.sensors[0].ts_ns, START_NS + kept * SECOND_NS)


def test_columns_have_a_limit(read):
    names = [f"c{i}" for i in range(4_096)]

    with pytest.raises(FileFormatError, match="4097 columns, at most 4096"):
        read(f"ts,{','.join(names)}\n" + ",".join("1" * 4_097))
    assert len(read(f"ts,{','.join(names[:200])}\n{stamp(0)}" + ",1" * 200).channels) == 200


def test_names_of_columns_are_data(read):
    names = ["Speed [/min]", "a'b; DROP TABLE raw", 'say ""hi""', "50 %", "c0"]
    text = "time," + ",".join(f'"{name}"' for name in names) + f"\n{stamp(0)},1,2,3,4,5\n"

    history = read(text)

    assert history.channels == tuple(name.replace('""', '"') for name in names)
    assert history.sensors[0].values.tolist() == [[1, 2, 3, 4, 5]]
    assert history.units == {"Speed [/min]": "/min"}


def test_a_name_given_twice_is_an_error_that_says_which(read):
    with pytest.raises(FileFormatError, match=r"'flow' appears more than once"):
        read("time,flow, flow\n2026-01-01,1,1\n")


@pytest.mark.parametrize("name", ["[1]*?'\" b.csv", "a b\u00e9.csv", "x.parquet", "noending"])
def test_the_name_of_a_file_is_no_pattern_and_no_format(read, name):
    assert flows(read(PLAIN, name)) == [1.0, 2.0]


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")

    for name, message in (
        ("pipe", "not a file"), (".", "not a file"), ("gone", "no such file"), ("x", "no such file")
    ):  # fmt: skip
        with pytest.raises(FileFormatError, match=message):
            read_files([tmp_path / name])


def test_a_link_is_read(make_file, tmp_path):
    (tmp_path / "link.csv").symlink_to(make_file(PLAIN))

    assert flows(read_files([tmp_path / "link.csv"])) == [1.0, 2.0]


# -- Parquet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gzip", "a.csv", "a"])
def test_parquet_is_told_by_its_bytes(read, name):
    assert flows(read(parquet({"ts": SECONDS, "flow": [1, 2]}), name)) == [1.0, 2.0]


@pytest.mark.parametrize(
    "column",
    [
        *(pa.array([1, 0]).cast(kind) for kind in (
            pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
            pa.float32(), pa.float64(), pa.bool_(), pa.decimal128(30, 3), pa.decimal256(60, 2),
        )),
        pa.array(np.array([1, 0], np.float16)),
        pa.array(["1.0", "0"]),
        pa.array(["1", "0"], pa.large_string()),
        pa.array(["1", "0"]).dictionary_encode(),
        pa.array([b"1", b"0"]),
    ],
    ids=lambda column: str(column.type)[:20],
)  # fmt: skip
def test_parquet_numbers_of_every_type_are_read(read, column):
    assert flows(read(parquet({"ts": SECONDS, "x": column}))) == [1.0, 0.0]


@pytest.mark.parametrize(
    "times",
    [
        SECONDS,
        SECONDS.cast(pa.timestamp("ns")),
        SECONDS.cast(pa.timestamp("us", "Europe/Paris")),
        SECONDS.cast(pa.timestamp("us")),
        SECONDS.cast(pa.timestamp("ms")),
        SECONDS.cast(pa.timestamp("s")),
        SECONDS.cast(pa.int64()),
        pa.array([START_NS // 10**9, START_NS // 10**9 + 1]),
        pa.array([START_NS / 1e9, START_NS / 1e9 + 1]),
        pa.array([Decimal(START_NS).scaleb(-9), Decimal(START_NS + 10**9).scaleb(-9)]),
        pa.array([stamp(0), stamp(1)]),
        pa.array([stamp(0).encode(), stamp(1).encode()]),
    ],
    ids=lambda times: str(times.type),
)
def test_parquet_times_of_every_type_are_read(read, times):
    (one,) = read(parquet({"ts": times, "x": [1, 2]})).sensors

    assert one.ts_ns.tolist() == [START_NS, START_NS + SECOND_NS]


def test_pandas_times_keep_their_zone_and_their_nanoseconds(read):
    """They are of a type of their own in DuckDB, which casts it to microseconds without a zone."""
    times = pa.array([START_NS + 123], pa.timestamp("ns", "UTC"))

    (one,) = read(parquet({"ts": times, "x": [1]}), timezone="Europe/Berlin").sensors

    assert one.ts_ns.tolist() == [START_NS + 123]


def test_parquet_times_without_a_zone_are_of_the_one_given(read):
    times = SECONDS.cast(pa.timestamp("ns"))

    (one,) = read(parquet({"ts": times, "x": [1, 2]}), timezone="Europe/Berlin").sensors

    assert one.ts_ns.tolist() == [START_NS - 3_600 * SECOND_NS, START_NS - 3_599 * SECOND_NS]


def test_times_in_single_precision_are_refused(read):
    with pytest.raises(FileFormatError, match="'ts' holds times in single precision"):
        read(parquet({"ts": pa.array([1.767e9], pa.float32()), "x": [1]}))


def test_parquet_columns_that_hold_no_numbers_are_named_and_can_be_left_out(read):
    content = parquet({"ts": SECONDS, "x": [1, 2], "tags": [[1], [2]], "at": SECONDS})

    with pytest.raises(FileFormatError, match=r"'tags' holds BIGINT\[\].*--ignore 'tags'"):
        read(content)
    assert read(content, ignore=["tags", "at"]).channels == ("x",)


def test_parquet_names_are_as_in_the_file(read):
    """DuckDB calls the second of two that differ in case by a name of its own."""
    assert read(parquet({"ts": SECONDS, "X": [1, 2], "x": [3, 4]})).channels == ("X", "x")
    twice = pa.table([SECONDS, pa.array([1, 2]), pa.array([1, 2])], names=["ts", "x", "x"])
    with pytest.raises(FileFormatError, match="'x' appears more than once"):
        read(parquet(twice))


def test_a_parquet_file_without_rows_is_no_error(read):
    history = read(parquet({"ts": SECONDS[:0], "x": pa.array([], pa.float64())}))

    assert (history.read, history.sensors, history.channels) == (0, (), ("x",))


def test_a_parquet_column_without_values_is_a_channel_without_values(read):
    (one,) = read(parquet({"ts": SECONDS, "x": [1, 2], "y": pa.array([None, None])})).sensors

    assert np.isnan(one.values[:, 1]).all()


# -- Excel -----------------------------------------------------------------------------------------


def test_a_workbook_is_read_with_a_title_above_and_empty_cells(read):
    rows: list[list[Cell]] = [
        ["Plant 7"], [], ["time", "flow", "ok"],
        [(FIRST_DAY, DATE_TIME), 1.5, True],
        [(FIRST_DAY + 1 / 86_400, DATE_TIME), 2, True],
        [(FIRST_DAY + 2 / 86_400, DATE_TIME), None, True],
    ]  # fmt: skip

    history = read(workbook(rows, sheets=("A", "B")), "a.xlsx")

    (one,) = history.sensors
    assert one.ts_ns.tolist() == [START_NS + i * SECOND_NS for i in range(3)]
    assert np.array_equal(one.values, np.array([[1.5, 1], [2, 1], [np.nan, 1]]), equal_nan=True)
    assert history.notes == (
        "1 row above the names of the columns left out", "read the sheet 'A' of 2"
    )  # fmt: skip


def test_times_of_a_workbook_are_exact_to_the_tenth_of_a_second(read):
    rows: list[list[Cell]] = [["time", "flow"]]
    rows += [[(FIRST_DAY + i / 864_000, DATE_TIME), i] for i in range(2_000)]

    (one,) = read(workbook(rows), "a.xlsx").sensors

    assert set(np.diff(one.ts_ns).tolist()) == {SECOND_NS // 10}


def test_a_workbook_with_date_and_clock_apart_and_a_row_of_units(read):
    rows: list[list[Cell]] = [
        ["date", "time", "flow"], ["", "", "l/min"],
        [(FIRST_DAY, DATE), (0.5, CLOCK), 1.5], [(FIRST_DAY, DATE), (0.75, CLOCK), "2,5"],
    ]  # fmt: skip

    history = read(workbook(rows), "a.xlsx", decimal=",")

    assert flows(history) == [1.5, 2.5]
    assert history.sensors[0].ts_ns.tolist() == [
        START_NS + hours * 3_600 * SECOND_NS for hours in (12, 18)
    ]
    assert history.units == {"flow": "l/min"}


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        ([["time", "flow"], [FIRST_DAY, 1]], {}, r"45?46023 would be .*--epoch excel"),
        ([["time", "flow"], [FIRST_DAY, 1]], {"sheet": "X"}, r"no sheet 'X'; the file has Sheet1"),
        ([], {}, r"the sheet is empty"),
    ],
)
def test_a_workbook_that_cannot_be_read_says_why(read, rows, keys, message):
    with pytest.raises(FileFormatError, match=message.replace("45?", "")):
        read(workbook(rows), "a.xlsx", **keys)


def test_a_sheet_and_day_numbers_can_be_named(read):
    rows: list[list[Cell]] = [["time", "flow"], [FIRST_DAY, 1], [FIRST_DAY + 1 / 86_400, 2]]

    history = read(workbook(rows, sheets=("A", "B")), "a.xlsx", sheet="B", epoch="excel")

    assert history.sensors[0].ts_ns.tolist() == [START_NS, START_NS + SECOND_NS]
    assert Layout().sheet is None


def test_lines_that_no_row_accounts_for_are_an_error(read, monkeypatch):
    """As if DuckDB dropped a row without a word, which it did under some of its options."""
    count = Lines.count

    def one_more(self, pieces):
        yield from count(self, pieces)
        self.filled += 1

    monkeypatch.setattr(Lines, "count", one_more)

    with pytest.raises(FileFormatError, match="of 3 lines of data, 2 were read"):
        read(PLAIN)
