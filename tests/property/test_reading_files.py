"""The reading of text files against a slow, obvious twin, on random tables in random dialects.

The twin is the standard library: `csv.reader`, `datetime`, `float`, a loop. Whatever it finds in a
file, the reader has to find, and every line is a row or counted.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.data.file.rows import Reason
from workers.data.files import read_files
from workers.data.layout import Layout

START = datetime(2026, 3, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda raw: bytes(pa.compress(raw, codec="zstd", asbytes=True)),
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a file is written."""

    delimiter: str
    decimal: str
    thousands: str
    end: str
    encoding: str
    packing: str
    quoting: Literal[0, 1]
    titles: int
    comments: int
    units: bool
    trailing: bool
    last_end: bool
    sensors: bool
    form: str


DIALECTS = st.builds(
    Written,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", " ", "'"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    packing=st.sampled_from(list(PACKERS)),
    quoting=st.sampled_from([0, 1]),
    titles=st.integers(0, 2),
    comments=st.integers(0, 2),
    units=st.booleans(),
    trailing=st.booleans(),
    last_end=st.booleans(),
    sensors=st.booleans(),
    form=st.sampled_from(["iso", "T", "offset", "s", "ms", "us", "ns", "float"]),
)
NUMBERS = st.one_of(
    st.none(),
    st.integers(-(10**7), 10**7).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
NOTES = st.text(
    st.sampled_from("ab #'\";,|\t.5\u0085\u2028\x0c")
    | st.characters(codec="utf-8", exclude_characters="\r\n\x00"),
    max_size=8,
)
DAMAGE = st.sampled_from(["", "short", "long", "blank", "no time", "no sensor", "comment"])
ROWS = st.lists(
    st.tuples(st.integers(0, 10**6 - 1), st.lists(NUMBERS, min_size=2, max_size=2), NOTES, DAMAGE),
    min_size=4,
    max_size=12,
)


def rendered(value: float | None, how: Written) -> str:
    if value is None:
        return ""
    if how.thousands and value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", how.thousands)
    return repr(value).replace(".", how.decimal)


def rendered_time(at: datetime, how: Written) -> str:
    micros = (at - EPOCH) // timedelta(microseconds=1)
    forms = {
        "iso": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "T": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "offset": f"{at + timedelta(hours=5, minutes=45):%Y-%m-%d %H:%M:%S.%f}+05:45",
        "s": str(micros // 10**6),
        "ms": str(micros // 10**3),
        "us": str(micros),
        "ns": str(micros * 10**3),
        "float": f"{micros // 10**6}{how.decimal}{micros % 10**6:06d}",
    }
    return forms[how.form]


def write(rows, how: Written) -> bytes:
    """The file of a table."""
    names = ["time", *(["sensor"] if how.sensors else []), "flow", "note", "p"]
    units = ["h", *(["-"] if how.sensors else []), "l", "-", "bar"]
    lines = [f"# comment {n}; a,b" for n in range(how.comments)]
    lines += [f"Plant {n}" for n in range(how.titles)]

    def line(fields):
        text = io.StringIO()
        csv.writer(text, delimiter=how.delimiter, quoting=how.quoting, lineterminator="").writerow(
            [*fields, ""] if how.trailing else fields
        )
        return text.getvalue()

    lines.append(line(names))
    if how.units:
        lines.append(line(units))
    for n, (step, values, note, drawn) in enumerate(rows):
        damage = drawn if n % 3 == 2 else ""  # most rows show how the file is written
        at = START + timedelta(seconds=n * 10**6 + step, microseconds=step * 7 % 10**6)
        time = "" if damage == "no time" else rendered_time(at, how)
        sensor = [] if not how.sensors else ["" if damage == "no sensor" else "ab"[step % 2]]
        fields = [time, *sensor, rendered(values[0], how), note, rendered(values[1], how)]
        match damage:
            case "short":
                lines.append(line(fields[:-2]))
            case "long":
                lines.append(line([*fields, "1", "2"]))
            case "blank":
                lines += ["", line(fields)]
            case "comment" if how.comments:
                lines += ["# a comment; in, the middle", line(fields)]
            case _:
                lines.append(line(fields))
    text = how.end.join(lines) + (how.end if how.last_end else "")
    return PACKERS[how.packing](text.encode(how.encoding))


def twin(rows, how: Written):
    """{sensor: {time in ns: values}} and how many rows are left out, by reason."""
    text = write(rows, replace(how, packing="")).decode(how.encoding)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    data = lines[how.comments + how.titles + 1 + how.units :]
    lines = [line for line in data if line]  # below the names a # begins a value
    width = 4 + how.sensors + how.trailing
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    left_out = Counter[str]()
    for line in lines:
        fields = next(csv.reader([line], delimiter=how.delimiter))
        if len(fields) != width:
            left_out[Reason.FIELDS] += 1
            continue
        time, *rest = fields
        sensor = rest.pop(0).strip() if how.sensors else "pump"
        if not time:
            left_out[Reason.NO_TIME] += 1
        elif not sensor:
            left_out[Reason.NO_SENSOR] += 1
        else:
            values = tuple(number(one, how) for one in (rest[0], rest[2]))
            found.setdefault(sensor, {})[nanoseconds(time, how)] = values
    return found, left_out


def number(text: str, how: Written) -> float:
    if how.thousands:
        text = text.replace(how.thousands, "")
    return float(text.replace(how.decimal, ".")) if text else math.nan


def nanoseconds(text: str, how: Written) -> int:
    if how.form in {"iso", "T", "offset"}:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return (at - EPOCH) // timedelta(microseconds=1) * 1_000
    if how.form == "float":
        seconds, _, micros = text.replace(",", ".").partition(".")
        return int(seconds) * 10**9 + int(micros) * 10**3
    return int(text) * {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[how.form]


@settings(deadline=None, max_examples=100)
@given(rows=ROWS, how=DIALECTS)
def test_a_file_is_read_as_its_twin_reads_it(rows, how):
    expected, left_out = twin(rows, how)
    layout = Layout(
        decimal=how.decimal,
        thousands=how.thousands or None,
        ignore=("note",),
        units_row=True if how.units else None,
        delimiter=how.delimiter if how.titles else None,
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"pump.csv.{how.packing}".rstrip(".")
        path.write_bytes(write(rows, how))
        history = read_files([path], layout)

    found = {
        one.sensor: dict(zip(one.ts_ns.tolist(), map(tuple, one.values.tolist()), strict=True))
        for one in history.sensors
    }
    assert history.channels == ("flow", "p")
    # Compared as text: NaN is not equal to itself.
    in_time = {sensor: dict(sorted(of.items())) for sensor, of in expected.items()}
    assert repr(sorted(found.items())) == repr(sorted(in_time.items()))
    assert history.by_reason == left_out
    assert history.read == sum(map(len, expected.values())) + left_out.total()
