"""Keys of a layout that may help where a file cannot be read; `advice` says them in words. Pure.

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
    r"tag|variable|param|metric|signal|channel|item|point|measure|field|^name$|quantity|kennung|messstelle|"
    r"kanal",
    re.IGNORECASE,
)
_QUALITY = re.compile(r"quali|status|flag|valid", re.IGNORECASE)
_VALUES = re.compile(r"val(ue)?|wert|messwert|reading|valeur", re.IGNORECASE)
_SENSORS = re.compile(
    r"(machine|device|sensor|asset|pump|motor|engine|turbine|station|node|equipment|unit|meter)"
    r"[ _-]?(id|no|nr|num|number|name|code)?",
    re.IGNORECASE,
)
_GOOD = ("good", "ok", "valid", "gut", "192")
"""Words of good quality; OPC has a number. Not normal: that is a state, whose faults are wanted."""
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
        good: the word of good quality of each of `numbers` that says it.
    """

    name: str
    words: Sequence[str]
    tells_apart: bool
    numbers: Sequence[str]
    has_sensor: bool
    good: Mapping[str, str] = {}


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
        if layout.thousands is not None:
            return []
        ways: list[Keys] = [{"thousands": "."}] if grouped else [{"decimal": "."}]
        return ways if grouped or all(map(_is_plain, words)) else []
    for mark in _GROUP_MARKS if layout.thousands is None else ():
        whole = re.compile(_GROUPED.format(mark=mark) + r"([.,]\d+)?")
        parted = [one for one in words if whole.fullmatch(one)]
        # 989,16 stands beside 1 000,35: it has nothing to part.
        others = [one for one in words if one not in parted]
        if parted and all(re.fullmatch(r"[+-]?\d{1,3},\d+", one) for one in others):
            comma = any("," in one for one in words)
            return [{**({"decimal": ","} if comma else {}), "thousands": mark}]
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
    finite = (word for word in words if not advice.INFINITE.fullmatch(word))
    return [] if any(re.match(r"[+-]?\d", word) for word in finite) else missing


def good_word(name: str, words: Sequence[str]) -> str | None:
    """The word of good quality in a column that says of what quality something is."""
    if not _QUALITY.search(name) or _LABELS.search(name):
        return None
    return next((word for word in words if word.casefold() in _GOOD), None)


def for_column_of_words(column: Words) -> list[Keys]:
    """For a column in which most values are no numbers."""
    name, words = column.name, column.words
    if sum(advice.UNIT_BEHIND.fullmatch(one) is not None for one in words) * 2 > len(words):
        return []  # "12.5 bar": numbers all the same, which no option reads
    if good := good_word(name, words):
        judged = _judged(name, column.numbers)
        return [{"quality": (f"{judged}:{name}={good}" if judged else f"{name}={good}",)}]
    if _LABELS.search(name) and 1 < len(words) < _MOST_WORDS:
        ignore: list[Keys] = [] if len(words) == 2 else [{"ignore": (name,)}]  # noqa: PLR2004 - normal or not
        return [_labels(column), *ignore]
    sensor: list[Keys] = [] if column.has_sensor else [{"sensor": name}]
    long = _long(column)
    if column.tells_apart and (sensor or long):
        return long if long and _TAGS.search(name) else [*sensor, *long]
    return _for_words_of_their_own_times(column, sensor, long)


def _for_words_of_their_own_times(
    column: Words, sensor: Sequence[Keys], long: Sequence[Keys]
) -> list[Keys]:
    """For a column of words that tell no rows of one time apart."""
    words, few = column.words, 1 < len(column.words) < _MOST_WORDS
    ignore: Keys = {"ignore": (column.name,)}
    if long and _TAGS.search(column.name) and _VALUES.fullmatch(_value_of(column)):
        return [*long, *sensor, ignore]
    if sensor and few and _SENSORS.fullmatch(column.name):
        return [*sensor, ignore]
    if few and any(word.casefold() == "normal" for word in words):
        return [_labels(column), ignore]
    # Few states: perhaps normal and anomalous.
    return [ignore, _labels(column)] if 1 < len(words) <= 3 else [ignore]  # noqa: PLR2004


def further(column: Words, ways: Sequence[Keys]) -> list[Keys]:
    """What else a column of words may be, which is for people to know."""
    every: list[Keys] = [{"ignore": (column.name,)}]
    every += [] if column.has_sensor else [{"sensor": column.name}]
    every += [_labels(column)] if 1 < len(column.words) < _MOST_WORDS else []
    every += _long(column)
    known = [key for way in ways for key in way]
    return [way for way in every if not known or next(iter(way)) not in known] if ways else []


def _labels(column: Words) -> Keys:
    """All words but normal; else the rarest."""
    faults = [word for word in column.words if word.casefold() != "normal"]
    if len(faults) == len(column.words):
        faults = faults[-1:]
    said = tuple(f"{column.name}={word}" for word in faults)
    return {"label": said[0] if len(said) == 1 else said}


def _long(column: Words) -> list[Keys]:
    if not (value := _value_of(column)):
        return []
    good = tuple(f"{name}={word}" for name, word in column.good.items())
    return [{"long": f"{column.name}={value}", **({"quality": good} if len(good) == 1 else {})}]


def _value_of(column: Words) -> str:
    """The column of the values of a long file, "" if none is it clearly."""
    others = [name for name in column.numbers if name not in column.good]
    named = [name for name in others if _VALUES.fullmatch(name)]
    found = others if len(others) == 1 else named
    return found[0] if len(found) == 1 else ""


def _judged(name: str, channels: Sequence[str]) -> str:
    """The channel whose name, but for its unit, begins that of a column of quality; the longest."""
    found = []
    for one in channels:
        start = re.sub(r"[ _]*[\[(].*", "", one)
        behind = name[len(start) :]
        same = start and name.casefold().startswith(start.casefold())
        # Of flow is flow_quality, and so is flowQuality; flowmeter_quality is not.
        if same and re.match(r"[^a-z0-9]", behind) and ":" not in one:
            found.append(one)
    return max(found, key=len, default="")
