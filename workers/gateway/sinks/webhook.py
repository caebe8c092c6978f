"""Webhooks, signed as Standard Webhooks 1.0 has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from schemas.api.sinks import WebhookFormat, WebhookSink
from workers.alerts.bodies import alertmanager, cloud_events, standard_webhooks
from workers.alerts.message import Message
from workers.gateway.sinks.guarded import HttpPoster
from workers.gateway.sinks.http import USER_AGENT, outcome_of
from workers.gateway.sinks.outcome import Outcome

__all__ = ["send_webhook", "signed_headers"]

_OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
"""Headers that no subscription sets: they say what the request is and who vouches for it."""


async def send_webhook(
    http: HttpPoster,
    sink: WebhookSink,
    signing: Sequence[str],
    message: Message,
    *,
    deadline: float,
    now: datetime | None = None,
) -> Outcome:
    """Post a notification, signed by each of the secrets."""
    body, content_type = body_of(sink.format, message)
    own = [
        (name, value.get_secret_value())
        for name, value in sink.headers.items()
        if name.strip().lower() not in _OURS
    ]
    agent = [] if any(name.lower() == "user-agent" for name, _ in own) else [USER_AGENT]
    headers = [
        ("Content-Type", content_type),
        *(("User-Agent", name) for name in agent),
        *signed_headers(message.id, body, signing, now or datetime.now(UTC)),
        *own,
    ]
    return await outcome_of(http.post(sink.url, body, headers, deadline=deadline))


def signed_headers(
    id_: str, body: bytes, signing: Sequence[str], at: datetime
) -> list[tuple[str, str]]:
    """The three headers of Standard Webhooks; the signature is left out without a secret.

    Args:
        id_: of the notification.
        body: as it goes out.
        signing: secrets; while one is rotated the old one signs as well.
        at: time of the attempt.

    Raises:
        ValueError: a secret is none.
    """
    at = at.astimezone(UTC)  # the library takes what it is given for UTC, whatever its zone
    headers = [("webhook-id", id_), ("webhook-timestamp", str(int(at.timestamp())))]
    try:
        signatures = [Webhook(secret).sign(id_, at, body.decode()) for secret in signing]
    except EmptyWebhookSecretError as error:
        raise ValueError("a secret is empty") from error
    if signatures:
        headers.append(("webhook-signature", " ".join(signatures)))
    return headers


def body_of(form: WebhookFormat, message: Message) -> tuple[bytes, str]:
    """The body in a form, and its content type."""
    match form:
        case WebhookFormat.STANDARD:
            return standard_webhooks.body(message), standard_webhooks.CONTENT_TYPE
        case WebhookFormat.CLOUDEVENTS:
            return cloud_events.body(message)
        case WebhookFormat.ALERTMANAGER:
            return alertmanager.webhook_body(message), alertmanager.CONTENT_TYPE
