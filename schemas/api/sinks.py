"""Where a subscription delivers to, and in which form."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import Url, ValidationError

from schemas.api.base import Request
from schemas.settings.sections import Topic
from schemas.wire.limits import MAX_NAME_CHARS

__all__ = [
    "AlertmanagerSink",
    "AppriseSink",
    "EmailSink",
    "KafkaSink",
    "PagerDutySink",
    "Sink",
    "WebhookFormat",
    "WebhookSink",
]

MAX_URL_CHARS: Final = 2048
MAX_HEADER_CHARS: Final = 8192


def _http(url: str) -> str:
    try:
        parts = Url(url)
    except ValidationError as error:
        raise ValueError("not a URL") from error
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise ValueError("a URL begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no user and no password: give them as `headers`")
    if parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("a URL holds no fragment, no blank and no control character")
    return url


HttpUrl = Annotated[str, Field(max_length=MAX_URL_CHARS), AfterValidator(_http)]


def _field_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value) > MAX_HEADER_CHARS or not _FIELD_VALUE.fullmatch(value):
        raise ValueError(
            "the value of a header has letters of ISO 8859-1, no control characters and no blank "
            f"at its ends, and at most {MAX_HEADER_CHARS} of them"
        )
    return secret


HeaderName = Annotated[
    str, Field(max_length=MAX_NAME_CHARS, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
]
"""A token, as RFC 9110 has it."""
HeaderValue = Annotated[SecretStr, AfterValidator(_field_value)]
_FIELD_VALUE: Final = re.compile(
    r"([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
)


class WebhookFormat(StrEnum):
    """The body of a webhook."""

    STANDARD = "standard-webhooks"
    """`{type, timestamp, data}`, as Standard Webhooks has it."""
    CLOUDEVENTS = "cloudevents"
    """The CloudEvent, structured."""
    ALERTMANAGER = "alertmanager"
    """Version 4 of Alertmanager's webhook, for receivers that there are already."""


class WebhookSink(Request):
    """A webhook, signed as Standard Webhooks has it."""

    kind: Literal["webhook"] = "webhook"
    """Which sink it is."""
    url: HttpUrl
    """Where to POST."""
    format: WebhookFormat = WebhookFormat.STANDARD
    """Form of the body."""
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Headers beside ours, such as Authorization; kept as secrets, never shown again."""


class AlertmanagerSink(Request):
    """Alertmanagers, by their API v2; all members of a cluster, never a load balancer."""

    kind: Literal["alertmanager"] = "alertmanager"
    """Which sink it is."""
    urls: Annotated[tuple[HttpUrl, ...], Field(min_length=1, max_length=16)]
    """Their addresses, without /api/v2."""
    resend_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """How often a firing alert is sent again; less than their resolve_timeout (5 minutes)."""


class PagerDutySink(Request):
    """PagerDuty's Events API v2."""

    kind: Literal["pagerduty"] = "pagerduty"
    """Which sink it is."""
    routing_key: Annotated[SecretStr, Field(min_length=1, max_length=256)]
    """Integration key of the service."""
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    """Where events go; another region has another one."""


class KafkaSink(Request):
    """A topic of the broker of [kafka]."""

    kind: Literal["kafka"] = "kafka"
    """Which sink it is."""
    topic: Topic
    """Its name; the key is the sensor, the value the CloudEvent."""


class EmailSink(Request):
    """E-mail, by the server of [smtp]."""

    kind: Literal["email"] = "email"
    """Which sink it is."""
    to: Annotated[
        tuple[
            Annotated[str, Field(max_length=320, pattern=r"^[^@\s,;<>\x00]+@[^@\s,;<>\x00]+$")], ...
        ],
        Field(min_length=1, max_length=50),
    ]
    """Who gets it."""


class AppriseSink(Request):
    """Slack, Teams, Discord, ntfy, MQTT and others, by an Apprise URL. For administrators."""

    kind: Literal["apprise"] = "apprise"
    """Which sink it is."""
    url: Annotated[SecretStr, Field(min_length=1, max_length=MAX_URL_CHARS)]
    """Its URL; holds secrets, so it is never shown again."""


Sink = Annotated[
    WebhookSink | AlertmanagerSink | PagerDutySink | KafkaSink | EmailSink | AppriseSink,
    Field(discriminator="kind"),
]
"""One sink, by its kind."""
