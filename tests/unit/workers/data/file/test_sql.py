"""A number of a file that cannot be read is NULL, a missing one NaN, and none is misread."""

from __future__ import annotations

from math import isnan

import duckdb
import pytest

from workers.data.file import sql
from workers.data.layout import Layout


def number(text, **keys):
    """What a cell is read as."""
    database = duckdb.connect()
    database.execute("CREATE TABLE raw (c0 VARCHAR)")
    database.execute("INSERT INTO raw VALUES (?)", [text])
    expression = sql.number("c0", "VARCHAR", Layout(**keys))
    (found,) = database.execute(f"SELECT {expression} FROM raw").fetchall()
    database.close()
    return found[0]


@pytest.mark.parametrize(
    ("text", "value", "keys"),
    [
        ("1.5", 1.5, {}),
        (" +1e-3 ", 0.001, {}),
        ("\u22125", -5.0, {}),
        ("9007199254740993", 9007199254740992.0, {}),
        ("true", 1.0, {}),
        ("1,5", 1.5, {"decimal": ","}),
        ("1.039,5", 1039.5, {"decimal": ",", "thousands": "."}),
        ("1\u202f039", 1039.0, {"thousands": " "}),
        ("1'039.5", 1039.5, {"thousands": "'"}),
    ],
)
def test_a_number_is_what_it_says(text, value, keys):
    assert number(text, **keys) == value


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("1_000", {}),
        ("1_000", {"decimal": ","}),
        ("1.040", {"decimal": ","}),
        ("1.04", {"decimal": ",", "thousands": "."}),
        ("1,5", {}),
        ("1e999", {}),
        ("inf", {}),
        ("0x1F", {}),
        ("Bad", {}),
        ("bad", {"missing": "Bad"}),
    ],
)
def test_what_is_no_number_is_none(text, keys):
    assert number(text, **keys) is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", {}),
        (" N/A ", {}),
        (None, {}),
        ("Bad", {"missing": "Bad"}),
        ("-9999.00", {"missing": -9999}),
        ("-9,999e3", {"missing": -9999, "decimal": ","}),
    ],
)
def test_what_is_missing_is_nan(text, keys):
    assert isnan(number(text, **keys))
