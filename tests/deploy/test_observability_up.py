"""A real Prometheus scrapes a real run: rules evaluate, and every panel shows something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from detector.artifact import save
from tests.support.api import served
from tests.support.broker import MakeTopic, produce
from tests.support.gateway_health import fill, metrics_of, taking_in
from tests.support.models import encoded, reading_records, small_detector
from tests.support.observability import RULES, dashboards, driver_exposition, panels, rules
from tests.support.prometheus import Prometheus, open_prometheus, why_not
from tests.support.runs import metrics_address, status, vigie_run
from tests.support.streams import make_settings
from tests.support.wait import wait_until
from workers.kafka.client import Connection

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
EMPTY: Final = {"Alerts that fire"}
"""Panels that show nothing when all is well."""


@contextmanager
def told(text: str) -> Iterator[str]:
    """An address, host:port, at which /metrics is this text."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def gateway_metrics(folder: Path) -> str:
    folder.mkdir()
    with served(folder) as api:
        fill(api)
        taking_in(api, lag=0)
        api.gateway.state.dispatcher = type("Dispatcher", (), {"counts": {}})()
        return metrics_of(api)


def shown(prometheus: Prometheus, panel: dict[str, Any]) -> int:
    """How many series a panel shows."""
    found = 0
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
        assert "$" not in expression, expression
        found += len(prometheus.query(expression))
    return found


def rules_without_error(prometheus: Prometheus) -> bool:
    found = {(r["name"], r["health"], r.get("lastError")) for r in prometheus.rules()}
    return found == {(rule["alert"], "ok", None) for rule in rules()}


def empty_panels(prometheus: Prometheus) -> set[str]:
    everything = [panel for one in dashboards().values() for panel in panels(one)]
    return {panel["title"] for panel in everything if not shown(prometheus, panel)}


@pytest.mark.timeout(300)
def test_every_rule_evaluates_and_every_panel_shows_something(tmp_path: Path) -> None:
    text = gateway_metrics(tmp_path / "gateway")
    with told(driver_exposition()) as driver, told(text) as gateway:
        targets = {"vigie-driver": driver, "vigie-gateway": gateway}
        with open_prometheus(tmp_path, RULES, targets) as prometheus:
            wait_until(
                lambda: rules_without_error(prometheus), within=60, what="rules without an error"
            )
            wait_until(
                lambda: empty_panels(prometheus) <= EMPTY, within=90, what="data in every panel"
            )


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_is_scraped_and_every_rule_and_panel_works(
    connection: Connection, make_topic: MakeTopic, group: str, tmp_path: Path
) -> None:
    settings = make_settings(connection, make_topic, group)
    records = reading_records(["pump-1", "pump-2"], 100)
    produce(connection, settings.topics.readings, encoded(records))
    model = save(small_detector(), tmp_path / "model")
    watching = tmp_path / "prometheus"
    watching.mkdir()
    with (
        told(gateway_metrics(tmp_path / "gateway")) as gateway,
        vigie_run(settings, model, tmp_path, "--ingest", "1") as (_, log),
    ):
        address = metrics_address(log)
        driver = re.sub(r"^http://|/metrics$", "", address)
        targets = {"vigie-driver": driver, "vigie-gateway": gateway}
        with open_prometheus(watching, RULES, targets) as prometheus:
            wait_until(
                lambda: status(address)["counts"]["records"] == len(records),
                within=180,
                what="all records committed",
            )
            up = dict.fromkeys(targets, ("up", ""))
            wait_until(lambda: prometheus.targets() == up, within=60, what="both are scraped")
            wait_until(
                lambda: [float(one["value"][1]) for one in prometheus.query("vigie_ready")] == [1],
                within=60,
                what="Prometheus hears that the run is ready",
            )
            scored = status(address)["counts"]["scored"]
            wait_until(
                lambda: (
                    [float(one["value"][1]) for one in prometheus.query("sum(vigie_scored_total)")]
                    == [scored]
                ),
                within=60,
                what="Prometheus hears how many were scored",
            )
            wait_until(
                lambda: rules_without_error(prometheus), within=60, what="rules without an error"
            )
            wait_until(
                lambda: empty_panels(prometheus) <= EMPTY, within=90, what="data in every panel"
            )
