"""A file that cannot be read leads to a layout with which it can, and nothing is guessed unsaid."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from workers.data.finding import Finding, Kind, as_options, grouped, with_keys
from workers.data.history import SensorRows
from workers.data.inspection import Assumption, Inspection, envelope, inspect_files
from workers.data.layout import Layout, SensorFrom, load_layout, make_layout
from workers.data.proposal import as_toml, propose

NOW_NS = 1_800_000_000 * 10**9
N = 60


def rows(form):
    """Lines of data, a second apart; the value is never a whole number."""
    return [form.format(n=n, m=n // 60, s=n % 60, k=n % 7 + 1, v=n % 7 + 0.25) for n in range(N)]


def german(value):
    return value.replace(".", ",")


@pytest.fixture
def inspect(tmp_path):
    def look(*texts, layout=None, encoding="utf-8", names=("pump.csv", "other.csv")):
        paths = []
        for name, text in zip(names, texts, strict=False):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode(encoding))
            paths.append(path)
        return inspect_files(paths, layout or Layout(), now_ns=NOW_NS)

    return look


def text(header, form):
    return "\n".join([header, *rows(form), ""])


CASES = {
    "a time of another name": (
        text("Zeit,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v}"),
        {"time": ("Zeit",)},
    ),
    "a date and a time of day": (
        text("Datum;Uhrzeit;flow", "20.01.2025;00:{m:02}:{s:02};{v}"),
        {"time": ("Datum", "Uhrzeit"), "time_format": ("%d.%m.%Y %H:%M:%S",)},
    ),
    "a form of the time": (
        text("time,flow", "20.01.2025 00:{m:02}:{s:02},{v}"),
        {"time_format": ("%d.%m.%Y %H:%M:%S",)},
    ),
    "day numbers of a spreadsheet": (
        "\n".join(["time,flow", *(f"{45_950 + n / 1440:.6f},1.5" for n in range(N)), ""]),
        {"epoch": "excel"},
    ),
    "a decimal comma": (
        german(text("time;flow", "2025-01-01T00:{m:02}:{s:02}Z;{v}")),
        {"decimal": ","},
    ),
    "words for missing values": (
        text("time,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v}")
        + "2025-01-01T01:00:00Z,Bad\n2025-01-01T01:00:01Z,I/O Timeout\n",
        {"missing": ("Bad", "I/O Timeout")},
    ),
    "words for labels": (
        text("time,flow,label", "2025-01-01T00:{m:02}:{s:02}Z,{v},Normal")
        + "2025-01-01T01:00:00Z,1.5,Attack\n",
        {"label": "label=Attack"},
    ),
    "text that is no channel": (
        text("time,flow,operator", "2025-01-01T00:{m:02}:{s:02}Z,{v},name{n}"),
        {"ignore": ("operator",)},
    ),
    "names of machines": (
        text("time,machine,flow,speed", "2025-01-01T00:{m:02}:{s:02}Z,A,{v},1.5")
        + "\n".join(rows("2025-01-01T00:{m:02}:{s:02}Z,B,{v},2.5")),
        {"sensor": "machine"},
    ),
    "one row per value": (
        text("time,tag,value", "2025-01-01T00:{m:02}:{s:02}Z,flow,{v}")
        + "\n".join(rows("2025-01-01T00:{m:02}:{s:02}Z,speed,{v}")),
        {"long": "tag=value"},
    ),
    "a column of quality": (
        text("time,flow,Status", "2025-01-01T00:{m:02}:{s:02}Z,{v},Good")
        + "2025-01-01T01:00:00Z,1.5,Uncertain\n",
        {"quality": ("Status=Good",)},
    ),
    "three digits behind a comma beside semicolons": (
        text("time;flow", "2025-01-01T00:{m:02}:{s:02}Z;4{k},{k}05"),
        {"decimal": ","},
    ),
    "thousands beside a decimal comma": (
        german(text("time;flow", "2025-01-01T00:{m:02}:{s:02}Z;{v}"))
        + "2025-01-01T01:00:00Z;1.039,5\n",
        {"decimal": ",", "thousands": "."},
    ),
    "blanks between thousands beside shorter values": (
        text("time;flow", "2025-01-01T00:{m:02}:{s:02}Z;{k} 000,35")
        + "2025-01-01T01:00:00Z;989,16\n",
        {"decimal": ",", "thousands": " "},
    ),
    "points between thousands though no decimal comma was told": (
        text("time;flow", "2025-01-01T00:{m:02}:{s:02}Z;{k}.000,35"),
        {"decimal": ",", "thousands": "."},
    ),
    "commas between thousands beside shorter values": (
        text("time,power", '2025-01-01T00:{m:02}:{s:02}Z,"1,{m:02}{k}"')
        + "2025-01-01T01:00:00Z,999\n",
        {"thousands": ","},
    ),
    "quality of a channel": (
        text("time,flow,flow_quality,p", "2025-01-01T00:{m:02}:{s:02}Z,{v},Good,{k}")
        + "2025-01-01T01:00:00Z,1.5,Bad,2\n",
        {"quality": ("flow:flow_quality=Good",)},
    ),
    "one row per value beside its quality": (
        text("Time;Tag;Value;Status", "2025-01-01T00:{m:02}:{s:02}Z;flow;{v};Good")
        + "\n".join(rows("2025-01-01T00:{m:02}:{s:02}Z;speed;{v};Good")),
        {"long": "Tag=Value", "quality": ("Status=Good",)},
    ),
    "one row per value beside the quality of OPC": (
        text("Time;Tag;Value;Quality", "2025-01-01T00:{m:02}:{s:02}Z;flow;{v};192")
        + "\n".join(rows("2025-01-01T00:{m:02}:{s:02}Z;speed;{v};192")),
        {"long": "Tag=Value", "quality": ("Quality=192",)},
    ),
    "thousands beside a decimal point": (
        text("time,flow,power", '2025-01-01T00:{m:02}:{s:02}Z,{v},"{k},250"'),
        {"thousands": ","},
    ),
}


@pytest.mark.parametrize(("content", "keys"), CASES.values(), ids=CASES)
def test_what_cannot_be_read_is_read_as_its_error_proposes(inspect, tmp_path, content, keys):
    found = inspect(content)
    written = tmp_path / "layout.toml"
    written.write_text(as_toml(propose(found), title="pump.csv"))

    assert found.error == ""
    assert {key: value for one in found.assumptions for key, value in one.keys.items()} == keys
    assert make_layout(load_layout(written)) == with_keys(Layout(), keys)
    assert as_options(keys) == " ".join(one.option for one in found.assumptions)
    assert inspect(content, layout=make_layout(load_layout(written))).assumptions == ()


def test_an_encoding_is_proposed_and_the_names_are_shown_in_it(inspect):
    found = inspect(text("time,Druck [°]", "2025-01-01T00:{m:02}:{s:02}Z,{v}"), encoding="cp1252")

    assert [one.option for one in found.assumptions] == ["--encoding cp1252"]
    assert {"encoding": "cp932"} in found.assumptions[0].others
    assert tomllib.loads(as_toml(propose(found), title="pump.csv")) == {}
    assert [one.channel for one in found.channels] == ["Druck [°]"]
    assert found.channels[0].unit == "°"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("温度センサー", "cp932"), ("温度传感器", "gb18030"), ("Zufluß [°C]", "cp1252")],
)
def test_the_likeliest_encoding_comes_first(inspect, name, encoding):
    found = inspect(text(f"time,{name}", "2025-01-01T00:{m:02}:{s:02}Z,{v}"), encoding=encoding)

    assert [one.keys for one in found.assumptions] == [{"encoding": encoding}]
    assert [one.channel for one in found.channels] == [name]


def test_day_or_month_first_is_for_the_user_to_decide(inspect):
    content = text("time,flow", "03/04/2025 00:{m:02}:{s:02},{v}")

    found = inspect(content)
    layout = as_toml(propose(found), title="pump.csv")

    assert tomllib.loads(layout) == {}
    assert '# time_format = ["%d/%m/%Y %H:%M:%S"]' in layout
    assert '# time_format = ["%m/%d/%Y %H:%M:%S"]' in layout


def test_days_that_follow_each_other_decide_which_is_the_month(inspect):
    lines = [f"04/0{1 + n // 20}/2025 {n % 20:02}:00:00,{n % 7 + 0.25}" for n in range(N)]

    found = inspect("\n".join(["time,flow", *lines, ""]))

    (assumed,) = found.assumptions
    assert (assumed.keys, assumed.others) == ({"time_format": ("%m/%d/%Y %H:%M:%S",)}, ())


@pytest.mark.parametrize(
    ("header", "lines", "ways"),
    [
        (
            "ts,name,value",
            "{c},{v}",
            [{"long": "name=value"}, {"sensor": "name"}, {"ignore": ("name",)}],
        ),
        ("ts,device,temp", "00:0f:0{c},{v}", [{"sensor": "device"}, {"ignore": ("device",)}]),
        (
            "ts,machine_status,temp",
            "{state},{v}",
            [
                {"label": ("machine_status=RECOVERING", "machine_status=BROKEN")},
                {"ignore": ("machine_status",)},
            ],
        ),
    ],
    ids=["tags of their own times", "addresses", "states that name the normal one"],
)  # fmt: skip
def test_what_words_are_is_for_the_user_where_times_do_not_tell(inspect, header, lines, ways):
    content = [header]
    for n in range(100):
        state = "BROKEN" if n == 50 else "RECOVERING" if 50 < n < 60 else "NORMAL"
        line = lines.format(c="ab"[n % 2], v=n % 7 + 0.25, state=state)
        content.append(f"2025-01-01T00:{n // 60:02}:{n % 60:02}Z,{line}")

    (assumed,) = inspect("\n".join([*content, ""])).assumptions

    assert [assumed.keys, *assumed.others] == ways


def test_numbers_with_units_behind_them_are_not_called_missing(inspect):
    found = inspect(text("time,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v} bar"))

    assert "'0.25 bar' is not a number" in found.error
    assert found.assumptions == ()


def test_a_day_past_the_twelfth_decides_which_comes_first(inspect):
    days = [
        f"04/{1 + n // 100:02}/2025 00:{n % 100 // 60:02}:{n % 60:02},{n % 7 + 0.25}"
        for n in range(2_500)  # the first thousand could be of months
    ]

    found = inspect("\n".join(["time,flow", *days, ""]))

    (assumed,) = found.assumptions
    assert (assumed.keys, assumed.others) == ({"time_format": ("%m/%d/%Y %H:%M:%S",)}, ())


def test_a_file_without_a_way_out_is_shown_as_it_stands(inspect):
    content = "\n".join(rows("2025-01-01T00:{m:02}:{s:02}Z,{v}"))

    found = inspect(content)

    assert "the names of the columns" in found.error
    assert found.head[0] == "2025-01-01T00:00:00Z,0.25"
    assert found.history is None


def test_a_history_that_is_too_short_to_learn_from_is_named(inspect):
    found = inspect(text("time,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v}"))

    assert [one.kind for one in found.findings] == [Kind.FEW_ROWS]


def test_files_that_overlap_are_told_apart_by_their_folder(inspect):
    one = text("time,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v}")

    found = inspect(one, one, names=("a/data.csv", "b/data.csv"))

    assert found.layout.sensor_from is SensorFrom.FOLDER
    assert [sensor.sensor for sensor in found.sensors] == ["a", "b"]


def test_errors_that_go_into_a_layout_name_no_folder(inspect, tmp_path):
    found = inspect(text("Zeit,flow", "2025-01-01T00:{m:02}:{s:02}Z,{v}"))

    assert found.assumptions[0].error.startswith("pump.csv: ")
    assert str(tmp_path) not in as_toml(propose(found), title="pump.csv")


def test_what_was_understood_is_what_is_in_the_file(inspect):
    content = text("time,sensor_id,flow [m3/h],speed", "2025-01-01T00:{m:02}:{s:02}+01:00,a,{v},")

    found = inspect(content)

    (sensor,) = found.sensors
    flow, speed = found.channels
    assert found.time_form == "ISO 8601, with a zone"
    assert (sensor.rows, sensor.interval.typical_ns, sensor.interval.irregular) == (N, 10**9, 0)
    assert (flow.unit, flow.low, flow.median, flow.high) == ("m3/h", 0.25, 3.25, 6.25)
    assert (flow.distinct, flow.missing, speed.missing, speed.distinct) == (7, 0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("header", "form", "said"),
    [
        ("time,flow", "2025-01-01 00:{m:02}:{s:02},{v}", "ISO 8601, without a zone, read as UTC"),
        ("time,flow", "17356896{s:02},{v}", "seconds since 1970, with a zone"),
    ],
)
def test_the_form_of_the_time_is_said_and_so_is_the_zone(inspect, header, form, said):
    assert inspect(text(header, form)).time_form == said


# -- the proposed file -----------------------------------------------------------------------------


def inspection(*findings, given=None, assumptions=()):
    given = given or Layout()
    return Inspection(
        paths=(Path("pump.csv"),),
        given=given,
        layout=given,
        assumptions=assumptions,
        error="",
        head=(),
        findings=findings,
    )


def finding(keys, *, certain=True, kind=Kind.SENTINEL, channel=""):
    return Finding(kind=kind, text="why", keys=keys, certain=certain, channel=channel)


def test_what_is_certain_is_a_key_and_what_is_not_a_comment():
    found = inspection(
        finding({"missing": ("-200",)}),
        finding({"missing": ("0",)}, certain=False),
        finding({"resample": "1s"}, certain=False),
    )

    layout = as_toml(propose(found), title="t")

    assert tomllib.loads(layout) == {"missing": ["-200"]}
    assert '# missing = ["-200", "0"]  # for the line above' in layout
    assert '# resample = "1s:mean"' in layout


def test_given_keys_stay_and_lists_grow():
    given = make_layout({"missing": ("Bad",), "channels": {"flow": "Q"}, "timezone": "UTC"})

    proposal = propose(inspection(finding({"missing": ("-200",)}), given=given))

    assert proposal.layout.missing == ("Bad", "-200")
    assert make_layout(tomllib.loads(as_toml(proposal, title="t"))) == proposal.layout


def test_findings_that_contradict_each_other_are_left_to_the_user():
    found = inspection(finding({"decimal": ","}), finding({"thousands": ","}))

    proposal = propose(found)

    assert (proposal.layout.decimal, proposal.layout.thousands) == (",", None)
    assert len(proposal.choices) == 1


def test_a_reason_is_no_wider_than_a_terminal():
    layout = as_toml(propose(inspection(finding({"missing": ("-200",)}, certain=False))), title="t")
    wordy = Finding(kind=Kind.SENTINEL, text="many words " * 30, keys={"missing": ("0",)})

    assert max(map(len, layout.splitlines())) <= 80
    assert max(map(len, as_toml(propose(inspection(wordy)), title="t").splitlines())) <= 80


def test_a_name_cannot_break_out_of_a_comment():
    assumed = Assumption(error='x\n[channels]\nevil = "1"\x07', keys={"epoch": "s"}, others=())

    layout = as_toml(propose(inspection(assumptions=(assumed,))), title="a\nb = 1")

    assert tomllib.loads(layout) == {"epoch": "s"}


def test_many_channels_of_one_kind_are_said_once():
    constant = [
        finding({"ignore": (name,)}, kind=Kind.CONSTANT, channel=name, certain=False)
        for name in "abcd"
    ]

    (together,) = grouped(constant)

    assert together.option == "--ignore a --ignore b --ignore c --ignore d"
    assert grouped(constant[:3]) == constant[:3]


@pytest.mark.parametrize(
    ("keys", "option"),
    [
        ({"missing": ("-200", "No Data")}, "--missing -200 --missing 'No Data'"),
        ({"delimiter": "\t"}, r"--delimiter '\t'"),
        ({"thousands": "\u00a0"}, "--thousands space"),
        ({"units_row": True}, "--units-row"),
        ({"units_row": False}, "--no-units-row"),
        ({"channels": {"flow": "Q", "p": "p"}}, "--channel flow=Q --channel p"),
    ],
)
def test_keys_are_shown_as_options_that_can_be_pasted(keys, option):
    assert as_options(keys) == option


def test_an_envelope_holds_every_extreme():
    values = np.arange(100.0)
    values[[17, 60]] = [-5, 500]
    values[80:] = np.nan
    rows_ = SensorRows(sensor="a", ts_ns=np.arange(100), values=values[:, None])

    low, high = envelope(rows_, 0, 10)

    assert (low[1], high[1]) == (-5, 19)
    assert (low[6], high[6]) == (61, 500)
    assert np.isnan(low[8:]).all()


def test_an_envelope_of_few_rows_leaves_pieces_empty():
    rows_ = SensorRows(sensor="a", ts_ns=np.arange(2), values=np.array([[1.0], [2.0]]))

    low, _ = envelope(rows_, 0, 4)

    assert low[0] == 1
    assert low[2] == 2
    assert np.isnan(low[[1, 3]]).all()
