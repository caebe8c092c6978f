"""What people read of a notification unless a template says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.api.subscriptions import EventType
from schemas.wire.timestamp import format_ns
from workers.alerts.facts import ChannelFacts, EventFacts, facts_of
from workers.alerts.labels import DETECTOR
from workers.alerts.message import Message
from workers.printable import printable

__all__ = ["MAX_TITLE_CHARS", "default_text", "default_title", "duration", "moment", "number"]

MAX_TITLE_CHARS: Final = 250
"""Longest title."""
_MAX_LISTED: Final = 20
_NAMED: Final = 3
_WEIGHT: Final = {"low": 1, "medium": 2, "high": 3}
_VERB: Final = {
    EventType.OPENED: "opened",
    EventType.UPDATED: "goes on",
    EventType.RESOLVED: "resolved",
    EventType.ACKNOWLEDGED: "acknowledged",
    EventType.UNACKNOWLEDGED: "no longer acknowledged",
    EventType.COMMENTED: "commented",
}


def number(value: float) -> str:
    """A number with as many digits as people read: 81.2, 0.0123, 1013."""
    size = abs(value)
    if value != 0 and (size < 0.01 or size >= 1e9):  # noqa: PLR2004 - where digits get too many
        return f"{value:.3g}"
    places = next((places for limit, places in _PLACES if size >= limit), 3)
    return f"{value:.{places}f}"


_PLACES: Final = ((1000.0, 0), (10.0, 1), (1.0, 2))


def duration(seconds: float) -> str:
    """A time span in one or two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    whole = max(round(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    large, small, names = (_HOUR, _MINUTE, "h min") if whole < _DAY else (_DAY, _HOUR, "d h")
    first, second = names.split()
    rest = whole % large // small
    return f"{whole // large} {first}" + (f" {rest} {second}" if rest else "")


_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def moment(ns: int) -> str:
    """A time to the second: 2026-11-30 10:22:41 UTC."""
    return f"{format_ns(ns)[:19].replace('T', ' ')} UTC"


def default_title(message: Message) -> str:
    """One line: `HIGH pump-7: bearing temperature 81.2 °C, expected 63.0 (opened)`."""
    facts = facts_of(message)
    if message.group is not None and len(facts) > 1:
        title = _group_title(message, facts)
    elif facts:
        title = _title(message, facts[0])
    else:
        title = f"Vigie: {message.type}"
    return one_line(title)


def default_text(message: Message) -> str:
    """What there is to know, in a few lines, and the link."""
    facts = facts_of(message)
    if message.group is not None and len(facts) > 1:
        lines = [_title(message, one) for one in facts[:_MAX_LISTED]]
        if len(facts) > _MAX_LISTED:
            lines.append(f"and {len(facts) - _MAX_LISTED} more")
    elif facts:
        lines = _lines(message, facts[0])
    else:
        lines = []
    if message.note:
        lines.insert(0, message.note)
    return "\n".join([*map(printable, lines), *([message.url] if message.url else [])])


def one_line(title: str) -> str:
    """A title that is one line and not too long, whatever is in it."""
    line = printable(" ".join(title.split()))
    return line if len(line) <= MAX_TITLE_CHARS else f"{line[: MAX_TITLE_CHARS - 1]}…"


def _title(message: Message, facts: EventFacts) -> str:
    if facts.type.startswith("incident."):
        return _incident_title(facts)
    match facts.type:
        case EventType.UNHEALTHY:
            title = "The detector is unhealthy"
        case EventType.HEALTHY:
            title = "The detector is healthy again"
        case EventType.DISABLED:
            title = f"A subscription was disabled: {_name(facts, message)}"
        case EventType.DIGEST:
            count = message.suppressed
            title = f"{count} {_plural(count)} suppressed{_of_name(message)}"
        case EventType.TEST:
            title = f"Test: Vigie reaches you{_of_name(message)}"
        case _:
            title = f"Vigie: {facts.type} {facts.subject}"
    return title + _reason(facts)


def _incident_title(facts: EventFacts) -> str:
    severity = f"{facts.severity.upper()} " if facts.severity else ""
    what = "drift" if facts.kind == "drift" else ""
    if facts.kind == DETECTOR:
        what = f"the detector is unhealthy{_reason(facts)}"
    elif facts.channels:
        what = f"{what}: " * bool(what) + _deviation(facts.channels[0])
    verb = _VERB.get(EventType(facts.type), "") if facts.type in _VERB else facts.type
    if facts.type == EventType.RESOLVED and facts.duration_s:
        verb = f"resolved after {duration(facts.duration_s)}"
    who = facts.data.get("acknowledged_by")
    if facts.type == EventType.ACKNOWLEDGED and isinstance(who, str) and who:
        verb = f"acknowledged by {who}"
    if facts.type == EventType.COMMENTED:
        verb = f"{facts.data.get('comment_by') or 'comment'}: {facts.data.get('comment') or ''}"
    return f"{severity}{facts.subject}: {what or 'incident'} ({verb})"


def _deviation(channel: ChannelFacts, *, band: bool = False) -> str:
    unit = f" {channel.unit}" if channel.unit else ""
    expected = ""
    if channel.expected is not None:
        expected = number(channel.expected)
        if band and channel.band is not None:
            expected += f" ± {number(channel.band)}"
    if channel.observed is None:
        return f"{channel.name} is missing" + (f", expected {expected}{unit}" if expected else "")
    observed = f"{channel.name} {number(channel.observed)}{unit}"
    if not expected:
        return observed
    if channel.direction == "pattern":
        return f"{observed}, unusual course (expected {expected})"
    return f"{observed}, expected {expected}"


def _lines(message: Message, facts: EventFacts) -> list[str]:
    lines = []
    if facts.type == EventType.TEST:
        lines.append("Somebody tries this subscription. Nothing is wrong; this is how it reads:")
    for channel in facts.channels:
        share = f" ({channel.share:.0%} of the score)" if channel.share is not None else ""
        lines.append(f"{_deviation(channel, band=True)}{share}")
    if facts.peak is not None and facts.kind != DETECTOR:
        lines.append(f"Highest score {number(facts.peak)}; the threshold is 1.0.")
    if facts.opened_ns is not None:
        ended = f", over at {moment(facts.end_ns)}" if facts.end_ns is not None else ""
        lines.append(f"Opened at {moment(facts.opened_ns)}{ended}.")
    if facts.labels:
        lines.append(", ".join(f"{name}: {value}" for name, value in sorted(facts.labels.items())))
    if facts.type == EventType.DIGEST:
        lines.append(
            "More opened than this subscription is told in an hour. The page has all of them."
        )
    if facts.type == EventType.DISABLED:
        lines.append(f"It is told nothing until somebody enables it: {_name(facts, message)}")
    return lines


def _group_title(message: Message, facts: Sequence[EventFacts]) -> str:
    firing = [one for one in facts if not one.is_over]
    over = len(facts) - len(firing)
    worst = max((one.severity for one in firing), key=lambda s: _WEIGHT.get(s, 0), default="")
    counted = f"{len(firing)} {_plural(len(firing))}" if firing else ""
    if over:
        counted = f"{counted}, {over} resolved" if firing else f"{over} {_plural(over)} resolved"
    labels = message.group.labels if message.group is not None else {}
    shared = ", ".join(f"{name} {value}" for name, value in labels.items() if value)
    sensors = list(dict.fromkeys(one.subject for one in firing or facts))
    named = ", ".join(sensors[:_NAMED])
    more = f" and {len(sensors) - _NAMED} more" if len(sensors) > _NAMED else ""
    severity = f"{worst.upper()} " if worst else ""
    return f"{severity}{counted}{f' of {shared}' if shared else ''}: {named}{more}"


def _plural(count: int) -> str:
    return "incident" if count == 1 else "incidents"


def _reason(facts: EventFacts) -> str:
    reason = facts.data.get("reason") or facts.data.get("message")
    return f": {reason}" if isinstance(reason, str) else ""


def _of_name(message: Message) -> str:
    return f" ({message.name})" if message.name else ""


def _name(facts: EventFacts, message: Message) -> str:
    name = facts.data.get("name")
    return name if isinstance(name, str) and name else facts.subject or message.name
