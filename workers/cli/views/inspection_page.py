"""What Vigie understood of files, as a page: one file, no network, nothing that runs."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np
import numpy.typing as npt

from schemas.wire.timestamp import short_ns
from workers.cli.views.inspection import facts, number, share
from workers.data.finding import grouped
from workers.data.history import History, SensorRows
from workers.data.inspection import ChannelProfile, Inspection, envelope

FloatArray = npt.NDArray[np.float64]

_PIECES, _HEIGHT = 600, 56
_MOST_PICTURES, _MOST_SENSORS = 240, 8
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --dim: #5b6470; --line: #d9dde2; --paper: #fff;
  --curve: #0b62a4; --warn: #8a5300; --code: #f2f4f6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --dim: #9aa4b0; --line: #343a42;
  --paper: #16191d; --curve: #6cb6ff; --warn: #e3b341; --code: #22272e } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
th { font-weight: 500; color: var(--dim) } .n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums }
.facts th { width: 7rem } .kind { color: var(--warn);
  font-weight: 600; overflow-wrap: normal; min-width: 5.5rem }
code, pre { font: 13px/1.5 ui-monospace, monospace; background: var(--code) }
code { padding: .1rem .3rem; border-radius: .2rem } pre { padding: .8rem; overflow-x: auto }
svg { display: block; width: 100%; height: 56px } svg path { fill: var(--curve);
  stroke: var(--curve); stroke-width: 1; vector-effect: non-scaling-stroke;
  stroke-linejoin: round } .wide { min-width: 18rem; width: 45% }
.name { min-width: 7rem } .scroll { overflow-x: auto }
"""


def page(found: Inspection, layout: str) -> str:
    """The whole page; `layout` is the text of the proposed file."""
    title = ", ".join(path.name for path in found.paths[:3])
    title += f" and {len(found.paths) - 3:,} more" if len(found.paths) > 3 else ""  # noqa: PLR2004
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *_body(found),
        "<h2>Proposed layout</h2>",
        f"<pre>{escape(layout)}</pre>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _body(found: Inspection) -> Iterator[str]:
    if found.error:
        yield f"<p><span class=kind>Cannot be read:</span> {escape(found.error)}</p>"
    if found.history is None:
        yield f"<pre>{escape(chr(10).join(found.head))}</pre>"
    else:
        yield "<table class=facts>"
        for name, text in facts(found, found.history):
            yield f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        yield "</table>"
    yield from _problems(found)
    if found.history is not None:
        yield from _channels(found, found.history)


def _problems(found: Inspection) -> Iterator[str]:
    yield "<h2>What looks wrong</h2>"
    if not (found.findings or found.assumptions):
        yield "<p>Nothing.</p>"
        return
    yield "<table>"
    for assumed in found.assumptions:
        yield _problem("read as if given", assumed.error, assumed.option)
    for one in grouped(found.findings):
        yield _problem(one.kind.replace("-", " "), one.text, one.option)
    yield "</table>"


def _problem(kind: str, text: str, option: str) -> str:
    paste = f"<br><code>{escape(option)}</code>" if option else ""
    return f"<tr><td class=kind>{escape(kind)}</td><td>{escape(text)}{paste}</td></tr>"


def _channels(found: Inspection, history: History) -> Iterator[str]:
    most = max(_MOST_PICTURES // max(len(history.channels), 1), 1)
    sensors = [one for one in history.sensors if len(one)][: min(most, _MOST_SENSORS)]
    for sensor in sensors:
        first, last = short_ns(int(sensor.ts_ns[0])), short_ns(int(sensor.ts_ns[-1]))
        yield f"<h2>Channels of {escape(sensor.sensor)}</h2>"
        yield f"<p>{len(sensor):,} rows, {first} to {last}, drawn row by row. "
        yield "The figures are of all sensors.</p>"
        yield "<div class=scroll><table><tr><th class=name>channel</th><th class=wide></th>"
        names = ("least", "median", "most", "missing", "distinct")
        yield "".join(f"<th class=n>{name}</th>" for name in names) + "</tr>"
        for at, one in enumerate(found.channels[:_MOST_PICTURES]):
            yield _channel(one, sensor, at)
        yield "</table></div>"
    left = len(found.sensors) - len(sensors)
    if left > 0:
        yield f"<p>and {left:,} more sensors</p>"


def _channel(one: ChannelProfile, sensor: SensorRows, at: int) -> str:
    unit = f" [{one.unit}]" if one.unit and one.unit not in one.channel else ""
    cells = (number(one.low), number(one.median), number(one.high), share(one.missing))
    low, high = envelope(sensor, at, _PIECES)
    picture = (
        f'<svg viewBox="0 0 {_PIECES} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="values over time"><path d="{_path(low, high)}"/></svg>'
    )
    figures = "".join(f"<td class=n>{escape(text)}</td>" for text in (*cells, f"{one.distinct:,}"))
    name = escape(one.channel + unit)
    return f"<tr><td>{name}</td><td class=wide>{picture}</td>{figures}</tr>"


def _path(low: FloatArray, high: FloatArray) -> str:
    """A closed band from the smallest to the largest values; one for each stretch without holes."""
    known = np.flatnonzero(np.isfinite(low))
    if not len(known):
        return ""
    bottom, top = low[known].min() / 2, high[known].max() / 2
    span = (top - bottom) or 1.0
    floor = _HEIGHT - 2.0

    def y(values: FloatArray) -> FloatArray:
        at = (values / 2 - bottom) / span if top > bottom else np.full(len(values), 0.5)
        return np.asarray(floor - at * (floor - 2))

    # Pieces without a row are no holes where rows are fewer than pieces.
    hole = max(3 * int(np.median(np.diff(known))) if len(known) > 1 else 1, 1)
    bands = []
    for piece in np.split(known, np.flatnonzero(np.diff(known) > hole) + 1):
        upper = [f"{x},{v:.1f}" for x, v in zip(piece, y(high[piece]), strict=True)]
        lower = [f"{x},{v:.1f}" for x, v in zip(piece[::-1], y(low[piece[::-1]]), strict=True)]
        bands.append("M" + "L".join([*upper, *lower]) + "Z")
    return "".join(bands)
