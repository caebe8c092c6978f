"""What to say of a value that cannot be read: what it is, and the option that helps. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any

from workers.data.finding import as_options
from workers.data.layout import Layout

INFINITE = re.compile(r"[+-]?(inf(inity)?|\d+(\.\d*)?[eE]\d+)", re.IGNORECASE)
UNIT_BEHIND = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*([a-zA-Z%°µ][a-zA-Z%°µ/²³]{0,9})")
_SHOWN_CHARACTERS = 40
_CLOCKS = (
    "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M:%S %p", "%I:%M %p",
    "%H:%M:%S %z", "%H:%M:%S%z",
)  # fmt: skip
_DAYS = (
    "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%Y.%m.%d", "%Y%m%d", "%y%m%d",
)  # fmt: skip
_FORMS = (
    *("".join(parts) for parts in product(_DAYS, (" ", "T", ", "), _CLOCKS)),
    *_DAYS, "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%dT%H%M%SZ",
    "%a %b %d %H:%M:%S %Y", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d_%H:%M:%S",
    "%Y-%m-%d %H-%M-%S", "%Y-%m-%d %H:%M:%S %z",
)  # fmt: skip


def shown(text: str) -> str:
    """A value, quoted and not too long, with blanks of every kind as one sees them."""
    text = re.sub("[\u00a0\u202f]", " ", text)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def time_formats(samples: Sequence[str]) -> list[str]:
    """The forms, as strptime writes them, in which every sample is a time."""
    forms = list(_FORMS)
    for sample in dict.fromkeys(samples):
        forms = [form for form in forms if _fits(sample, form)]
        if not forms:
            break
    return forms


def _fits(sample: str, form: str) -> bool:
    try:
        datetime.strptime(sample, form)  # noqa: DTZ007 - whether it fits is all that is asked
    except (ValueError, OverflowError):
        return False
    return True


def unreadable_time(text: str, samples: Sequence[str], layout: Layout) -> str:
    """What to say of a time that cannot be read.

    Args:
        text: it.
        samples: other times of the column that cannot be read.
        layout: how it was tried.
    """
    if layout.time_format:
        forms = " or ".join(map(repr, layout.time_format))
        said = f"{shown(text)} is not of the form {forms} (--time-format), or out of range"
        said += "; the option may be given several times"
        return f"{said}. If it means that there is no time, --missing {_quoted(text)}"
    said = f"{shown(text)} is not a time such as 2026-01-31T12:00:00Z between 1678 and 2261"
    forms_found = time_formats(samples)
    if not forms_found and (named := re.search(r"\d ?([A-Z]{3,5})$", text.strip())):
        return (
            f"{said}: {named[1]!r} is no zone that is read: write an offset in its place, such as "
            "+02:00; or take it out and name the place with --timezone, such as Europe/Berlin"
        )
    if not forms_found and re.match(r"\d{4}[-/]\d\d?[-/]\d\d?([T ]|$)", text.strip()):
        return f"{said}. If it means that there is none, --missing {_quoted(text)}"
    if not forms_found:
        return (
            f"{said}: say its form, such as --time-format '%d.%m.%Y %H:%M:%S', or that it means "
            f"that there is none, --missing {_quoted(text)}"
        )
    if len(forms_found) == 1:
        return f"{said}: say its form, which seems to be --time-format {forms_found[0]!r}"
    options = " or ".join(f"--time-format {form!r}" for form in forms_found[:3])
    return f"{said}: say its form, {options} (these times fit both)"


def unreadable_value(
    text: str,
    words: Sequence[tuple[str, int]],
    ways: Sequence[Mapping[str, Any]],
    *,
    wrong: int,
    rows: int,
) -> str:
    """What to say of a value that is no number.

    Args:
        text: it.
        words: what cannot be read in this column and how often, the most frequent first.
        ways: keys of a layout that may help.
        wrong: how many values of the column cannot be read...
        rows: ...of how many.
    """
    said, text = f"{shown(text)} is not a number", text.strip()
    if INFINITE.fullmatch(text):
        said = f"{shown(text)} is not a finite number"
    options = "; ".join(map(_way, ways))
    if ways and set(ways[0]) <= {"thousands", "decimal"}:
        return f"{said}: {options}"
    if found := UNIT_BEHIND.fullmatch(text):
        return f"{said}: is {found[1]!r} a unit behind the number? Take it out of the values"
    if not ways:
        options = f"correct it, or to read it as missing, {as_options({'missing': text})}"
    listed = ", ".join(f"{shown(word)} {_times(count)}" for word, count in words[:6])
    if wrong * 2 <= rows:
        return f"{said} ({listed}): {options}" if wrong > 1 else f"{said}: {options}"
    return f"{said}; neither are {wrong - 1:,} more of {rows:,} ({listed}): {options}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _way(keys: Mapping[str, Any]) -> str:
    """Keys as options, with what must be so that they help."""
    return f"{_BECAUSE[next(iter(keys))](keys)}, {as_options(keys)}"


def _mark(keys: Mapping[str, Any]) -> str:
    mark = str(keys["thousands"])
    return "the blank" if mark.isspace() else _MARKS.get(mark, repr(mark))


def _for_decimal(keys: Mapping[str, Any]) -> str:
    said = f"if {_MARKS[keys['decimal']]} is the decimal mark"
    return f"{said} and {_mark(keys)} a thousands mark" if "thousands" in keys else said


_MARKS = {",": "the comma", ".": "the point"}
_BECAUSE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "decimal": _for_decimal,
    "thousands": lambda keys: (
        "with a decimal comma a point is a thousands mark"
        if keys["thousands"] == "."
        else f"if {_mark(keys)} is a thousands mark"
    ),
    "missing": lambda _: "if it means that the value is missing",
    "units_row": lambda _: "if the row below the names holds units",
    "ignore": lambda _: "to leave the column out",
    "sensor": lambda _: "if it names the sensor",
    "label": lambda _: "if it says what is anomalous",
    "long": lambda _: "if it names the channel of one value per row",
    "quality": lambda _: "if it says what is good",
}


def _quoted(word: str) -> str:
    return f'"{word}"' if re.search(r"[^\w.,/#+=-]", word) or not word else word
