"""Alertmanagers: every member of a cluster gets every alert."""

from __future__ import annotations

import asyncio
from typing import Final

from schemas.api.sinks import AlertmanagerSink
from workers.alerts.bodies import alertmanager
from workers.alerts.message import Message
from workers.gateway.sinks.guarded import HttpPoster
from workers.gateway.sinks.http import USER_AGENT, outcome_of
from workers.gateway.sinks.outcome import Outcome

__all__ = ["send_alerts"]

_PATH: Final = "/api/v2/alerts"


async def send_alerts(
    http: HttpPoster, sink: AlertmanagerSink, message: Message, *, deadline: float
) -> Outcome:
    """Post to all at once; it is delivered if one of them took it, as they tell each other."""
    body = alertmanager.alerts_body(message)
    headers = [("Content-Type", alertmanager.CONTENT_TYPE), ("User-Agent", USER_AGENT)]
    outcomes = await asyncio.gather(
        *(
            outcome_of(http.post(_address(url), body, headers, deadline=deadline))
            for url in sink.urls
        )
    )
    return next((one for one in outcomes if one.is_delivered), outcomes[0])


def _address(url: str) -> str:
    base, _, query = url.partition("?")
    return f"{base.rstrip('/')}{_PATH}" + (f"?{query}" if query else "")
