"""What a subscription shall be, from a file and from options."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from schemas.api.sinks import WebhookFormat
from schemas.api.subscriptions import EventType
from schemas.wire.anomaly import Severity
from workers.cli.gateway_options import parse_matches, parse_seconds, read_secret
from workers.cli.options import usage_errors

__all__ = ["SpecOptions", "read_document"]

_MAX_FILE_BYTES: Final = 1 << 20
_PARTS: Final = frozenset({"group", "escalate", "template"})
"""Fields of which an option gives a part."""

Texts = list[str] | None


@dataclass(frozen=True, kw_only=True)
class SpecOptions:
    """Each is a field of the subscription; those that are not given stay as they are."""

    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="The subscription as JSON or TOML; options win."),
    ] = None
    name: Annotated[str | None, typer.Option("--name", help="Its name, for people.")] = None
    description: Annotated[
        str | None, typer.Option("--description", help="What else there is to say of it.")
    ] = None
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="Sink: POST to this address.")
    ] = None
    form: Annotated[
        WebhookFormat | None, typer.Option("--format", help="Form of the webhook's body.")
    ] = None
    header_file: Annotated[
        Path | None,
        typer.Option(
            "--header-file", help="File with headers of the webhook, a line each: Name: value."
        ),
    ] = None
    email: Annotated[
        Texts, typer.Option("--email", help="Sink: e-mail to this address. May be repeated.")
    ] = None
    kafka_topic: Annotated[
        str | None, typer.Option("--kafka-topic", help="Sink: this topic of the broker.")
    ] = None
    alertmanager: Annotated[
        Texts,
        typer.Option(
            "--alertmanager", metavar="URL", help="Sink: an Alertmanager; repeat for each member."
        ),
    ] = None
    pagerduty_key_file: Annotated[
        Path | None,
        typer.Option("--pagerduty-key-file", help="Sink: PagerDuty; file with the routing key."),
    ] = None
    apprise_file: Annotated[
        Path | None,
        typer.Option("--apprise-file", help="Sink: Slack, Teams, ...; file with the Apprise URL."),
    ] = None
    types: Annotated[
        list[EventType] | None,
        typer.Option("--type", help="What it is told of. May be repeated. Default: open, resolve."),
    ] = None
    min_severity: Annotated[
        Severity | None, typer.Option("--min-severity", help="Least severity.")
    ] = None
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Least peak score; 1 is the threshold.")
    ] = None
    sensor: Annotated[
        Texts, typer.Option("--sensor", help="A sensor or pattern. May be repeated.")
    ] = None
    channel: Annotated[
        Texts, typer.Option("--channel", help="A channel or pattern. May be repeated.")
    ] = None
    match: Annotated[
        Texts,
        typer.Option(
            "--match",
            help="A matcher: 'site=\"Lyon\"', 'line=~\"[12]\"', 'kind!=drift'. May be repeated.",
        ),
    ] = None
    filter: Annotated[
        Texts,
        typer.Option("--filter", metavar="JSON", help="A CloudEvents filter. May be repeated."),
    ] = None
    suppressed: Annotated[
        bool | None,
        typer.Option(
            "--suppressed/--no-suppressed",
            help="Also incidents that look like a confirmed false alarm.",
        ),
    ] = None
    escalations_only: Annotated[
        bool | None,
        typer.Option(
            "--escalations-only/--no-escalations-only",
            help="Told only of what is escalated to it, and of what follows.",
        ),
    ] = None
    hours: Annotated[
        Texts,
        typer.Option("--hours", help="When: 'mon-fri 08:00-18:00 Europe/Paris'. May be repeated."),
    ] = None
    group_by: Annotated[
        Texts,
        typer.Option(
            "--group-by",
            metavar="LABEL",
            help="Incidents that share it are one notification; '' groups all. May be repeated.",
        ),
    ] = None
    group_wait: Annotated[
        str | None, typer.Option("--group-wait", help="How long a new group waits. Default: 30s.")
    ] = None
    group_interval: Annotated[
        str | None,
        typer.Option("--group-interval", help="Least time between two of a group. Default: 5m."),
    ] = None
    group_repeat: Annotated[
        str | None, typer.Option("--group-repeat", help="Told again after. Default: 4h; 0 never.")
    ] = None
    cooldown: Annotated[
        str | None,
        typer.Option("--cooldown", help="After one of a sensor, its next ones are not told: 15m."),
    ] = None
    max_per_hour: Annotated[
        int | None, typer.Option("--max-per-hour", help="Most told in an hour; the rest: a digest.")
    ] = None
    escalate_to: Annotated[
        str | None,
        typer.Option(
            "--escalate-to",
            metavar="SUBSCRIPTION",
            help="Is told when nobody acknowledges: an id or a name.",
        ),
    ] = None
    escalate_after: Annotated[
        str | None, typer.Option("--escalate-after", help="When. Default: 15m.")
    ] = None
    title: Annotated[str | None, typer.Option("--title", help="Jinja template of the title.")] = (
        None
    )
    text: Annotated[str | None, typer.Option("--text", help="Jinja template of the text.")] = None
    max_age: Annotated[
        str | None, typer.Option("--max-age", help="When a delivery is given up. Default: 3d.")
    ] = None
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose it is.")] = None

    def document(self, *, find: Callable[[str], str]) -> dict[str, Any]:
        """The fields that are given, as the gateway takes them.

        Args:
            find: the id of a subscription that is named.

        Raises:
            typer.BadParameter: an option, or the file, is none that can be.
        """
        found: dict[str, Any] = {} if self.file is None else read_document(self.file)
        given = {
            "name": self.name,
            "description": self.description,
            "sink": self._sink(),
            "types": None if self.types is None else [one.value for one in self.types],
            "min_severity": None if self.min_severity is None else self.min_severity.value,
            "min_score": self.min_score,
            "sensors": self.sensor,
            "channels": self.channel,
            "matchers": None if self.match is None else parse_matches(self.match),
            "filters": None if self.filter is None else [_filter(text) for text in self.filter],
            "suppressed": self.suppressed,
            "escalations_only": self.escalations_only,
            "hours": None if self.hours is None else _hours(self.hours),
            "group": self._group(),
            "cooldown_s": _seconds(self.cooldown, "--cooldown"),
            "max_per_hour": self.max_per_hour,
            "escalate": self._escalate(find),
            "template": _some(title=self.title, text=self.text),
            "max_age_s": _seconds(self.max_age, "--max-age"),
            "tenant": self.tenant,
        }
        for key, value in given.items():
            known = found.get(key)
            if key in _PARTS and isinstance(known, dict) and isinstance(value, dict):
                found[key] = {**known, **value}
            elif value is not None:
                found[key] = value
        return found

    def _sink(self) -> dict[str, Any] | None:
        sinks: dict[str, Callable[[], dict[str, Any]]] = {}
        if self.webhook is not None:
            sinks["--webhook"] = self._webhook
        if self.email:
            sinks["--email"] = lambda: {"kind": "email", "to": self.email}
        if self.kafka_topic is not None:
            sinks["--kafka-topic"] = lambda: {"kind": "kafka", "topic": self.kafka_topic}
        if self.alertmanager:
            sinks["--alertmanager"] = lambda: {"kind": "alertmanager", "urls": self.alertmanager}
        if (key := self.pagerduty_key_file) is not None:
            sinks["--pagerduty-key-file"] = lambda: {
                "kind": "pagerduty",
                "routing_key": read_secret(key, "--pagerduty-key-file"),
            }
        if (url := self.apprise_file) is not None:
            sinks["--apprise-file"] = lambda: {
                "kind": "apprise",
                "url": read_secret(url, "--apprise-file"),
            }
        if len(sinks) > 1:
            raise typer.BadParameter(f"one sink, not {' and '.join(sinks)}")
        if self.webhook is None and (self.form is not None or self.header_file is not None):
            raise typer.BadParameter("--format and --header-file belong to --webhook")
        return next((make() for make in sinks.values()), None)

    def _webhook(self) -> dict[str, Any]:
        form = None if self.form is None else self.form.value
        headers = None if self.header_file is None else _headers(self.header_file)
        more = _some(format=form, headers=headers)
        return {"kind": "webhook", "url": self.webhook, **(more or {})}

    def _group(self) -> dict[str, Any] | None:
        return _some(
            by=None if self.group_by is None else [one for one in self.group_by if one],
            wait_s=_seconds(self.group_wait, "--group-wait"),
            interval_s=_seconds(self.group_interval, "--group-interval"),
            repeat_s=_seconds(self.group_repeat, "--group-repeat"),
        )

    def _escalate(self, find: Callable[[str], str]) -> dict[str, Any] | None:
        return _some(
            to=None if self.escalate_to is None else find(self.escalate_to),
            after_s=_seconds(self.escalate_after, "--escalate-after"),
        )


def read_document(path: Path) -> dict[str, Any]:
    """What a file of JSON, or of TOML by its name, holds.

    Raises:
        typer.BadParameter: it cannot be read, or holds no such thing.
    """
    hint = "--file"
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES).decode()
        found = tomllib.loads(content) if path.suffix == ".toml" else json.loads(content)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error}", param_hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint=hint) from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{path} holds no object", param_hint=hint)
    return found


def _some(**given: Any) -> dict[str, Any] | None:
    """What is given of several; None if nothing is."""
    return {name: value for name, value in given.items() if value is not None} or None


def _seconds(text: str | None, hint: str) -> float | None:
    return None if text is None else parse_seconds(text, hint)


def _hours(texts: list[str]) -> list[dict[str, Any]]:
    from workers.alerts.hours_text import parse_hours

    with usage_errors("--hours"):
        return [parse_hours(text).model_dump(mode="json") for text in texts]


def _filter(text: str) -> Any:
    with usage_errors("--filter"):
        return json.loads(text)


def _headers(path: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in read_secret(path, "--header-file").splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip() and value.strip()):
            raise typer.BadParameter(
                f"{path} has a line that is not 'Name: value'", param_hint="--header-file"
            )
        if line.strip():
            found[name.strip()] = value.strip()
    return found
