"""Debian's Alertmanager receives, groups and resolves our alerts."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from schemas.api.sinks import AlertmanagerSink, WebhookSink
from schemas.settings import GatewaySettings, Settings
from tests.support.notifications import gateway_event, incident_event, message_of
from tests.support.receivers import Receiver, open_receiver
from tests.support.wait import wait_until
from workers.alerts.bodies.alertmanager import fingerprint
from workers.gateway.sinks.sender import Senders

BINARY = shutil.which("prometheus-alertmanager")
pytestmark = pytest.mark.skipif(
    BINARY is None,
    reason="prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager",
)
LOCAL = Settings(gateway=GatewaySettings(allow_targets=("127.0.0.1/32",)))
CONFIG = """
route:
  receiver: hook
  group_by: [alertname, site]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


@dataclass(frozen=True)
class Alertmanager:
    """One that runs, and the receiver that it tells."""

    url: str
    receiver: Receiver

    def alerts(self):
        """Its alerts by incident."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            return {one["labels"].get("incident", ""): one for one in json.load(answer)}

    def last_with(self, incident):
        """What the receiver was told last that has an incident in it."""
        return next(
            json.loads(one.body)
            for one in reversed(self.receiver.received)
            if f'"{incident}"'.encode() in one.body
        )

    def told(self):
        """What its receiver was told of: of each incident the last status."""
        bodies = [json.loads(one.body) for one in self.receiver.received]
        return {
            alert["labels"].get("incident", alert["labels"]["alertname"]): alert["status"]
            for body in bodies
            for alert in body["alerts"]
        }


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory) -> Iterator[Alertmanager]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with open_receiver() as receiver:
        config = folder / "alertmanager.yml"
        config.write_text(CONFIG.format(url=receiver.url()))
        process = subprocess.Popen(
            [
                str(BINARY),
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: is_ready(address), within=20, what="Alertmanager is ready")
            yield Alertmanager(url=f"http://{address}", receiver=receiver)
        finally:
            process.terminate()
            process.wait(10)


def is_ready(address):
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def send(sink, *messages):
    async def run():
        async with Senders.open(LOCAL) as senders:
            return [await senders.send(sink, (), message) for message in messages]

    outcomes = asyncio.run(run())
    assert all(outcome.is_delivered for outcome in outcomes), outcomes


def test_it_receives_groups_and_resolves_our_alerts(alertmanager):
    sink = AlertmanagerSink(urls=(alertmanager.url,))
    now_ns = message_of().at_ns
    labels = {"site": "Lyon", "odd.name": "é", "empty": ""}
    opened = [
        message_of(incident_event(id_=f"inc-{n}", sensor=f"pump-{n}", labels=labels))
        for n in range(3)
    ]
    send(sink, *opened, *opened)  # again, as while they go on
    seen = alertmanager.alerts()
    assert set(seen) >= {"inc-0", "inc-1", "inc-2"}
    for alert in seen.values():
        assert alert["status"]["state"] == "active" or alert["status"]["state"] == "unprocessed"
        assert alert["fingerprint"] == fingerprint(alert["labels"])
    assert seen["inc-0"]["labels"]["odd_name"] == "é"
    assert seen["inc-0"]["generatorURL"] == message_of().url
    wait_until(
        lambda: [alertmanager.told().get(f"inc-{n}") for n in range(3)] == ["firing"] * 3,
        within=20,
        what="the receiver was told of three",
    )
    body = alertmanager.last_with("inc-2")
    assert body["groupLabels"] == {"alertname": "VigieIncident", "site": "Lyon"}
    assert len(body["alerts"]) == 3

    over = incident_event("resolved", id_="inc-1", sensor="pump-1", labels=labels)
    send(sink, message_of(over, at_ns=now_ns))
    assert "inc-1" not in alertmanager.alerts()
    told = wait_until(
        lambda: alertmanager.told().get("inc-1") == "resolved" and alertmanager.told(),
        within=20,
        what="the receiver was told of the end",
    )
    assert (told["inc-0"], told["inc-2"]) == ("firing", "firing")


def test_it_takes_every_kind_of_alert_and_what_has_no_end_ends_by_itself(alertmanager):
    sink = AlertmanagerSink(urls=(alertmanager.url,))
    kinds = ["subscription.test", "notifications.suppressed", "detector.unhealthy"]
    kinds += ["detector.healthy", "subscription.disabled"]
    send(sink, *(message_of(gateway_event(kind)) for kind in kinds))
    send(sink, message_of(gateway_event("detector.unhealthy"), incident_event(), group={}))


def test_its_own_tool_reads_them(alertmanager):
    amtool = shutil.which("amtool")
    assert amtool is not None
    send(AlertmanagerSink(urls=(alertmanager.url,)), message_of(incident_event(id_="inc-9")))
    shown = subprocess.run(
        [amtool, "--alertmanager.url", alertmanager.url, "-o", "json", "alert", "query",
         "alertname=VigieIncident", "incident=inc-9"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (alert,) = json.loads(shown.stdout)
    assert alert["annotations"]["summary"].startswith("HIGH pump-7: bearing temperature")


def test_our_webhook_has_the_form_of_its_own(alertmanager):
    """The same keys and types all the way down, so a receiver of one reads the other."""
    message = message_of(incident_event(id_="inc-5"))
    send(AlertmanagerSink(urls=(alertmanager.url,)), message)
    wait_until(lambda: "inc-5" in alertmanager.told(), within=20)
    theirs = alertmanager.last_with("inc-5")
    with open_receiver() as receiver:
        send(WebhookSink(url=receiver.url(), format="alertmanager"), message)
        ours = json.loads(receiver.received[0].body)
    assert form(ours) == form(theirs)
    assert ours["version"] == theirs["version"]
    alert = next(one for one in theirs["alerts"] if one["labels"]["incident"] == "inc-5")
    assert {**ours["alerts"][0], "startsAt": ""} == {**alert, "startsAt": ""}


def form(body):
    """Names and types, without those of labels and annotations."""
    if isinstance(body, dict):
        return {
            name: "labels" if name.lower().endswith(("labels", "annotations")) else form(value)
            for name, value in body.items()
        }
    if isinstance(body, list):
        return form(body[0])
    return type(body).__name__
