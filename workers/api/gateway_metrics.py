"""Prometheus metrics of the gateway, read from the database and the process at scrape time.

What is said of deliveries that are over needs a look at each; it is at most a minute old. All the
rest is of the moment, and read by an index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from detector.calibration.severity import Severity
from schemas.api.incidents import IncidentState
from schemas.api.subscriptions import DeliveryState
from workers.gateway.sinks.outcome import Verdict
from workers.gateway.store.database import Database
from workers.gateway.store.tables import deliveries, incidents, subscriptions
from workers.version import own_version

__all__ = ["GatewayCollector"]

_LIVE: Final = (DeliveryState.WAITING.value, DeliveryState.MUTED.value)
_COUNT_EVERY_S: Final = 60.0
_TAKEN_IN: Final = {
    "records": "Records of the topic of incidents that were taken in.",
    "events": "Events in them that were news.",
    "unreadable": "Records in which no event could be read.",
    "rejected": "Records that the database would not hold; they were passed over.",
    "lost": "Records that retention deleted before they were taken in.",
}
_OF_PROCESS: Final = {
    "streams": "Clients of /v1/stream.",
    "intake": "1 while incidents are taken in, or another gateway does it.",
    "intake_lag_records": "Incidents in the topic, not yet taken in.",
}


class GatewayCollector(Collector):
    """Reads the state at scrape time.

    `health` is that of the gateway: `attempts` by outcome, `streams`, `intake`, `taken_in`,
    `intake_lag_records`; what it does not say is left out.
    """

    def __init__(
        self,
        database: Database,
        health: Callable[[], Mapping[str, Any]],
        *,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of a gateway."""
        self._database, self._health = database, health
        self._clock, self._monotonic = clock, monotonic
        self._over: Mapping[str, tuple[int, int]] = {}
        self._counted_at: float | None = None

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        with self._database.read() as connection:
            yield from list(self._of_deliveries(connection))
            yield from list(_of_incidents(connection))
            yield _gauge(
                "subscriptions",
                "Subscriptions, by whether they are enabled.",
                "enabled",
                [
                    ((str(bool(enabled)).lower(),), number)
                    for enabled, number in connection.execute(
                        select(subscriptions.c.enabled, func.count()).group_by(
                            subscriptions.c.enabled
                        )
                    )
                ],
            )
        yield from _of_process(self._health())

    def _of_deliveries(self, connection: Connection) -> Iterator[Metric]:
        over = self._look_at_over(connection)
        counts = {state: number for state, (number, _) in over.items()}
        for state in _LIVE:
            counts[state] = connection.execute(
                select(func.count()).select_from(deliveries).where(deliveries.c.state == state)
            ).scalar_one()
        yield _gauge(
            "deliveries",
            "Deliveries that are kept, by state.",
            "state",
            [((state.value,), counts.get(state.value, 0)) for state in DeliveryState],
        )
        # The count of the dead falls when they are sent again or deleted, which must not hide the
        # next one from an alert; and each of several gateways says the same.
        _, died_ns = over.get(DeliveryState.DEAD.value, (0, 0))
        yield _gauge(
            "delivery_last_dead_timestamp_seconds",
            "When the last of the dead deliveries was given up; 0 when there is none.",
            "",
            [((), died_ns / 1e9)],
        )
        waiting = deliveries.c.state == DeliveryState.WAITING.value
        now_ns = self._clock()
        due_ns = connection.execute(
            select(deliveries.c.due_ns).where(waiting).order_by(deliveries.c.due_ns).limit(1)
        ).scalar()
        yield _gauge(
            "delivery_overdue_seconds",
            "For how long the delivery that is due the longest has been due; 0 when none is.",
            "",
            [((), max(now_ns - due_ns, 0) / 1e9 if due_ns is not None else 0.0)],
        )
        # A sum, so that it goes by the index of those that wait, not by the one of all.
        oldest = func.min(deliveries.c.created_ns + 0)
        oldest_ns = connection.execute(select(oldest).where(waiting)).scalar()
        yield _gauge(
            "delivery_oldest_waiting_seconds",
            "Age of the oldest delivery that waits, for whatever reason.",
            "",
            [((), max(now_ns - oldest_ns, 0) / 1e9 if oldest_ns is not None else 0.0)],
        )

    def _look_at_over(self, connection: Connection) -> Mapping[str, tuple[int, int]]:
        """Of deliveries that are over: by state, how many, and when the last one ended."""
        now = self._monotonic()
        if self._counted_at is None or now - self._counted_at >= _COUNT_EVERY_S:
            rows = connection.execute(
                select(deliveries.c.state, func.count(), func.max(deliveries.c.due_ns))
                .where(deliveries.c.state.not_in(_LIVE))
                .group_by(deliveries.c.state)
            )
            self._over = {state: (number, ended_ns) for state, number, ended_ns in rows}
            self._counted_at = now
        return self._over


def _of_incidents(connection: Connection) -> Iterator[Metric]:
    rows = connection.execute(
        select(incidents.c.state, incidents.c.severity, func.count())
        .where(incidents.c.state.in_((IncidentState.OPEN.value, IncidentState.ACKNOWLEDGED.value)))
        .group_by(incidents.c.state, incidents.c.severity)
    )
    found = {(state, severity): number for state, severity, number in rows}
    yield _gauge(
        "incidents_open",
        "Incidents that go on, by severity and whether somebody looks after them.",
        "severity acknowledged",
        [
            (
                (severity.name.lower(), str(state is IncidentState.ACKNOWLEDGED).lower()),
                found.get((state.value, severity.value), 0),
            )
            for state in (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
            for severity in Severity
        ],
    )


def _of_process(health: Mapping[str, Any]) -> Iterator[Metric]:
    build = InfoMetricFamily("vigie_gateway_build", "The version of Vigie that runs: 1.")
    build.add_metric([], {"version": own_version()})
    yield build
    attempts = health.get("attempts")
    if isinstance(attempts, Mapping):
        family = CounterMetricFamily(
            "vigie_gateway_delivery_attempts",
            "Attempts to deliver since the start of the process, by what became of them.",
            labels=["outcome"],
        )
        # What never happened is 0: Prometheus sees no increase in a series that begins at 1.
        for outcome, number in sorted({**dict.fromkeys(Verdict, 0), **attempts}.items()):
            family.add_metric([str(outcome)], number)
        yield family
    taken_in = health.get("taken_in")
    if isinstance(taken_in, Mapping):
        for name, told in _TAKEN_IN.items():
            family = CounterMetricFamily(f"vigie_gateway_intake_{name}", told)
            family.add_metric([], taken_in.get(name, 0))
            yield family
    for key, told in _OF_PROCESS.items():
        if isinstance(health.get(key), int | float):
            yield _gauge(key, told, "", [((), health[key])])


def _gauge(
    name: str, told: str, labels: str, found: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(f"vigie_gateway_{name}", told, labels=labels.split())
    for values, number in found:
        family.add_metric(values, number)
    return family
