"""Slack, Teams, Discord, ntfy, MQTT and others, by the library Apprise.

It follows no redirects here, but dials what its URL says: only administrators give such URLs.
"""

from __future__ import annotations

import logging
import re
import threading
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

from schemas.api.sinks import AppriseSink
from schemas.api.subscriptions import EventType
from workers.alerts.facts import facts_of
from workers.alerts.message import Message
from workers.alerts.templates import render
from workers.gateway.sinks.outcome import Outcome, Verdict

__all__ = ["send_by_apprise"]

_LOADING: Final = threading.Lock()
_STATUS: Final = re.compile(r"\berror[=: ]+(\d{3})\b")
_KINDS: Final = {"high": "failure", "medium": "warning", "low": "warning"}


def send_by_apprise(sink: AppriseSink, message: Message) -> Outcome:
    """Send; blocks. What Apprise says is not passed on, as its URL may be in it."""
    try:
        with _LOADING:
            library, heard = _library()
    except ModuleNotFoundError as error:
        return Outcome.failed(
            f"the package {error.name} is missing: pip install 'vigie[notify]'", Verdict.REJECTED
        )
    sender = library.Apprise(asset=library.AppriseAsset(async_mode=False, http_redirects=False))
    if not sender.add(sink.url.get_secret_value()):
        return Outcome.failed(
            "Apprise does not know this URL: see its documentation for the form that it has to "
            "have",
            Verdict.REJECTED,
        )
    shown = render(message)
    statuses = heard.begin()
    if sender.notify(title=shown.title, body=shown.text, notify_type=_kind(message)):
        return Outcome(verdict=Verdict.DELIVERED)
    status = statuses[-1] if statuses else None
    return Outcome(
        verdict=Verdict.RETRY,
        status=status,
        error=f"HTTP {status}, says Apprise" if status else "Apprise could not deliver it",
    )


def _kind(message: Message) -> str:
    told = facts_of(message)
    if told and all(facts.is_over for facts in told):
        return "success"
    if message.type == EventType.UNHEALTHY:
        return "failure"
    if message.type == EventType.TEST:
        return "info"
    severities = {_KINDS.get(facts.severity, "info") for facts in told}
    return next((kind for kind in ("failure", "warning") if kind in severities), "info")


class _Heard(logging.Handler):
    """Keeps what Apprise says of a delivery, and passes nothing on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        # Apprise delivers in a thread of its own that has a copy of the caller's context.
        self._statuses: ContextVar[list[int]] = ContextVar("statuses")

    def begin(self) -> list[int]:
        """Statuses of HTTP that are said from now on."""
        statuses: list[int] = []
        self._statuses.set(statuses)
        return statuses

    def emit(self, record: logging.LogRecord) -> None:
        statuses = self._statuses.get(None)
        found = _STATUS.search(record.getMessage())
        if statuses is not None and found:
            statuses.append(int(found[1]))


@cache
def _library() -> tuple[Any, _Heard]:
    """The library, and what listens to its log, which holds URLs.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import apprise

    heard, log = _Heard(), logging.getLogger("apprise")
    log.addHandler(heard)
    log.propagate = False
    return apprise, heard
