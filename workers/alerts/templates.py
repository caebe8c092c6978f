"""Titles and texts: ours, or those of a subscription's template. A notification is never lost.

A template sees, beside what Jinja brings of its own (see `sandbox` for what it may do):

`title`, `text`
    ours, to add to them
`type`, `at`, `url`, `name`, `note`, `suppressed`
    of the notification: incident.opened; when it came about; link to the page; the subscription's
    name; why it is told now; number in a digest
`event`
    the CloudEvent (the first of a group): `event.id`, `event.time`, `event.data`
`incident`
    its data as the schema has it: `incident.severity`, `incident.labels.site`
`sensor`, `severity`, `labels`, `peak`, `channel`, `observed`, `expected`, `unit`, `channels`
    what is asked for most; those of the channel are of the main one
`group`
    labels that a group shares
`incidents`, `firing`, `resolved`
    all of a group, or the one: each with `sensor`, `severity`, `labels`, ..., `event`, `incident`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.api.subscriptions import Template
from workers.alerts.facts import EventFacts, facts_of
from workers.alerts.message import Message
from workers.alerts.sandbox import TemplateProblemError, compiled, rendered
from workers.alerts.words import (
    MAX_TITLE_CHARS,
    default_text,
    default_title,
    moment,
    one_line,
)
from workers.printable import printable_lines

__all__ = ["MAX_TEXT_CHARS", "Rendered", "TemplateProblemError", "check", "preview", "render"]

MAX_TEXT_CHARS: Final = 8000
"""Longest text."""
_MAX_EVENTS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What people read."""

    title: str
    """One line."""
    text: str
    """The text below it."""
    problem: str = ""
    """What was wrong with the template; then it is our own text, and says so."""


def check(template: Template) -> None:
    """Whether a template can be used, as far as that can be said without an event.

    Raises:
        TemplateProblemError: why not.
    """
    for part, source in (("title", template.title), ("text", template.text)):
        try:
            compiled(source)
        except TemplateProblemError as error:
            raise TemplateProblemError(f"template.{part}: {error}") from error


def render(message: Message) -> Rendered:
    """Title and text of a notification; ours if the template cannot be used with it."""
    title, text = default_title(message), _printable(default_text(message))
    template = message.template
    if not template.title and not template.text:
        return Rendered(title=title, text=text)
    values = _values(message, title=title, text=text)
    made, problems = {"title": title, "text": text}, []
    for part, source, limit in (
        ("title", template.title, 2 * MAX_TITLE_CHARS),
        ("text", template.text, MAX_TEXT_CHARS),
    ):
        try:
            made[part] = rendered(source, values, limit=limit) if source else made[part]
        except TemplateProblemError as error:
            problems.append(f"template.{part} of this subscription cannot be used: {error}")
    # A template without a word still has a title.
    shown = Rendered(title=one_line(made["title"]) or title, text=_printable(made["text"]))
    if not problems:
        return shown
    problem = _printable("; ".join(problems))
    return replace(shown, text=f"{shown.text}\n\n({problem})".strip(), problem=problem)


def preview(template: Template, message: Message) -> Rendered:
    """What a template would make of a notification; `problem` says what is wrong with it."""
    return render(replace(message, template=template))


def _printable(text: str) -> str:
    return printable_lines(text[:MAX_TEXT_CHARS]).strip()


def _values(message: Message, *, title: str, text: str) -> dict[str, Any]:
    facts = facts_of(message)[:_MAX_EVENTS]
    documents = {str(document.get("id")): document for document in message.events}
    incidents = [_incident(one, documents.get(one.id, {})) for one in facts]
    first = incidents[0] if incidents else _incident(EventFacts.of({}), {})
    return {
        **first,
        "title": title,
        "text": text,
        "type": message.type,
        "at": moment(message.at_ns),
        "url": message.url,
        "name": message.name,
        "note": message.note,
        "suppressed": message.suppressed,
        "group": dict(message.group.labels) if message.group is not None else {},
        "incidents": incidents,
        "firing": [one for one, told in zip(incidents, facts, strict=True) if told.is_firing],
        "resolved": [one for one, told in zip(incidents, facts, strict=True) if told.is_over],
    }


def _incident(facts: EventFacts, document: Mapping[str, Any]) -> dict[str, Any]:
    main = facts.channels[0] if facts.channels else None
    return {
        "event": dict(document),
        "incident": dict(facts.data),
        "sensor": facts.subject,
        "severity": facts.severity,
        "labels": dict(facts.labels),
        "peak": facts.peak,
        "channel": main.name if main is not None else "",
        "observed": main.observed if main is not None else None,
        "expected": main.expected if main is not None else None,
        "unit": main.unit if main is not None else "",
        "channels": [
            {
                "channel": one.name,
                "unit": one.unit,
                "observed": one.observed,
                "expected": one.expected,
                "share": one.share,
                "direction": one.direction,
            }
            for one in facts.channels
        ],
    }
