"""How a text is written is found in its first lines; what is found and may surprise is said."""

from __future__ import annotations

import pytest

from workers.data.errors import FileFormatError
from workers.data.file.dialect import find_dialect
from workers.data.layout import Layout

NAMES = ("time", "flow", "p")


def found(text, **keys):
    return find_dialect(text, Layout(**keys))


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("time,flow,p\n2026-01-01,1,2\n", ","),
        ("time;flow;p\n2026-01-01;1,5;2,5\n", ";"),
        ("time\tflow\tp\n2026-01-01\t1\t2\n", "\t"),
        ("time|flow|p\n2026-01-01|1|2\n", "|"),
        ("time, local;flow;p\n2026-01-01;1,5;2\n2026-01-02;1,5;2\n", ";"),
        ('time;"flow, raw";p\n2026-01-01;1;2\n', ";"),
        ("time;flow;p\n2026-01-01;1,5;2,5\n2026-01-", ";"),
        ("sep=;\ntime;flow;p\n2026-01-01;1,5;2,5\n", ";"),
    ],
)
def test_the_delimiter_is_the_one_that_parts_most_lines_alike(text, mark):
    dialect = found(text)

    assert dialect.delimiter == mark
    assert len(dialect.names) == 3


def test_a_decimal_comma_is_no_delimiter():
    """A title with one comma would make every line have two fields by comma."""
    dialect = found("Pump 1, hall 3\ntime;flow\n2026-01-01;1,5\n", decimal=",")

    assert (dialect.delimiter, dialect.names) == (";", ("time", "flow"))


@pytest.mark.parametrize(
    ("text", "line", "note"),
    [
        ("# a\n# b\ntime,flow,p\n2026-01-01,1,2\n", 3, "2 lines of comments (#)"),
        ("Logger 7\nSerial;12\n\ntime,flow,p\n2026-01-01,1,2\n", 4, "2 lines before the names"),
        ("time,flow,p\nh,l,bar\n2026-01-01,1,2\n", 2, "the row below the names holds units"),
        ("# time,flow,p\n2026-01-01,1,2\n2026-01-02,1,2\n", 1, "behind the comment mark '#'"),
        ("\n\ntime,flow,p\n2026-01-01,1,2\n", 3, ""),
        ("time,flow,p\n2026-01-01,1,2\n", 1, ""),
    ],
)
def test_what_stands_before_the_data_is_left_out_and_said(text, line, note):
    dialect = found(text)

    assert dialect.names == NAMES
    assert dialect.data_line == line
    assert note in "".join(dialect.notes)
    assert bool(dialect.notes) == bool(note)


def test_what_stands_before_the_data_can_be_said():
    text = "a,b,c\nd,e,f\ntime,flow,p\n-,-,-\n2026-01-01,1,2\n"

    dialect = found(text, skip_rows=2, units_row=True)

    assert (dialect.names, dialect.units, dialect.data_line) == (NAMES, ("-", "-", "-"), 4)
    assert found("time,flow,p\nh,l,bar\n2026-01-01,1,2\n", units_row=False).units == ()


def test_all_rows_without_a_value_below_the_names_are_left_out_and_the_first_holds_units():
    """Data loggers write units and then types, or how each value was made."""
    text = "time,flow,p\nUTC,m3/h,bar\n,Avg,Smp\n2026-01-01,1,2\n"

    for keys in ({}, {"units_row": True}):
        dialect = found(text, **keys)
        assert (dialect.units, dialect.data_line) == (("UTC", "m3/h", "bar"), 3)
        assert any("2 rows below the names" in note for note in dialect.notes)
    assert found(text, units_row=False).data_line == 1


def test_columns_parted_by_blanks_are_an_error_that_says_so():
    with pytest.raises(FileFormatError, match="--delimiter space") as caught:
        found("time flow p\n2026-01-01 1 2\n2026-01-02 1 2\n")
    with pytest.raises(FileFormatError, match=r"parted by blanks.*another mark") as of_many:
        found("time   flow   p\n2026-01-01   1   2\n")

    assert caught.value.ways_out == ({"delimiter": " "},)
    assert of_many.value.ways_out == ()


@pytest.mark.parametrize(
    "text",
    [
        '"time","flow\n[l/min]","p\n[bar]"\n2026-01-01,1,2\n',
        'time,"flow\n\n[l/min]", p   [bar]\n2026-01-01,1,2\n',
    ],
)
def test_names_may_run_over_lines(text):
    dialect = found(text)

    assert dialect.names == ("time", "flow [l/min]", "p [bar]")
    assert text.split("\n")[dialect.data_line] == "2026-01-01,1,2"


def test_a_quote_for_inches_opens_no_name():
    dialect = found('time,5" pipe,p\n2026-01-01,1,2\n2026-01-02,1,2\n')

    assert dialect.names == ("time", '5" pipe', "p")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("time,flow,p\n2026-01-01,1,2,\n2026-01-02,1,2,\n", (*NAMES, "")),
        ("time,flow,p,\n2026-01-01,1,2,\n", (*NAMES, "")),
        ("time,flow,p,\n2026-01-01,1,2\n2026-01-02,1,2\n", NAMES),
    ],
    ids=["lines of data", "all lines", "the line of names"],
)
def test_lines_may_end_with_a_delimiter(text, names):
    assert found(text).names == names


@pytest.mark.parametrize(
    "text",
    ["2026-01-01,1,2\n2026-01-02,1,2\n", "1767225600,1,2\n", "# x\n1,2026-01-01,5\n"],
)
def test_a_file_without_names_is_an_error_that_shows_how_they_look(text):
    with pytest.raises(FileFormatError, match=r"line \d holds data .*time,sensor_id,flow"):
        found(text)


def test_numbers_may_be_names():
    assert found("time,0,1\n2026-01-01,1,2\n").names == ("time", "0", "1")


def test_rows_that_a_hash_begins_tell_the_delimiter_too():
    rows = "".join(f"#{n};2026-01-0{n};1\n" for n in range(1, 9))

    assert found("# exported\nid (a, b, c, d);time;flow\n" + rows).delimiter == ";"
