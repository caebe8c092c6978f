"""An alarm system that is blind says so, and what it cannot see is not told meanwhile."""

from __future__ import annotations

import pytest

from schemas.settings import GatewaySettings
from tests.support.gateway import Rig
from workers.gateway.detector_watch import DetectorWatch, Judge, Seen
from workers.gateway.store.database import Database

SECOND = 10**9
WELL = Seen(readers=2, lag=10)
NOBODY = Seen(readers=0, lag=10)


def judge() -> Judge:
    return Judge(GatewaySettings(unhealthy_lag=1000, unhealthy_after_s=60))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (NOBODY, "nobody reads"),
        (Seen(readers=None, lag=None), "does not answer"),
        (Seen(readers=1, lag=1001), "1,001 records behind"),
    ],
)
def test_what_is_wrong_for_a_minute_is_said(seen: Seen, said: str):
    watch = judge()

    assert watch.judge(seen, 0) is None
    assert not watch.is_content
    assert watch.judge(seen, 59 * SECOND) is None
    assert said in str(watch.judge(seen, 60 * SECOND))


def test_what_was_well_in_between_begins_anew():
    watch = judge()
    watch.judge(NOBODY, 0)
    watch.judge(WELL, 50 * SECOND)

    assert watch.is_content
    assert watch.judge(NOBODY, 60 * SECOND) is None


def test_who_catches_up_is_well():
    watch = judge()
    watch.judge(Seen(readers=1, lag=100_000), 0)

    assert watch.judge(Seen(readers=1, lag=40_000), 60 * SECOND) is None


def test_an_unhealthy_detector_is_told_mutes_the_sensors_and_recovers(database: Database):
    rig = Rig(database)
    rig.subscribe("ops", types=["detector.unhealthy", "detector.healthy"])
    rig.subscribe("plant")
    watch = DetectorWatch(
        database, rig.settings, outbox=rig.outbox, holder="x", signal=rig.signal, clock_ns=rig.clock
    )

    def tell(wrong: str | None) -> None:
        with database.begin() as connection:
            watch.tell(connection, wrong)

    tell(None)
    tell("nobody reads the readings")
    tell("nobody reads the readings")
    rig.opens()
    rig.deliver()
    assert rig.receivers.types("ops") == ["detector.unhealthy"]
    assert rig.receivers.of("plant") == []

    tell(None)

    assert rig.go_on(1).types("ops") == ["detector.unhealthy", "detector.healthy"]
    assert rig.receivers.told("plant") == [("opened", "pump-1")]
