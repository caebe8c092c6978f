"""Files of readings: every layout that is read, every error that names its place."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workers.data.values import EpochUnit

from workers.data import files
from workers.data.files import FileFormatError, Layout, open_table, read_sensors
from workers.data.writer import open_readings

NOON_NS = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
SECOND = 1_000_000_000


@pytest.fixture
def make_file(tmp_path):
    def make(text, *, name="pump.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def read_one(path, layout=None):
    """The only batch of a small file."""
    (batch,) = open_table(path, layout).batches()
    return batch


def test_a_plain_csv_is_read_without_any_flag(make_file):
    path = make_file(
        "ts,sensor_id,flow,pressure,label\n"
        "2026-01-01T12:00:00Z,a,1.5,2,0\n"
        "2026-01-01T13:00:01+01:00,b,,3.25,4\n"
    )

    table = open_table(path)
    batch = read_one(path)

    assert table.channels == ("flow", "pressure")
    assert batch.ts_ns.tolist() == [NOON_NS, NOON_NS + SECOND]
    assert [batch.sensors[code] for code in batch.sensor_codes] == ["a", "b"]
    assert np.array_equal(batch.values, [[1.5, 2.0], [np.nan, 3.25]], equal_nan=True)
    assert batch.labels.tolist() == [False, True]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(make_file, mark):
    path = make_file("time;flow;speed\n2026-01-01;1;2\n".replace(";", mark))

    assert read_one(path).values.tolist() == [[1.0, 2.0]]


def test_a_delimiter_can_be_given(make_file):
    path = make_file("time~a,b\n2026-01-01~7\n")

    assert open_table(path, Layout(delimiter="~")).channels == ("a,b",)


def test_a_decimal_comma_is_read_when_asked_for(make_file):
    path = make_file("time;flow\n2026-01-01;1,75\n")

    assert read_one(path, Layout(decimal=",")).values.tolist() == [[1.75]]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("2026-01-01 12:00:00", EpochUnit.AUTO),
        ("2026-01-01T12:00:00.000000000Z", EpochUnit.AUTO),
        ("2026-01-01T07:00:00-05:00", EpochUnit.AUTO),
        ("2026-01-01T17:30:00+0530", EpochUnit.AUTO),
        ("1767268800", EpochUnit.AUTO),
        ("1767268800.0", EpochUnit.AUTO),
        ("1767268800000", EpochUnit.AUTO),
        ("1767268800000000", EpochUnit.AUTO),
        ("1767268800000000000", EpochUnit.AUTO),
        ("1767268800000", EpochUnit.MILLISECONDS),
    ],
)
def test_one_moment_is_read_from_every_notation(make_file, text, unit):
    path = make_file(f"time,flow\n{text},1\n")

    assert read_one(path, Layout(epoch=unit)).ts_ns.tolist() == [NOON_NS]


def test_small_numbers_count_in_the_unit_given(make_file):
    path = make_file("time,flow\n0,1\n0.5,1\n2,1\n")

    batch = read_one(path, Layout(epoch=EpochUnit.SECONDS))

    assert batch.ts_ns.tolist() == [0, SECOND // 2, 2 * SECOND]


@pytest.mark.parametrize("mark", ["", "NaN", "null", "NA", "n/a", " ", "-"])
def test_missing_values_are_nan(make_file, mark):
    path = make_file(f"time,flow,speed\n2026-01-01,{mark},1\n2026-01-02,2,1\n")

    assert np.isnan(read_one(path).values[:, 0]).tolist() == [True, False]


def test_columns_are_mapped_and_ordered_by_the_layout(make_file):
    path = make_file("when,P1,Q,unit\n2026-01-01,1,2,x\n")
    layout = Layout(time="when", sensor_id="p7", channels={"flow": "Q", "pressure": "P1"})

    batch = read_one(path, layout)

    assert open_table(path, layout).channels == ("flow", "pressure")
    assert batch.values.tolist() == [[2.0, 1.0]]
    assert batch.sensors == ("p7",)


def test_a_file_without_a_sensor_column_is_one_sensor_of_its_name(make_file):
    path = make_file(gzip.compress(b"time,flow\n2026-01-01,1\n"), name="pump-3.csv.gz")

    assert read_one(path).sensors == ("pump-3",)


def test_a_byte_order_mark_is_no_part_of_a_name(make_file):
    path = make_file("time,flow\n2026-01-01,1\n".encode("utf-8-sig"))

    assert read_one(path).ts_ns.tolist() == [NOON_NS - 12 * 3_600 * SECOND]


def test_labels_may_be_words(make_file):
    path = make_file("time,flow,anomaly\n2026-01-01,1,True\n2026-01-02,1,false\n2026-01-03,1,\n")

    assert read_one(path).labels.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,flow\n2026-01-01,1\n2026-01-02,high\n", r"row 2, column 'flow': 'high' is not a"),
        ("time,flow\n2026-01-01,1\n2026-01-02,inf\n", r"row 2, column 'flow': not a finite"),
        ("time,flow\n2026-01-01,1\nyesterday,2\n", r"row 2, column 'time': 'yesterday' is not a t"),
        ("time,flow\n,1\n", r"row 1, column 'time': '' is not a time"),
        ("time,flow,label\n2026-01-01,1,maybe\n", r"row 1, column 'label': 'maybe'"),
        ("time,sensor,flow\n2026-01-01,,1\n", r"row 1, column 'sensor': the sensor id is empty"),
        ("time,flow\n2026-01-01,1\n2026-01-02,1,5\n", r"Row #3: Expected 2 columns, got 3"),
        ("time,flow,flow\n2026-01-01,1,1\n", r"'flow' appears more than once"),
        ("when,flow\n2026-01-01,1\n", r"which column is the time\? .*'when', 'flow'; name it"),
        ("time\n2026-01-01\n", r"no column is left for a channel among 'time'"),
        ("", r"the file is empty"),
        (b"\x89PNG\xff\xfe,time", r"not UTF-8 text at byte 0"),
    ],
)
def test_an_unreadable_file_is_refused_with_its_place(make_file, text, message):
    path = make_file(text)

    with pytest.raises(FileFormatError, match=message) as caught:
        read_one(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"gone\.csv: no such file"):
        open_table(tmp_path / "gone.csv")


def test_a_column_that_is_not_there_is_named_with_those_that_are(make_file):
    path = make_file("time,flow\n2026-01-01,1\n")

    with pytest.raises(FileFormatError, match=r"no column 'Q' for the channel q; .*'time', 'flow'"):
        open_table(path, Layout(channels={"q": "Q"}))


def test_a_foreign_parquet_file_is_refused(make_file):
    with pytest.raises(FileFormatError, match=r"fake\.parquet"):
        open_table(make_file("time,flow\n", name="fake.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sensor": "a", "sensor_id": "b"}, "not both"),
        ({"decimal": ";"}, "decimal"),
        ({"delimiter": "::"}, "one character"),
    ],
)
def test_a_contradictory_layout_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Layout(**options)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([NOON_NS], pa.timestamp("ns", "UTC")),
        pa.array([NOON_NS // 1_000], pa.timestamp("us")),
        pa.array([NOON_NS], pa.timestamp("ns", "Europe/Paris")),
        pa.array([NOON_NS // SECOND]),
        pa.array([NOON_NS / SECOND]),
        pa.array(["2026-01-01T12:00:00Z"]),
    ],
    ids=str,
)
def test_parquet_times_of_every_type_are_read(tmp_path, times):
    table = pa.table({"ts": times, "sensor": pa.array(["a"]).dictionary_encode(), "x": [2]})
    pq.write_table(table, tmp_path / "t.parquet")

    batch = read_one(tmp_path / "t.parquet")

    assert batch.ts_ns.tolist() == [NOON_NS]
    assert batch.sensors == ("a",)
    assert batch.values.tolist() == [[2.0]]


def test_parquet_text_is_no_channel(tmp_path):
    pq.write_table(pa.table({"ts": [1], "x": [[1, 2]]}), tmp_path / "t.parquet")

    with pytest.raises(FileFormatError, match="column 'x': cannot read list"):
        read_one(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["big.csv", "big.parquet"])
def test_a_large_file_comes_in_bounded_batches(tmp_path, name, monkeypatch):
    monkeypatch.setattr(files, "BATCH_ROWS", 1_000)
    monkeypatch.setattr(files, "_CSV_BLOCK_BYTES", 100_000)
    ts_ns = NOON_NS + np.arange(5_500) * SECOND
    values = np.arange(11_000.0).reshape(5_500, 2)
    write(tmp_path / name, ts_ns, values)

    batches = list(open_table(tmp_path / name).batches())

    assert max(len(batch) for batch in batches) <= 1_000
    assert np.array_equal(np.concatenate([batch.values for batch in batches]), values)
    assert np.array_equal(np.concatenate([batch.ts_ns for batch in batches]), ts_ns)


def write(path, ts_ns, values, *, sensors=None, labels=None):
    channels = tuple(f"c{i}" for i in range(values.shape[1]))
    with open_readings(path, channels) as writer:
        writer.write(
            sensors=sensors or ["a"] * len(ts_ns),
            ts_ns=np.asarray(ts_ns, dtype=np.int64),
            values=values,
            labels=np.zeros(len(ts_ns), np.int8) if labels is None else labels,
        )


VALUES = st.one_of(st.just(np.nan), st.floats(-1e12, 1e12))


@pytest.mark.parametrize("name", ["back.csv", "back.parquet"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(NOON_NS, NOON_NS + 10**15),
            st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
            VALUES,
            VALUES,
            st.integers(0, 7),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path, name, rows):
    ts_ns, sensors, first, second, labels = zip(*rows, strict=True)
    values = np.array([first, second]).T
    path = tmp_path / name
    write(path, ts_ns, values, sensors=list(sensors), labels=np.array(labels, np.int8))

    batch = read_one(path)

    assert batch.ts_ns.tolist() == list(ts_ns)
    assert [batch.sensors[code] for code in batch.sensor_codes] == list(sensors)
    assert np.array_equal(batch.values, values, equal_nan=True)
    assert batch.labels.tolist() == [label != 0 for label in labels]


def test_sensors_are_gathered_over_files(make_file):
    one = make_file("ts,sensor,x\n1,a,1\n2,b,2\n3,a,3\n", name="1.csv")
    two = make_file("ts,sensor,x\n4,b,4\n5,c,5\n", name="2.csv")

    channels, sensors = read_sensors([one, two])

    assert channels == ("x",)
    assert [sensor.sensor for sensor in sensors] == ["a", "b", "c"]
    assert [sensor.values[:, 0].tolist() for sensor in sensors] == [[1, 3], [2, 4], [5]]
    assert (sensors[1].ts_ns // SECOND).tolist() == [2, 4]
    assert sensors[0].labels is None


def test_files_of_different_channels_are_refused(make_file):
    one, two = make_file("ts,x\n1,1\n", name="1.csv"), make_file("ts,y\n1,1\n", name="2.csv")

    with pytest.raises(FileFormatError, match=r"2\.csv: channels 'y' differ"):
        read_sensors([one, two])


def test_more_rows_than_fit_in_memory_are_refused(make_file):
    with pytest.raises(FileFormatError, match="more than 2 rows"):
        read_sensors([make_file("ts,x\n1,1\n2,2\n3,3\n")], max_rows=2)
