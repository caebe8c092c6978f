"""Alertmanagers: every member of a cluster gets every alert, as they do not pass alerts on."""

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
_GRACE_S: Final = 2.0
"""How long the others may take once a member has the alert; what is sent again reaches them."""


async def send_alerts(
    http: HttpPoster, sink: AlertmanagerSink, message: Message, *, deadline: float
) -> Outcome:
    """Post to all at once; it is delivered if one of them took it."""
    body = alertmanager.alerts_body(message)
    headers = [("Content-Type", alertmanager.CONTENT_TYPE), ("User-Agent", USER_AGENT)]
    posts = [
        asyncio.create_task(
            outcome_of(http.post(_address(url), body, headers, deadline=deadline))
        )
        for url in sink.urls
    ]  # fmt: skip
    try:
        for next_one in asyncio.as_completed(posts):
            outcome = await next_one
            if outcome.is_delivered:
                await asyncio.wait(posts, timeout=_GRACE_S)
                return outcome
        return posts[0].result()
    finally:
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)


def _address(url: str) -> str:
    base, _, query = url.partition("?")
    return f"{base.rstrip('/')}{_PATH}" + (f"?{query}" if query else "")
