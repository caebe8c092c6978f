"""Which column is what: found by usual names, said by options, and never in silence."""

from __future__ import annotations

import pytest

from tests.support.files import stamp, table
from workers.data.errors import FileFormatError
from workers.data.files import read_files
from workers.data.layout import make_layout

ROW = f"{stamp(0)},1,2\n"


@pytest.mark.parametrize("name", ["ts", "Timestamp", " timestamp ", "datetime", "TIME", "Date"])
def test_the_time_is_known_by_usual_names(read, name):
    assert read(f"{name},flow,p\n{ROW}").channels == ("flow", "p")


@pytest.mark.parametrize("name", ["sensor_id", "Sensor", " sensor"])
def test_the_sensor_is_known_by_usual_names(read, name):
    assert read(f"time,{name},p\n{ROW}").sensors[0].sensor == "1"


@pytest.mark.parametrize("name", ["label", "Anomaly", "is_anomaly"])
def test_the_label_is_known_by_usual_names(read, name):
    assert read(f"time,{name},p\n{ROW}").sensors[0].labels.tolist() == [True]


def test_columns_are_mapped_and_ordered_by_the_layout(read):
    history = read(
        "when,P1,Q,unit\n2026-01-01,1,2,x\n",
        time="when", sensor_id="p7", channels={"flow": "Q", "pressure": "P1"},
    )  # fmt: skip

    assert history.channels == ("flow", "pressure")
    assert history.sensors[0].values.tolist() == [[2.0, 1.0]]
    assert history.sensors[0].sensor == "p7"


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("when,flow\n2026-01-01,1\n", {}, r"which column is the time\? .*'when', 'flow'; name it"),
        ("time\n2026-01-01\n", {}, r"no column is left for a channel among 'time'"),
        (f"time,a,b\n{ROW}", {"channels": {"q": "Q"}}, r"no column 'Q' for the channel q .*'a', "),
        (f"time,a,b\n{ROW}", {"time": "t"}, r"no column 't' for the time \(--time\)"),
        (f"time,a,b\n{ROW}", {"sensor": "s"}, r"no column 's' for the sensor"),
        (f"time,a,b\n{ROW}", {"label": "x=1"}, r"no column 'x' for the label"),
        (f"time,a,b\n{ROW}", {"quality": "q=1"}, r"no column 'q' for the quality"),
        (f"time,a,b\n{ROW}", {"quality": "q:b=1"}, r"no channel 'q' .*\(--quality\)"),
        (f"time,a,b\n{ROW}", {"ignore": "B"}, r"no column 'B' to leave out \(--ignore\).* 'b'"),
        (f"time,a,b\n{ROW}", {"rate": "r"}, r"no column 'r' for the rate"),
        (f"time,a,b\n{ROW}", {"long": "t=v"}, r"no column 't' for the tag"),
        (f"time,a,b\n{ROW}", {"sensor_from": "column"}, r"which column is the sensor\?"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(read, text, keys, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read(text, **keys)
    assert "pump.csv: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sensor_from", "sensor"),
    [
        ("pump-3.csv.gz", "file", "pump-3"),
        ("hall 4/x.csv", "folder", "hall 4"),
        ("sensor=pump-1/part-0.parquet", "folder", "pump-1"),
        (".csv", "file", ".csv"),
    ],
)
def test_the_sensor_may_be_the_name_of_the_file_or_folder(read, name, sensor_from, sensor):
    assert read(f"time,a,b\n{ROW}", name, sensor_from=sensor_from).sensors[0].sensor == sensor


def test_hive_folders_of_one_name_are_several_sensors(make_file):
    paths = [make_file(f"time,a,b\n{ROW}", f"sensor=p{i}/part-0.csv") for i in range(2)]

    history = read_files(paths, make_layout({"sensor_from": "folder"}))

    assert [one.sensor for one in history.sensors] == ["p0", "p1"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_a_row_number_of_pandas_is_left_out_and_said(read, name):
    rows = [[name, "time", "flow"], *[[i, stamp(i), 2] for i in range(5)]]

    history = read(table(rows))

    assert history.channels == ("flow",)
    assert "was left out: a row number that pandas wrote" in history.notes[0]


def test_a_column_without_a_name_is_a_channel_if_it_holds_values(read):
    """Two of them: the first is empty, the second is not."""
    history = read(f"time,flow,,\n{stamp(0)},1,,5\n{stamp(1)},2,,9.5\n")

    assert history.channels == ("flow", "Unnamed: 3")
    assert history.sensors[0].values[:, 1].tolist() == [5, 9.5]


def test_a_column_of_pandas_that_is_used_is_no_row_number(read):
    text = f"__index_level_0__,flow\n{stamp(0)},1\n{stamp(1)},2\n"

    assert len(read(text, time="__index_level_0__")) == 2
