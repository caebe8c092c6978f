"""The answer of `vigie size` for people, for `vigie.toml`, and for the Helm chart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from workers.sizing.answer import Answer, settings_of
from workers.sizing.pods import chart_values

_WIDTH = 18
_WHOLE = 10.0
_THOUSAND = 1_000.0
Line = tuple[str, str]


def show_answer(answer: Answer) -> None:
    """A line a fact, then what was assumed, and what to look at."""
    for name, text in (*_stream(answer), *_around(answer)):
        typer.echo(f"{name:<{_WIDTH}}{text}")
    typer.echo("\nAssumed")
    for sentence in answer.assumptions:
        typer.echo(f"  {sentence}")
    for sentence in answer.warnings:
        typer.echo(f"\nWarning: {sentence}")
    typer.echo("\nSettings: the same with --toml (vigie.toml) or --values (Helm chart)")


def settings_text(answer: Answer) -> str:
    """The settings as TOML."""
    parts = []
    for section, values in settings_of(answer).items():
        rows = [f"{name} = {_value(value)}\n" for name, value in values.items()]
        parts.append(f"[{section}]\n" + "".join(rows))
    return "\n".join(parts)


def values_text(answer: Answer) -> str:
    """Values of the Helm chart: the settings, and pods for them."""
    each = f"# Of {answer.runs:,} releases, each with a config.kafka.instance of its own.\n"
    return (each if answer.runs > 1 else "") + "".join(_yaml(chart_values(answer)))


def _yaml(table: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:\n"
            yield from _yaml(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_value(value)}\n"


def _stream(answer: Answer) -> Iterator[Line]:
    fleet, workers = answer.fleet, answer.workers
    yield "load", f"{_rate(fleet.readings_per_s)} readings/s, {fleet.channels} channels"
    yield "partitions", f"{answer.partitions:,}"
    yield "ingest workers", f"{workers.needed:,}, each up to {_rate(workers.per_s)} readings/s"
    yield "limited by", answer.limited_by
    if answer.runs > 1:
        yield "runs", f"{answer.runs:,} vigie run of one group, each its own kafka.instance"
    if answer.scorers:
        needs = answer.scorers
        gpus = f"; GPUs: {needs.gpus:,} (extrapolated)" if needs.gpus else ""
        yield "scorers", f"{needs.scorers:,}{gpus}"
    yield "cores", f"{answer.cores:,}, drivers included"
    yield "memory", f"{_bytes(answer.memory_gb)}, {answer.worker_mb:,.0f} MB a worker"
    yield (
        "after a crash",
        f"windows again in {workers.down_s:,.0f} s, caught up in {workers.recovered_s:,.0f} s",
    )
    yield "a reading costs", _cost(answer)


def _cost(answer: Answer) -> str:
    total = f"{answer.us_per_reading:.1f} us of a core"
    if (cost := answer.cost) is None:
        return f"{total}, as the pipeline told"
    score = "" if answer.scorers else f", {cost.score:.1f} scoring"
    return f"{total}: {cost.read:.1f} reading{score}, {cost.publish:.1f} publishing"


def _around(answer: Answer) -> Iterator[Line]:
    kafka, gateway = answer.kafka, answer.gateway
    yield "brokers", f"{kafka.brokers:,}, {kafka.cores:.1f} cores together"
    yield "Kafka network", f"{kafka.network_mb_s:,.1f} MB/s, {kafka.written_mb_s:,.1f} written"
    yield (
        "Kafka disk",
        f"{_bytes(kafka.disk_gb_per_day)} a day, {_bytes(kafka.disk_gb)} kept, copies included",
    )
    yield "gateway", f"{gateway.processes:,}, {gateway.cores:.2f} cores together"
    yield "database", f"{gateway.database}, {_bytes(gateway.database_gb_per_year)} a year"


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= _WHOLE else f"{per_s:.2g}"


def _bytes(gb: float) -> str:
    return f"{gb:,.1f} GB" if gb < _THOUSAND else f"{gb / _THOUSAND:,.1f} TB"


def _value(value: object) -> str:
    # TOML and YAML write numbers and plain texts as JSON does.
    return json.dumps(value)
