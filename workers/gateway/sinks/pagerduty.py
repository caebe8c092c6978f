"""PagerDuty's Events API v2."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Final

from schemas.api.sinks import PagerDutySink
from workers.alerts.bodies import pagerduty
from workers.alerts.message import Message
from workers.gateway.sinks.guarded import HttpPoster
from workers.gateway.sinks.http import USER_AGENT, outcome_of
from workers.gateway.sinks.outcome import Outcome, Verdict

__all__ = ["send_to_pagerduty"]

_WAIT_S: Final = 120.0
"""After 429 without a Retry-After: the limit is one of minutes."""


async def send_to_pagerduty(
    http: HttpPoster, sink: PagerDutySink, message: Message, *, deadline: float
) -> Outcome:
    """Post an event; 400 says that no attempt of this event will ever be taken."""
    key = sink.routing_key.get_secret_value()
    headers = [("Content-Type", pagerduty.CONTENT_TYPE), ("User-Agent", USER_AGENT)]
    outcome = await outcome_of(
        http.post(sink.url, pagerduty.body(message, key), headers, deadline=deadline)
    )
    outcome = replace(outcome, response=outcome.response.replace(key, "***"))
    if outcome.status == HTTPStatus.BAD_REQUEST:
        return replace(outcome, verdict=Verdict.REJECTED)
    if outcome.status == HTTPStatus.TOO_MANY_REQUESTS and outcome.retry_after_s is None:
        return replace(outcome, retry_after_s=_WAIT_S)
    return outcome
