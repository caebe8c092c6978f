"""A gateway of which every metric has a value."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

from sqlalchemy import insert

from tests.support.api import START_NS, Api
from workers.api.auth import Scope
from workers.gateway.store.tables import deliveries, incidents, subscriptions


def taking_in(api: Api, *, alive: bool = True, error: str = "", lag: int | None = 0) -> None:
    api.gateway.state.intake = SimpleNamespace(  # type: ignore[assignment]
        is_alive=lambda: alive,
        state=SimpleNamespace(error=error, lag=lag, counts=Counter(records=9, unreadable=1)),
    )


def fill(api: Api) -> None:
    """Four incidents, and six deliveries, due and made at other times."""
    second = 10**9
    of_subscription = {"version": 1, "enabled": True, "spec": "{}", "sealed": b""}
    with api.gateway.database.begin() as connection:
        connection.execute(
            insert(subscriptions).values(
                **of_subscription, id="s", created_ns=0, updated_ns=0, created_by=""
            )
        )
        of_delivery = {"subscription_id": "s", "type": "incident.opened", "order_key": "k"}
        for number, (state, due_s) in enumerate(
            [("waiting", -30), ("waiting", 90), ("muted", -500), ("delivered", -900),
             ("delivered", -900), ("dead", -900)]
        ):  # fmt: skip
            times = {
                "due_ns": START_NS + due_s * second,
                "expires_ns": START_NS,
                "created_ns": START_NS - (number + 1) * 60 * second,
            }
            row = {**of_delivery, **times, "event_id": str(number), "sensor": "p", "state": state}
            connection.execute(insert(deliveries).values(row))
        of_incident = {"sensor_id": "p", "kind": "anomaly", "peak": 1.0, "suppressed": False}
        times = {"opened_event_ns": 0, "created_ns": 0, "updated_ns": 0}
        texts = {"labels": "{}", "data": "{}", "search": ""}
        for number, (state, severity) in enumerate(
            [("open", 3), ("open", 1), ("acknowledged", 3), ("resolved", 3)]
        ):
            own = {"id": str(number), "state": state, "severity": severity, "sequence": 0}
            connection.execute(insert(incidents).values({**of_incident, **times, **texts, **own}))


def metrics_of(api: Api) -> str:
    answer = api.client.get("/metrics", headers=api.bearer(Scope.READ))
    assert answer.status_code == 200, answer.text
    return answer.text
