"""Curves as inline SVG: no script, no network, sharp on paper. Pure.

Colours come from the page's style sheet by class, so that one page suits dark screens and paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from workers.printable import printable

FloatArray = npt.NDArray[np.float64]

PIECES = 700
"""A curve of more points than twice this is drawn as the least and the most of so many pieces."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 6.0, 10.0, 18.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values over rows.

    Attributes:
        values: NaN makes a hole, [n].
        style: class of the style sheet.
    """

    values: FloatArray
    style: str


@dataclass(frozen=True, kw_only=True)
class Region:
    """Rows that are marked: from the first to the last, both included.

    Attributes:
        start, end: rows.
        style: class of the style sheet.
        target: address inside of the page that a click leads to.
        title: shown when pointed at.
    """

    start: int
    end: int
    style: str
    target: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture.

    Attributes:
        curves: drawn one over the other; of equal length, at least one row.
        band: lowest and highest value that is usual, drawn behind; None for none.
        regions: drawn behind.
        ticks: words along the lower edge, evenly spread; the first and the last at the ends.
        width, height: of the picture, in its own units.
        limits: of the vertical axis; None takes those of the curves.
        label: for who cannot see it.
    """

    curves: Sequence[Curve]
    ticks: Sequence[str]
    label: str
    band: tuple[FloatArray, FloatArray] | None = None
    regions: Sequence[Region] = ()
    width: float = 900.0
    height: float = 110.0
    limits: tuple[float, float] | None = None
    logarithmic: bool = False

    def svg(self) -> Markup:
        """The picture."""
        return Markup("").join(
            [
                Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(
                    self.width, self.height, printable(self.label)
                ),
                *map(self._region, self.regions),
                *self._axis(),
                *self._band(),
                *(_path(self._points(one.values), one.style) for one in self.curves),
                Markup("</svg>"),
            ]
        )

    @property
    def _rows(self) -> int:
        return len(self.curves[0].values)

    def _range(self) -> tuple[float, float]:
        if self.limits is not None:
            return self.limits
        parts = [one.values for one in self.curves] + list(self.band or ())
        known = np.concatenate([part[np.isfinite(part)] for part in parts])
        if not len(known):
            return 0.0, 1.0
        low, high = float(known.min()), float(known.max())
        room = 0.06 * (high - low) or 0.1 * max(abs(high), 1.0)
        return low - room, high + room

    def _x(self, rows: FloatArray) -> FloatArray:
        span = max(self._rows - 1, 1)
        return _LEFT + rows / span * (self.width - _LEFT - _RIGHT)

    def _y(self, values: FloatArray) -> FloatArray:
        low, high = self._range()
        if self.logarithmic:
            low, high = np.log(low), np.log(high)
            values = np.log(np.maximum(values, np.exp(low)))
        share = np.clip((values - low) / (high - low), 0.0, 1.0)
        return np.asarray(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM))

    def _points(self, values: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        """Pieces without a hole, as x and y."""
        rows = _thinned(values)
        x, y = self._x(rows.astype(np.float64)), self._y(values[rows])
        known = np.isfinite(y)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]])))
        return [
            (x[a:b], y[a:b]) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        ]

    def _band(self) -> Iterator[Markup]:
        if self.band is None:
            return
        lower, upper = (self._points(one) for one in self.band)
        for (x, low), (_, high) in zip(lower, upper, strict=False):
            if len(x) == len(high):
                yield _path([(np.append(x, x[::-1]), np.append(low, high[::-1]))], "band")

    def _region(self, one: Region) -> Markup:
        start, end = self._x(np.array([one.start - 0.5, one.end + 0.5])).tolist()
        start, end = max(start, _LEFT), min(end, self.width - _RIGHT)
        high = 5.0 if one.style == "truth" else self.height - _TOP - _BOTTOM
        drawn = Markup(
            '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
            "<title>{}</title></rect>"
        ).format(one.style, start, _TOP, max(end - start, 2.0), high, printable(one.title))
        if not one.target:
            return drawn
        return Markup('<a href="#{}">{}</a>').format(one.target, drawn)

    def _axis(self) -> Iterator[Markup]:
        base = self.height - _BOTTOM
        yield Markup('<line class="axis" x1="{:g}" x2="{:g}" y1="{:g}" y2="{:g}"/>').format(
            _LEFT, self.width - _RIGHT, base, base
        )
        for value in _marks(*self._range(), logarithmic=self.logarithmic):
            height = float(self._y(np.array([value]))[0])
            yield Markup(
                '<text class="tick" x="{:g}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(_LEFT - 5, height + 3, f"{value:.3g}")
            yield Markup('<line class="grid" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>').format(
                _LEFT, self.width - _RIGHT, height, height
            )
        last = max(len(self.ticks) - 1, 1)
        for place, word in enumerate(self.ticks):
            anchor = "start" if place == 0 else "end" if place == last else "middle"
            x = _LEFT + place / last * (self.width - _LEFT - _RIGHT)
            yield Markup(
                '<text class="tick" x="{:.1f}" y="{:g}" text-anchor="{}">{}</text>'
            ).format(x, self.height - 5, anchor, word)


def _path(pieces: Sequence[tuple[FloatArray, FloatArray]], style: str) -> Markup:
    drawn = " ".join(
        "M"
        + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        + ("h.1" if len(x) == 1 else "")
        for x, y in pieces
    )
    return Markup('<path class="{}" d="{}"/>').format(style, escape(drawn))


def _thinned(values: FloatArray) -> npt.NDArray[np.int64]:
    """Rows to draw: all, or the lowest, the highest and any hole of each piece."""
    n = len(values)
    if n <= 2 * PIECES:
        return np.arange(n)
    parts = np.array_split(np.arange(n), PIECES)
    lowest = [part[np.argmin(np.nan_to_num(values[part], nan=np.inf))] for part in parts]
    highest = [part[np.argmax(np.nan_to_num(values[part], nan=-np.inf))] for part in parts]
    holes = [part[np.argmax(np.isnan(values[part]))] for part in parts]
    return np.unique(np.concatenate([lowest, highest, holes]))


def _marks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Two to four round numbers between two others."""
    if logarithmic:
        return [value for value in (0.1, 1.0, 10.0, 100.0) if low < value < high]
    step = 10.0 ** np.floor(np.log10(high - low))
    step = next(s for s in (step, step / 2, step / 5, step / 10) if (high - low) / s >= 2)  # noqa: PLR2004 - marks
    first = np.ceil(low / step) * step
    return [float(value) + 0.0 for value in np.arange(first, high, step)[:6]]
