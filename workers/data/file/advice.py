"""What to say of a value that cannot be read: what it is, and the option that helps. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import product

from workers.data.layout import Layout

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
    """A value, quoted and not too long."""
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
    name: str,
    words: Sequence[tuple[str, int]],
    layout: Layout,
    *,
    wrong: int,
    rows: int,
    is_first: bool,
) -> str:
    """What to say of a value that is no number.

    Args:
        text: it.
        name: of its column.
        words: what cannot be read in this column and how often, the most frequent first.
        layout: how it was tried.
        wrong: how many values of the column cannot be read...
        rows: ...of how many.
        is_first: whether it is in the first row of data.
    """
    said, text = f"{shown(text)} is not a number", text.strip()
    if hint := _marks(text, layout) or _unit_behind(text):
        return f"{said}: {hint}"
    if re.fullmatch(r"[+-]?(inf(inity)?|\d+(\.\d*)?[eE]\d+)", text, re.IGNORECASE):
        return f"{shown(text)} is not a finite number: to read it as missing, --missing {text}"
    if wrong == 1 and is_first:
        return (
            f"{said}: does the row below the names hold units? --units-row; else --missing {text}"
        )
    listed = ", ".join(f"{shown(word)} {count:,} times" for word, count in words[:6])
    if wrong * 2 > rows:
        column = _quoted(name)
        ways = [f"--ignore {column} leaves it out", f"--sensor {column} if it names the sensor"]
        if len(words) < 20:  # noqa: PLR2004 - fewer than are ever asked for
            ways.append(f"--label {_quoted(f'{name}={words[-1][0]}')} if it says what is anomalous")
        ways.append(
            f"--long {_quoted(f'{name}=VALUE')} if it names the channel of one value per row"
        )
        return f"{said}; neither are {wrong - 1:,} more of {rows:,} ({listed}): {'; '.join(ways)}"
    missing = " ".join(f"--missing {_quoted(word)}" for word, _ in words[:3])
    return f"{said} ({listed}): if it means that the value is missing, {missing}"


def _marks(text: str, layout: Layout) -> str:
    """What a point, comma or blank between the digits may be."""
    if layout.decimal == ",":
        if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?", text):
            return "with a decimal comma a point is a thousands mark: say so with --thousands ."
        if re.fullmatch(r"[+-]?\d+\.\d+", text):
            return "the decimal mark is a comma here (--decimal ,), so what is the point?"
    elif re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        return (
            "is the comma a thousands mark (--thousands ,) or the decimal mark (--decimal ,)?"
            if "." not in text
            else "if the comma is a thousands mark: --thousands ,"
        )
    elif re.fullmatch(r"[+-]?\d+,\d+", text):
        return "is the comma the decimal mark? --decimal ,"
    found = re.fullmatch(r"[+-]?\d{1,3}(?:(['’_ \u00a0\u202f])\d{3})+([.,]\d+)?", text)  # noqa: RUF001 - as spreadsheets write it
    if found and layout.thousands is None:
        mark = found[1] if not found[1].isspace() else "space"
        return f"is {found[1]!r} a thousands mark? --thousands {_quoted(mark)}"
    return ""


def _unit_behind(text: str) -> str:
    found = re.fullmatch(r"[+-]?\d+(?:[.,]\d+)?\s*([a-zA-Z%°µ][a-zA-Z%°µ/²³]{0,9})", text)
    return f"is {found[1]!r} a unit behind the number? Take it out of the values" if found else ""


def _quoted(word: str) -> str:
    return f'"{word}"' if re.search(r"[^\w.,/#+=-]", word) or not word else word
