"""Files as plants write them, small and simulated: text of tables, and Excel workbooks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

import numpy as np

START = datetime(2026, 1, 1, tzinfo=UTC)
START_NS = 1_767_225_600_000_000_000
SECOND_NS = 10**9
FIRST_DAY = 46_023
"""Day number of `START` in a spreadsheet."""

DATE_TIME, DATE, CLOCK = 1, 2, 3
"""Formats of a cell with a number: (46023.5, DATE_TIME)."""

Cell = str | bool | int | float | tuple[float, int] | None
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def stamp(row: int, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    """The time of a row, one a second."""
    return (START + timedelta(seconds=row)).strftime(form)


def pump(rows: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Flow and pressure of a pump, with two digits behind the point."""
    rng = np.random.default_rng(seed)
    flow = 40 + 5 * np.sin(np.arange(rows) / 9) + rng.normal(0, 0.3, rows)
    return [(f"{one:.2f}", f"{one / 10 + 2:.2f}") for one in flow]


def table(rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    """Lines of text."""
    return "".join(delimiter.join(map(str, row)) + "\n" for row in rows)


def workbook(rows: Sequence[Sequence[Cell]], *, sheets: Sequence[str] = ("Sheet1",)) -> bytes:
    """An Excel file with the rows in every sheet."""
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(cell, f"{chr(65 + at)}{number}") for at, cell in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    numbered = list(enumerate(sheets, 1))
    listed = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="rId{i}"/>' for i, n in numbered)
    target = f'Type="{_DOCUMENT}/worksheet" Target="worksheets/sheet1.xml"'
    links = "".join(f'<Relationship Id="rId{i}" {target}/>' for i, _ in numbered)
    styles = "".join(f'<xf numFmtId="{n}" applyNumberFormat="1"/>' for n in (0, 22, 14, 21))
    types = "application/vnd.openxmlformats-package.relationships+xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="rels" ContentType="{types}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_DOCUMENT}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}">'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{links}'
        f'<Relationship Id="rId99" Type="{_DOCUMENT}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="4">{styles}</cellXfs>'
        "</styleSheet>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}'
        "</sheetData></worksheet>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _cell(value: Cell, at: str) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f'<c r="{at}" t="b"><v>{int(value)}</v></c>'
        case (number, style):
            return f'<c r="{at}" s="{style}"><v>{number!r}</v></c>'
        case int() | float():
            return f'<c r="{at}"><v>{value!r}</v></c>'
    if value.startswith("#"):
        return f'<c r="{at}" t="e"><v>{value}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
