"""Runs on a `Site`: readings in two halves, and a judge of all that came out."""

from __future__ import annotations

import secrets

import psutil

from schemas.settings import Settings
from tests.support.broker import MakeTopic, produce
from tests.support.models import encoded, reading_records, small_detector
from tests.support.ray_nodes import RayNode, pids
from tests.support.site import Driver, Site, committed
from tests.support.streams import (
    drained,
    make_settings,
    open_loop,
    records_done,
    scored_readings,
    step_until,
)
from tests.support.wait import wait_until

RECORDS = encoded(reading_records([f"pump-{number}" for number in range(8)], 60, spike_at=40))
HALF = len(RECORDS) // 2
START_S, FINISH_S = 300.0, 240.0


def workers_on(node: RayNode, kind: str = "IngestActor") -> list[int]:
    """Processes of ingest workers on a machine, or of "ScorerActor"."""
    found = []
    for pid in pids(node.machine):
        try:
            if f"ray::{kind}" in " ".join(psutil.Process(pid).cmdline()):
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def first_half_done(site: Site, settings: Settings, driver: Driver) -> None:
    """Send the first half, and wait until all of it is committed."""
    produce(site.connection, settings.topics.readings, RECORDS[:HALF])
    wait_until(lambda: committed(driver) >= HALF, within=START_S, what=f"half, {driver.log}")


def second_half_sent(site: Site, settings: Settings) -> None:
    """Send what is left."""
    produce(site.connection, settings.topics.readings, RECORDS[HALF:])


def all_at_work(driver: Driver, workers: int) -> None:
    """Wait until that many ingest workers are: who is asked to end before leaves work undone."""

    def at_work() -> bool:
        phases = [one["phase"] for one in driver.status().get("workers", ())]
        return phases.count("running") == workers

    wait_until(at_work, within=START_S, what=f"{workers} workers at work, {driver.log}")


def all_scored_once(site: Site, settings: Settings, make_topic: MakeTopic) -> None:
    """Wait for every reading's score; compare all with an undisturbed loop over the same topic."""
    group = f"{settings.kafka.group}-alone-{secrets.token_hex(4)}"
    own = make_settings(site.connection, make_topic, group, partitions=4)
    topics = own.topics.model_copy(update={"readings": settings.topics.readings})
    alone = own.model_copy(update={"topics": topics})
    with open_loop(alone, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(RECORDS), within=120)
        drained(loop)
    wanted = scored_readings(site.connection, alone)
    assert wanted
    wait_until(
        lambda: len(scored_readings(site.connection, settings)) >= len(wanted),
        within=FINISH_S,
        what="a score for every reading",
    )
    assert scored_readings(site.connection, settings) == wanted
