"""Incidents as a gateway keeps them, what people said of them, silences, and what happens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import typer
from pydantic import ValidationError

from schemas.api.matchers import Matcher
from schemas.wire.incident import IncidentChannel
from workers.alerts.matcher_text import format_matcher
from workers.cli.views.deliveries import clock_time
from workers.cli.views.incidents import channel_words
from workers.cli.views.report import print_facts
from workers.printable import printable

__all__ = ["event_line", "show_comments", "show_incident", "show_incidents", "show_silences"]

Document = Mapping[str, Any]


def show_incidents(found: Iterable[Document]) -> None:
    """Two lines an incident, the id in the first: no column cuts it short."""
    rows = [("opened", "state", "severity", "peak", "sensor", "id")]
    below: list[str] = []
    for one in found:
        rows.append(
            (
                clock_time(one["opened_at"]),
                one["state"],
                one["severity"],
                f"{one['peak']:.3g}",
                printable(one["sensor_id"]),
                one["id"],
            )
        )
        below.append("; ".join(_beside(one)))
    if not below:
        typer.echo("No incidents.")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for line, more in zip(rows, ["", *below], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
        if more:
            typer.echo(f"    {printable(more)}")


def show_incident(one: Document) -> None:
    """Everything that is known of it, but for its excerpt."""
    facts = [
        ("id", str(one["id"])),
        ("sensor", one["sensor_id"]),
        ("state", one["state"]),
        ("severity", one["severity"]),
        ("kind", one["kind"]),
        ("peak", f"{one['peak']:.4g} (1 is the threshold)"),
        ("opened", clock_time(one["opened_at"])),
    ]
    if one["resolved_at"] is not None:
        by = f" by {one['resolved_by']}" if one["resolved_by"] else ""
        why = (one["data"].get("end_reason") or "").replace("_", " ")
        said = f", {why}" if why and not by else ""
        facts.append(("resolved", f"{clock_time(one['resolved_at'])}{by}{said}"))
    facts += [("label", f"{name}={value}") for name, value in one["labels"].items()]
    facts += [("channel", words) for words in _channels(one)]
    facts += [("said", words) for words in _said(one)]
    print_facts(facts)


def show_comments(found: Iterable[Document]) -> None:
    """The oldest first."""
    lines = [f"{clock_time(one['at'])}  {one['by']}: {one['text']}" for one in found]
    for line in lines or ["Nobody has commented it."]:
        typer.echo(printable(line))


def show_silences(found: Iterable[Document]) -> None:
    """Two lines each, the id in the first."""
    silences = list(found)
    for one in silences:
        matchers = [format_matcher(Matcher.model_validate(each)) for each in one["matchers"]]
        typer.echo(printable(f"{one['id']}  {one['status']}  {', '.join(matchers)}"))
        span = f"{clock_time(one['startsAt'])} to {clock_time(one['endsAt'])}"
        typer.echo(printable(f"    {span}, by {one['createdBy']}: {one['comment']}"))
    if not silences:
        typer.echo("Nothing is silenced.")


def event_line(text: str) -> str:
    """An event of the stream in one line."""
    document = json.loads(text)
    data = document.get("data")
    said = data if isinstance(data, dict) else {}
    parts = [clock_time(document.get("time")), str(document.get("type"))]
    parts += [str(document.get("subject") or "")]
    if isinstance(said.get("severity"), str):
        parts.append(said["severity"])
    if isinstance(said.get("peak"), int | float):
        parts.append(f"{said['peak']:.3g}")
    if str(document.get("type")).startswith("incident.") and said.get("id"):
        parts.append(str(said["id"]))
    by = said.get("acknowledged_by") or said.get("resolved_by")
    parts += [f"by {by}"] if by else []
    parts += [str(said["reason"])] if said.get("reason") else []
    return printable("  ".join(part for part in parts if part))


def _beside(one: Document) -> Iterator[str]:
    yield from _channels(one)[:1]
    yield from _said(one)


def _channels(one: Document) -> list[str]:
    words = []
    for each in one["data"].get("channels") or ():
        try:
            words.append(channel_words(IncidentChannel.model_validate(each)))
        except ValidationError:  # of another version
            words.append(str(each.get("channel", "")) if isinstance(each, dict) else "")
    return words


def _said(one: Document) -> Iterator[str]:
    """What people and the gateway made of it."""
    if one["kind"] == "detector" and one["data"].get("reason"):
        yield str(one["data"]["reason"])
    if one["acknowledged_by"]:
        until = one["acknowledged_until"]
        words = "" if until is None else f" until {clock_time(until)}"
        yield f"acknowledged by {one['acknowledged_by']}{words}"
    if one["verdict"]:
        heeded = "" if one["verdict_heeded"] else " (not heeded yet)"
        yield f"{one['verdict'].replace('_', ' ')}, says {one['verdict_by']}{heeded}"
    if one["silenced_by"]:
        yield f"silenced by {', '.join(one['silenced_by'])}"
    if one["comments"]:
        yield f"comments: {one['comments']}"
