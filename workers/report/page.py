"""The report as one page: one file, no network, nothing that runs. Every name on it is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from schemas.wire.timestamp import short_ns
from workers.printable import printable
from workers.report.content import Report

_TEMPLATE = Path(__file__).with_name("page.html")
_MANY = 100_000_000
_SECONDS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def page(report: Report) -> str:
    """The whole page."""
    document = report.document
    drifting = sum(one["given"] is not None for one in document["drift"])
    rows, alarm = document["budget"]["normal_rows"], document["budget"]["normal_rows_in_alarm"]
    return _template().render(
        report=report,
        doc=document,
        training=_Training(document["training"]),
        share_in_alarm=alarm / max(rows, 1),
        drifting=drifting,
    )


class _Training(dict[str, Any]):
    """The summary of a training; what an older model does not tell is empty."""

    def __missing__(self, _: str) -> tuple[()]:
        return ()


@cache
def _template() -> Template:
    # Strings are escaped by `finalize`'s caller: autoescape; what cannot be printed is named first.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown
    )
    environment.filters |= {
        "duration": _duration,
        "figure": _figure,
        "percent": lambda share: f"{share:.1%}" if share < 0.1 else f"{share:.0%}",  # noqa: PLR2004
        "one_in": _one_in,
        "rough": lambda value: f"{value:.2g}",
        "sentence": lambda text: f"{text[:1].upper()}{text[1:]}.",
        "thousands": lambda count: f"{count:,}" if isinstance(count, int) else "unknown",
        "time": short_ns,
    }
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def _shown(value: Any) -> Any:
    """A name as it can be shown: no control characters, no change of the writing direction."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _figure(value: Any) -> str:
    """Four figures, without an exponent where that reads well."""
    if not isinstance(value, int | float):
        return "unknown"
    return f"{value:.4g}"


def _one_in(p_value: float) -> str:
    """How many normal readings show one such incident; no history speaks of rarer things."""
    if p_value < 1 / _MANY:
        return f"more than {_MANY:,}"
    return f"{float(f'{1 / p_value:.2g}'):,.0f}"


def _duration(seconds: float) -> str:
    unit_s, unit = next(((s, u) for s, u in _SECONDS if seconds >= 2 * s), (1.0, "s"))
    return f"{seconds / unit_s:.3g} {unit}"
