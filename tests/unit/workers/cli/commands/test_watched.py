"""Who hears that Vigie itself fails: said where nobody does."""

from __future__ import annotations

from pathlib import Path

from tests.support.api import opened_gateway
from tests.support.asked import Asked
from tests.support.gateway import Rig
from workers.cli.commands.serve import nobody_watches
from workers.cli.exits import ExitCode

HOOK = "https://receiver.example/hook"


def made(gateway: Asked, name: str, *options: str) -> str:
    ended = gateway.vigie("subscriptions", "create", "--name", name, "--webhook", HOOK, *options)
    assert ended.code == ExitCode.OK
    return ended.err


def test_who_subscribes_is_told_that_nobody_would_hear_of_the_detector(gateway: Asked) -> None:
    assert "detector.unhealthy" in made(gateway, "desk")
    assert "detector.unhealthy" not in made(gateway, "few", "--type", "incident.opened")
    assert "detector.unhealthy" not in made(gateway, "chief", "--type", "detector.unhealthy")
    assert "detector.unhealthy" not in made(gateway, "night")
    gateway.vigie("subscriptions", "disable", "chief")
    assert "detector.unhealthy" in made(gateway, "day")


def test_a_gateway_knows_at_its_start_whether_anybody_watches(tmp_path: Path) -> None:
    with opened_gateway(tmp_path) as gateway:
        rig = Rig(gateway.database, gateway.settings)
        rig.sealer = gateway.sealer
        assert nobody_watches(gateway)
        rig.subscribe("a")
        assert nobody_watches(gateway)
        rig.subscribe("b", types=["detector.unhealthy"])
        assert not nobody_watches(gateway)
