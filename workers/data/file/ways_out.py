"""Keys of a layout that may help where a file cannot be read: what `advice` says in words. Pure.

One alone is as good as certain; of several, the likeliest comes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Any, NamedTuple

from workers.data.file import advice
from workers.data.layout import Layout

Keys = Mapping[str, Any]

_ISO = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ].*)?")
_GROUPED = r"[+-]?[1-9]\d{{0,2}}({mark}\d{{3}})+"
_GROUP_MARKS = "'\u2019_ \u00a0\u202f"
_COMMA = re.compile(r"[+-]?[\d.]*,\d+|[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_LABELS = re.compile(
    r"label|anomal|attack|fault|class|target|is_?(normal|bad|faulty)|ground_?truth", re.IGNORECASE
)
_TAGS = re.compile(
    r"tag|variable|param|metric|signal|channel|item|point|measure|field|name|quantity|kennung|messstelle|kanal",
    re.IGNORECASE,
)
_QUALITY = re.compile(r"quali|status|flag|valid", re.IGNORECASE)
_GOOD = ("good", "ok", "valid", "gut", "normal")
_MOST_WORDS = 20
_LEAP, _MOST_FORMS = 5, 4


class Point(Enum):
    """What points are in numbers that hold commas, too."""

    DECIMAL = "decimal"
    GROUPING = "grouping"
    UNKNOWN = "unknown"


class Words(NamedTuple):
    """A column whose values are words.

    Attributes:
        words: the most frequent first.
        tells_apart: whether rows of one time differ in it, and hardly ever repeat with it.
        numbers: the columns that would be channels, without it.
        has_sensor: whether another column is the sensor.
    """

    name: str
    words: Sequence[str]
    tells_apart: bool
    numbers: Sequence[str]
    has_sensor: bool


def for_times(samples: Sequence[str], layout: Layout) -> list[Keys]:
    """For times that cannot be read; samples are in the order of the file."""
    known = set(layout.time_format)
    forms = [form for form in advice.time_formats(samples) if form not in known]
    # A day that is read as a month makes leaps of a month from one midnight to the next.
    leaps = {form: _longest_step(samples, form) for form in forms} if len(forms) > 1 else {}
    shortest = min(leaps.values(), default=timedelta())
    steady = [form for form in forms if leaps.get(form, shortest) <= _LEAP * shortest]
    return [{"time_format": (form,)} for form in steady[:_MOST_FORMS]]


def _longest_step(samples: Sequence[str], form: str) -> timedelta:
    times = sorted({datetime.strptime(one, form).replace(tzinfo=None) for one in samples})  # noqa: DTZ007 - differences only
    return max((after - before for before, after in pairwise(times)), default=timedelta())


def is_time(samples: Sequence[str]) -> bool:
    """Whether texts look like times; numbers alone do not."""
    samples = [one for one in samples if one]
    if not samples or any(re.fullmatch(r"[\d.,+-]*\d[\d.,]*", one) for one in samples):
        return bool(samples) and all(re.fullmatch(r"\d\d?\.\d\d?\.\d{2,4}", one) for one in samples)
    return all(map(_ISO.fullmatch, samples)) or bool(advice.time_formats(samples))


def for_marks(words: Sequence[str], layout: Layout, *, point: Point) -> list[Keys]:
    """For numbers whose marks are not the expected ones; nothing if it is not that.

    Args:
        words: what cannot be read in a column.
        layout: how it was tried.
        point: what points are in the other values of the file.
    """
    words = [word.strip() for word in words]
    if layout.decimal == ",":
        grouped = all(re.fullmatch(_GROUPED.format(mark=r"\.") + r"(,\d*)?", one) for one in words)
        ways: list[Keys] = [{"thousands": "."}] if grouped else [{"decimal": "."}]
        return ways if grouped or all(map(_is_plain, words)) else []
    for mark in _GROUP_MARKS:
        if all(re.fullmatch(_GROUPED.format(mark=mark) + r"([.,]\d+)?", one) for one in words):
            comma = any("," in one for one in words)
            return [{"thousands": mark, **({"decimal": ","} if comma else {})}]
    if all(map(_COMMA.fullmatch, words)):
        return _for_commas(words, point)
    return []


def _for_commas(words: Sequence[str], point: Point) -> list[Keys]:
    if any(re.search(r"\d\.\d+,", one) for one in words):
        return [{"decimal": ",", "thousands": "."}]
    if any("." in one or one.count(",") > 1 for one in words):
        return [{"thousands": ","}]
    if point is Point.GROUPING or not all(
        re.fullmatch(_GROUPED.format(mark=","), one) for one in words
    ):
        return [{"decimal": ","}]
    return (
        [{"thousands": ","}] if point is Point.DECIMAL else [{"decimal": ","}, {"thousands": ","}]
    )


def _is_plain(word: str) -> bool:
    return re.fullmatch(r"[+-]?\d+\.\d+", word) is not None


def for_some_words(words: Sequence[str], *, alone_in_first_row: bool) -> list[Keys]:
    """For a few values among numbers that are none."""
    missing: list[Keys] = [{"missing": tuple(words)}] if len(words) < _MOST_WORDS else []
    if alone_in_first_row:
        return [{"units_row": True}, *missing]
    # "12.5 bar" is a value: to call it missing would lose it.
    return [] if any(re.match(r"[+-]?\d", word) for word in words) else missing


def for_column_of_words(column: Words) -> list[Keys]:
    """For a column in which most values are no numbers."""
    name, ignore = column.name, {"ignore": (column.name,)}
    if any(re.match(r"[+-]?\d", word) for word in column.words):
        return []  # "12.5 bar": numbers all the same, which no option reads
    good = next((word for word in column.words if word.casefold() in _GOOD), None)
    if good is not None and _QUALITY.search(name) and not _LABELS.search(name):
        return [{"quality": (f"{name}={good}",)}]
    labels = {"label": f"{name}={column.words[-1]}"} if column.words else ignore
    if _LABELS.search(name) and 1 < len(column.words) < _MOST_WORDS:
        return [labels] if len(column.words) == 2 else [labels, ignore]  # noqa: PLR2004 - normal or not
    if column.tells_apart:
        ways: list[Keys] = [] if column.has_sensor else [{"sensor": name}]
        if len(column.numbers) == 1:
            long = {"long": f"{name}={column.numbers[0]}"}
            ways = [long] if _TAGS.search(name) else [*ways, long]
        if ways:
            return ways
    few = 1 < len(column.words) <= 3  # noqa: PLR2004 - states, perhaps normal and anomalous
    return [ignore, labels] if few else [ignore]
