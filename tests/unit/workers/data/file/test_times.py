"""Times in every notation that plants have; what is none is named, never guessed."""

from __future__ import annotations

import pytest

from tests.support.files import SECOND_NS, stamp
from workers.data.errors import FileFormatError
from workers.data.file.rows import Reason

NOON_NS = 1_767_268_800_000_000_000
"""2026-01-01T12:00:00Z"""


def times(history):
    return [at for one in history.sensors for at in one.ts_ns.tolist()]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01 12:00:00", "2026-01-01T12:00:00Z", "2026-01-01t12:00:00z", "2026-01-01 12:00",
        "2026/01/01 12:00:00", "2026-1-1 12:00", " 2026-01-01 12:00:00 ", "2026-01-01T12:00:00,0",
        "2026-01-01T12:00:00.000000000Z", "2026-01-01T12:00:00.0000000000000Z",
        "2026-01-01 12:00:00 UTC", "2026-01-01T07:00:00-05:00", "2026-01-01T17:30:00+0530",
        "2026-01-01 14:00:00+02", "2026-01-01 14:00:00.000 +02:00", "2026-01-01 08:30:00-03:30",
        "1767268800", "1767268800.0", "1.7672688E9", "1767268800000", "1767268800000000",
        "1767268800000000000", "+1767268800",
    ],
)  # fmt: skip
def test_one_moment_is_read_from_every_notation(read, text):
    quoted = f'"{text}"'

    assert times(read(f"time,flow\n{quoted},1\n")) == [NOON_NS]


@pytest.mark.parametrize(
    ("text", "form", "ns"),
    [
        ("01.01.2026 12:00:00", "%d.%m.%Y %H:%M:%S", 0),
        ("01.01.2026 12:00:00,25", "%d.%m.%Y %H:%M:%S,%f", 250_000_000),
        ("01.01.2026 14:00:00 +0200", "%d.%m.%Y %H:%M:%S %z", 0),
        ("1/1/2026 12:00:00 PM", "%m/%d/%Y %I:%M:%S %p", 0),
        ("01-Jan-26 12:00:00", "%d-%b-%y %H:%M:%S", 0),
        ("20260101T120000", "%Y%m%dT%H%M%S", 0),
        ("20260101120000", "%Y%m%d%H%M%S", 0),
        ("Thu Jan 01 12:00:00 2026", "%a %b %d %H:%M:%S %Y", 0),
    ],
)
def test_a_form_can_be_said_and_the_error_says_which(read, text, form, ns):
    content = f'time;flow\n"{text}";1\n"{text}";1\n'

    assert times(read(content, time_format=form)) == [NOON_NS + ns]
    if not text[:8].isdigit():
        with pytest.raises(FileFormatError, match=r"row 1, column 'time': .*--time-format '") as e:
            read(content)
        assert form in str(e.value) or "%d/%m/%Y" in str(e.value)


def test_several_forms_are_tried_in_order(read):
    text = "time,flow\n01.01.2026 12:00:00,1\n01.01.2026 12:01,2\n"

    found = read(text, time_format=["%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M"])

    assert times(found) == [NOON_NS, NOON_NS + 60 * SECOND_NS]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30 00:00:00", "2026-01-01 25:00:00", "2026-01-01 23:59:61", "yesterday",
        "9999-12-31 23:59:59", "0001-01-01 00:00:00", "1677-01-01", "2262-12-01", "1e30",
        "2026-01-01 12:00:00+25:00x", "01.01.2026", "2026-01-01 12:30.5", "20260101", "2026",
        "2026-01-01 12:00:00 CEST", "99999999999999999999999999", "inf", "12:00:00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_named_with_its_row(read, text):
    """12:30.5 is half a minute in ISO 8601 and half a second elsewhere: not guessed."""
    with pytest.raises(
        FileFormatError, match=r"row \d, column 'time': .*--(time-format|epoch|missing|timezone)"
    ):
        read(f"time,flow\n{text},1\n{text},2\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-01-01 12:00:00 CEST", r"'CEST' is no zone.*--timezone"),
        ("9999-12-31 23:59:59", r"1678 and 2261\. If it means that there is none, --missing"),
    ],
)
def test_a_time_of_the_usual_form_is_told_no_other_form(read, text, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read(f"time,flow\n{text},1\n")

    assert "--time-format" not in str(caught.value)


def test_a_date_beside_a_clock_of_another_name_is_both(read):
    history = read("date,clock,flow\n2026-01-01,12:00:01,1\n2026-01-01,12:00:02,2\n")

    assert (len(history), history.channels) == (2, ("flow",))


def test_midnight_may_be_the_end_of_a_day(read):
    assert times(read("time,flow\n2026-01-01 24:00:00,1\n")) == [NOON_NS + 12 * 3_600 * SECOND_NS]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (45_950.000694, r"row 1, .*in 1970.*--epoch excel"),
        (0, r"in 1970.*--epoch s"),
        (739_900, r"in 1970"),
        (133_766_208_000_000_000, r"in 1974.*100 ns since"),
        (638_712_000_000_000_000, r"in 1990.*100 ns since the year 1"),
    ],
)
def test_numbers_that_are_no_epoch_are_asked_about(read, number, message):
    with pytest.raises(FileFormatError, match=message):
        read(f"time,flow\n{number},1\n")


def test_the_unit_is_that_of_the_first_number_even_below_an_empty_row(read):
    found = read("time,flow\n,1\nnull,1\n1767268800000,1\n", max_left_out=1)

    assert times(found) == [NOON_NS]
    assert found.left_out == {(Reason.NO_TIME, "pump"): 2}


def test_numbers_count_in_the_unit_given(read):
    assert times(read("time,flow\n0,1\n0.5,1\n2,1\n", epoch="s")) == [
        0, SECOND_NS // 2, 2 * SECOND_NS
    ]  # fmt: skip
    assert times(read("time;flow\n46023,5;1\n", epoch="excel", decimal=",")) == [NOON_NS]
    assert times(read("time,flow\n1767268800000,1\n", epoch="ms")) == [NOON_NS]


def test_date_and_clock_may_stand_in_two_columns(read):
    text = "Date,Clock,flow\n2026-01-01,12:00:00,1\n2026-01-01,12:00:01,2\n"

    assert times(read(text, time=["Date", "Clock"])) == [NOON_NS, NOON_NS + SECOND_NS]
    assert times(read(text.replace("Clock", "time"))) == [NOON_NS, NOON_NS + SECOND_NS]


def test_a_date_that_lacks_its_clock_is_not_midnight(read):
    with pytest.raises(FileFormatError, match="row 2, column 'date' and 'time': '2026-01-02' is"):
        read("date,time,flow\n2026-01-01,12:00:00,1\n2026-01-02,,2\n")


@pytest.mark.parametrize("word", ["", "NaT", "null", "NaN", "n/a"])
def test_rows_without_a_time_are_counted(read, word):
    found = read(f"time,flow\n{stamp(0)},1\n{word},2\n")

    assert found.left_out == {(Reason.NO_TIME, "pump"): 1}


def test_a_footer_can_be_told_to_be_no_time_and_the_error_says_how(read):
    text = f"time,flow\n{stamp(0)},1\nTotal,1\n"

    with pytest.raises(FileFormatError, match=r"row 2, .*--missing Total"):
        read(text)
    assert read(text, missing="Total").left_out == {(Reason.NO_TIME, "pump"): 1}
