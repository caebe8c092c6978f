"""Figures of a comparison of methods: tables for people, plain values for scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from workers.cli.views.accounts import many
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts
from workers.printable import printable

if TYPE_CHECKING:
    from detector.evaluation import Evaluation
    from workers.compare.comparison import Result
    from workers.compare.errors import Errors
    from workers.compare.methods import Method, Plan
    from workers.compare.relation import Relation
    from workers.compare.time_split import TimeSplit

_MOST_CHANNELS = 16
_GAIN = (
    "of the newest reading's reconstruction f over the reading x, in noise power; known without "
    "clean values from E(f - x)² and the noise level, where noise is white; blended: x + w (f - x)"
)


def document(split: TimeSplit, plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "training_rows": len(split.training),
        "held_out_rows": len(split.held_out),
        "channels": list(split.training.channels),
        "bottleneck": plan.bottleneck,
        "receptive_field": plan.receptive_field,
        "detection_by": "labels" if split.labelled else "faults put in",
        "faults_put_in": {
            kind.value: count for kind, count in results[0].detection.injected.items()
        },
        "methods": [_result_document(one, split.training.channels) for one in results],
    }


def _result_document(one: Result, channels: Sequence[str]) -> dict[str, Any]:
    from workers.compare.errors import Denoising

    gains = {
        "reconstruction_db": one.denoising.reconstruction,
        "blended_db": one.denoising.blended,
    }
    by_channel = {
        "rms_spreads": one.errors.whole**0.5,
        "rms_noise_levels": one.errors.noise_levels,
        **gains,
    }
    return {
        "method": one.method.value,
        "parameters": one.parameters,
        "fit_s": round(one.fit_s, 3),
        "windows": one.errors.windows,
        "rms_spreads": one.errors.rms,
        "unexplained": one.errors.unexplained,
        **{name: _finite(Denoising.overall(values)) for name, values in gains.items()},
        "detection": {
            "average_precision": _finite(one.detection.faults.average_precision),
            "vus_pr": _finite(one.detection.faults.vus_pr),
            "events": one.detection.faults.events.found + one.detection.faults.events.missed,
            "events_found": one.detection.faults.events.found,
            "found_at_equal_rate": _finite(one.detection.at_equal_rate),
            "false_flags_per_day": _finite(one.detection.quiet.false_alarms_per_day),
            "incidents": one.detection.incidents,
        },
        "by_channel": {
            channel: {name: _finite(float(values[place])) for name, values in by_channel.items()}
            for place, channel in enumerate(channels)
        },
    }


def curve_document(
    curve: Mapping[Method, Sequence[Errors]], sizes: Sequence[int]
) -> list[dict[str, Any]]:
    return [
        {
            "bottleneck": size,
            **{method.value: errors[place].unexplained for method, errors in curve.items()},
        }
        for place, size in enumerate(sizes)
    ]


def relation_document(drawn: Relation) -> dict[str, Any]:
    return {
        "sensor": drawn.sensor,
        "channels": list(drawn.channels),
        "unexplained": {method.value: share for method, share in drawn.unexplained.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def show(split: TimeSplit, plan: Plan, results: Sequence[Result]) -> None:
    console = PlainConsole()
    channels = split.training.channels
    console.print(
        f"{many(len(split.training), 'reading')} train, the next {len(split.held_out):,} judge; "
        f"{plan.bottleneck} numbers for windows of {plan.receptive_field} readings of "
        f"{many(len(channels), 'channel')}",
        style="bold",
    )
    table = Table(
        Column("", no_wrap=True), *(Column(one.method.value, justify="right") for one in results)
    )
    cells = [_cells(one) for one in results]
    for name in cells[0]:
        table.add_row(name, *(own[name] for own in cells))
    table.add_section()
    table.add_row("noise levels left in")
    for place, channel in enumerate(channels[:_MOST_CHANNELS]):
        levels = [f"{_figure(float(one.errors.noise_levels[place]))}" for one in results]
        table.add_row(printable(channel), *levels)
    console.print(table)
    facts = [("faults", _faults_words(split, plan, results[0])), ("gain", _GAIN)]
    if len(channels) > _MOST_CHANNELS:
        facts.append(("channels", f"{len(channels) - _MOST_CHANNELS} more (--json)"))
    print_facts(facts)


def _cells(one: Result) -> dict[str, str]:
    """What the table says of a method, by the name of the row."""
    from workers.compare.errors import Denoising

    faults, quiet = one.detection.faults, one.detection.quiet
    return {
        "variance left, %": f"{100 * one.errors.unexplained:.2f}",
        "error, usual spreads": f"{one.errors.rms:.3f}",
        "average precision": _figure(faults.average_precision),
        "found at 1 % false": _percent(one.detection.at_equal_rate),
        "found at threshold": f"{faults.events.found} of {_events(faults)}",
        "false flags a day": _figure(quiet.false_alarms_per_day, 1),
        "incidents opened": str(one.detection.incidents),
        "gain as it is, dB": _figure(Denoising.overall(one.denoising.reconstruction), 1),
        "gain if blended, dB": _figure(Denoising.overall(one.denoising.blended), 1),
        "numbers fitted": f"{one.parameters:,}",
        "fitted in, s": f"{one.fit_s:.2f}",
    }


def _faults_words(split: TimeSplit, plan: Plan, one: Result) -> str:
    if split.labelled:
        return f"{many(_events(one.detection.faults), 'labelled event')} of the held-out time"
    from workers.compare.detection import fault_length

    kinds = ", ".join(f"{count} {kind.value}" for kind, count in one.detection.injected.items())
    return (
        f"no labels: put into the held-out readings, {fault_length(plan)} readings long (a spike "
        f"1), one channel each: {kinds}"
    )


def _events(found: Evaluation) -> int:
    return found.events.found + found.events.missed


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else "-"


def _figure(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def show_curve(curve: Mapping[Method, Sequence[Errors]], sizes: Sequence[int]) -> None:
    table = Table(
        Column("bottleneck", justify="right"),
        *(Column(method.value, justify="right") for method in curve),
        title="Variance left on held-out time, %",
        title_justify="left",
    )
    for place, size in enumerate(sizes):
        cells = [f"{100 * errors[place].unexplained:.2f}" for errors in curve.values()]
        table.add_row(str(size), *cells)
    PlainConsole().print(table)
