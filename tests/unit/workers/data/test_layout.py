"""A layout says the same in options and in `layout.toml`; contradictions are errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.files import stamp, table
from workers.data.errors import FileFormatError
from workers.data.layout import (
    LabelColumn,
    Layout,
    Long,
    Quality,
    Resample,
    load_layout,
    make_layout,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Z", "C"]), min_size=1)
PLAIN = TEXT.filter(lambda text: "=" not in text and ":" not in text)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
LAYOUTS = st.builds(
    Layout,
    time=TEXTS,
    time_format=TEXTS,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    epoch=st.sampled_from(["auto", "s", "excel"]),
    sensor_from=st.sampled_from([None, "file", "folder", "column"]),
    label=st.none()
    | st.builds(LabelColumn, PLAIN, st.lists(PLAIN, max_size=3, unique=True).map(tuple)),
    channels=st.dictionaries(TEXT, TEXT, max_size=3),
    long=st.none() | st.builds(Long, PLAIN, PLAIN),
    quality=st.lists(st.builds(Quality, PLAIN, PLAIN, st.none() | PLAIN), max_size=2).map(tuple),
    missing=TEXTS,
    resample=st.none()
    | st.builds(Resample, st.integers(1, 10**15), st.sampled_from(["mean", "hold"])),
    delimiter=st.sampled_from([None, "\t", ";"]),
    thousands=st.sampled_from([None, " ", "'"]),
    units_row=st.sampled_from([None, True, False]),
    max_left_out=st.floats(0, 1),
)


@given(layout=LAYOUTS)
def test_a_layout_is_the_same_after_its_file(tmp_path_factory, layout):
    path = tmp_path_factory.getbasetemp() / "layout.toml"
    path.write_text(layout.to_toml(), encoding="utf-8")

    assert make_layout(load_layout(path)) == layout


def test_defaults_are_not_written():
    assert Layout().to_toml() == ""


def test_a_path_is_relative_to_its_file(tmp_path):
    path = tmp_path / "layout.toml"
    path.write_text('label_ranges = "faults.csv"\n')

    assert make_layout(load_layout(path)).label_ranges == tmp_path / "faults.csv"


@pytest.mark.parametrize("number", [-9999, -9999.123456, 9_999_999, 1e30])
def test_a_number_that_means_missing_keeps_all_its_digits(number):
    (word,) = Layout(missing=[number]).missing

    assert float(word) == number


@pytest.mark.parametrize(
    ("text", "long"),
    [("1s", Resample(10**9)), ("500ms:last", Resample(5 * 10**8, "last")),
     ("5min", Resample(300 * 10**9)), ("1h:hold", Resample(3_600 * 10**9, "hold")),
     ("0.5", Resample(5 * 10**8)), ("1d max", Resample(86_400 * 10**9, "max"))],
)  # fmt: skip
def test_an_interval_has_a_unit_and_a_rule(text, long):
    assert Layout(resample=text).resample == long
    assert Layout(resample=str(long)).resample == long


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sensor": "a", "sensor_id": "b"}, "sensor and sensor_id contradict"),
        ({"sensor": "a", "sensor_from": "folder"}, "contradict"),
        ({"channel_from": "file", "long": "tag=value"}, "channel_from and long contradict"),
        ({"channel_from": "file", "sensor_from": "file"}, "both the sensor and the channel"),
        ({"channel_from": "column"}, "channel-from"),
        ({"decimal": ";"}, "decimal"),
        ({"decimal": ",", "thousands": ","}, "decimal mark and the thousands mark"),
        ({"delimiter": "::"}, "one character"),
        ({"delimiter": '"'}, "no quote"),
        ({"comment": "\n"}, "no quote or end of a line"),
        ({"epoch": "hours"}, "epoch"),
        ({"timezone": "Europe/Bonn"}, "no time zone 'Europe/Bonn'"),
        ({"long": "tag"}, "TAG=VALUE"),
        ({"quality": "q"}, "COLUMN=GOOD"),
        ({"resample": "1fortnight"}, "not an interval"),
        ({"resample": "0s"}, "not an interval"),
        ({"resample": "nan"}, "not an interval"),
        ({"resample": "1s:median"}, "one of mean"),
        ({"max_left_out": 2}, "max-left-out"),
        ({"skip_rows": -1}, "skip-rows"),
        ({"colour": "red"}, "no such key; known are time, "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(keys, message):
    with pytest.raises(ValueError, match=message):
        make_layout(keys)


@pytest.mark.parametrize("content", [b"time = ", b"\xff\xfe", b"x" * 1_000_001])
def test_a_file_that_is_no_layout_is_named(tmp_path, content):
    path = tmp_path / "layout.toml"
    path.write_bytes(content)

    with pytest.raises(FileFormatError, match=r"layout\.toml: "):
        load_layout(path)
    with pytest.raises(FileFormatError, match=r"gone\.toml: "):
        load_layout(Path("gone.toml"))


def test_several_words_of_a_label_are_of_one_column():
    label = make_layout({"label": ["state=BROKEN", "state=RECOVERING"]}).label

    assert label == LabelColumn("state", ("BROKEN", "RECOVERING"))
    for told in (["state=BROKEN", "other=1"], ["state", "state=BROKEN"]):
        with pytest.raises(ValueError, match="words of one column"):
            make_layout({"label": told})


def test_a_sensor_of_two_columns_is_joined_and_lacks_an_id_without_one_of_them(read):
    rows = [[stamp(0), 1, "a", 5], [stamp(0), 1, "b", 6], [stamp(1), 2, "", 7]]
    text = table([["time", "line", "cell", "flow"], *rows])

    history = read(text, sensor=("line", "cell"))

    assert history.channels == ("flow",)
    assert [one.sensor for one in history.sensors] == ["1/a", "1/b"]
    assert history.left_out == {("no sensor id", ""): 1}
    assert make_layout({"sensor": "line"}).sensor == ("line",)
