"""Alertmanagers hear again and again of what goes on, and for a while of what has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas.api.sinks import AlertmanagerSink, Sink
from tests.support.gateway import HOUR, Rig
from workers.alerts.message import Message
from workers.gateway.refresh import Refresher
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.store.database import Database


class Alertmanager:
    """Takes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[list[tuple[str, str]]] = []

    async def send(self, sink: Sink, signing: Sequence[str], message: Message) -> Outcome:
        assert isinstance(sink, AlertmanagerSink)
        self.sent.append([(one["type"], one["subject"]) for one in message.events])
        return Outcome(verdict=Verdict.DELIVERED, status=200)


@pytest.fixture
def rig(database: Database) -> Rig:
    return Rig(database)


def refreshed(rig: Rig, refresher: Refresher, alertmanager: Alertmanager) -> list[tuple[str, str]]:
    """What is sent now."""

    async def run() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(refresher.run(stopping))
        await asyncio.sleep(0)
        stopping.set()
        await running

    before = len(alertmanager.sent)
    asyncio.run(run())
    return sorted(one for sent in alertmanager.sent[before:] for one in sent)


def test_what_was_delivered_and_goes_on_is_sent_again(rig: Rig):
    alertmanager = Alertmanager()
    sink = {"kind": "alertmanager", "urls": ["https://receiver/am"], "resend_s": 60}
    rig.subscribe("am", sink=sink)
    rig.receivers.send = alertmanager.send  # type: ignore[method-assign]
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.deliver()
    rig.opens("pump-3")  # not delivered yet
    rig.resolves("pump-2")
    refresher = Refresher(
        rig.database,
        book=rig.book,
        senders=alertmanager,  # type: ignore[arg-type]
        url="",
        holder="tests",
        clock_ns=rig.clock,
    )

    assert refreshed(rig, refresher, alertmanager) == [
        ("incident.resolved", "pump-2"),
        ("incident.updated", "pump-1"),
    ]
    rig.clock.go_on(59)
    assert refreshed(rig, refresher, alertmanager) == []
    rig.clock.go_on(HOUR)
    assert refreshed(rig, refresher, alertmanager) == [("incident.updated", "pump-1")]
