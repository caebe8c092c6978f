"""Draws the pictures of the page for the README: `python -m tests.browser.pictures`.

A plant of this process, the real page, the Chromium of this machine; light and dark.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from tests.browser.conftest import NAMES
from tests.support.page import SECOND_NS, Plant, ServedPage, incident_document, served_page

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SITES, KINDS = ("Lyon", "Turin", "Graz", "Gent"), ("pump", "fan", "mixer", "press")
SENSORS = [f"{KINDS[i % 4]}-{i:03d}" for i in range(120)]
LABELS = {
    name: {"site": SITES[i * 7 % 4], "line": str(1 + i % 6)} for i, name in enumerate(SENSORS)
}
# Seconds before now at which it began and ended, highest score, severity, and where it stands.
FAULTS = (
    ("pump-016", 900, -900, 4.1, "high", "open"),
    ("mixer-042", 330, -900, 1.9, "low", "open"),
    ("press-083", 2400, -900, 2.7, "medium", "acknowledged"),
    ("fan-009", 4300, 3500, 6.4, "high", "fault"),
    ("pump-104", 5700, 5350, 2.2, "medium", "resolved"),
    ("mixer-066", 3000, 2820, 1.4, "low", "false_alarm"),
)


class _Status(BaseHTTPRequestHandler):
    """What `vigie run` would say."""

    def do_GET(self) -> None:
        worker = {"phase": "running", "sensors": 60, "resident_bytes": 431 * 2**20}
        answer = {
            "counts": {
                "readings": 10_368_244,
                "scored": 10_360_521,
                "warming_up": 7560,
                "late": 131,
                "duplicate": 32,
                "dead_lettered": 17,
                "anomalies": 4127,
            },
            "lag_records": 38,
            "latency_ms": {"p50": 41.0, "p99": 133.0},
            "budget": {"sensors": len(SENSORS)},
            "workers": [
                worker | {"slot": i, "partitions": [2 * i, 2 * i + 1], "counts": {"scored": half}}
                for i, half in enumerate((5_181_022, 5_179_499))
            ],
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def pipeline() -> Iterator[str]:
    """The address of a pipeline that runs well."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def populate(page: ServedPage) -> None:
    """A day of a plant with its troubles."""
    now = time.time_ns() // SECOND_NS * SECOND_NS
    faults = [
        (name, now - began * SECOND_NS, now - ended * SECOND_NS, peak)
        for name, began, ended, peak, *_ in FAULTS
    ]
    plant = Plant(SENSORS, LABELS, faults)
    plant.feed(page.live, now - np.arange(86_400, 7200, -120) * SECOND_NS)
    for begin in range(7200, 0, -600):
        every = 10 if begin > 1200 else 2
        plant.frame_rows = 60 // every
        plant.feed(page.live, now - np.arange(begin, begin - 600, -every) * SECOND_NS)
    # Labels come with anomalies, or from a file; here from the start.
    page.live._labels_of = lambda sensor: LABELS.get(sensor, {})
    for name, began, ended, peak, severity, state in reversed(FAULTS):
        found = incident_document(
            name,
            now - (began - 40) * SECOND_NS,
            peak=peak,
            severity=severity,
            labels=LABELS[name],
        )
        page.tell("opened", found)
        values: dict[str, Any] = {}
        if ended > 0:
            end_ms = (now - ended * SECOND_NS) // 10**6
            page.tell("resolved", {**found, "end": end_ms, "end_reason": "recovered"}, 2)
        if state in {"fault", "false_alarm"}:
            values = {"verdict": state, "verdict_by": "jonas"}
        if state == "acknowledged":
            values = {"state": state, "acknowledged_by": "anna"}
        if values:
            with page.gateway.database.begin() as connection:
                sets = ", ".join(f"{key} = ?" for key in values)
                query = f"UPDATE incidents SET {sets}, acknowledged_ns = ? WHERE id = ?"
                given = (*values.values(), now - 2100 * SECOND_NS, found["id"])
                connection.exec_driver_sql(query, given)


def main() -> None:
    """Draw them all."""
    chromium = next(filter(None, map(shutil.which, NAMES)))
    views = {
        "fleet": ("/", ".strip-list a", 760),
        "map": ("/map/pump-016", ".way line", 860),
        "incidents": ("/incidents", "tr[data-incident]", 660),
        "sensor": ("/sensors/pump-016", ".bars li", 900),
        "compare": ("/sensors/pump-068", ".bars li, .bars, .chart", 900),
        "account": ("/account", ".equation", 660),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        pipeline() as address,
        served_page(Path(folder), pipeline=address) as page,
        sync_playwright() as playwright,
    ):
        populate(page)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for scheme in ("light", "dark"):
            for name, (path, there, height) in views.items():
                context = browser.new_context(
                    viewport={"width": 1280, "height": height}, color_scheme=scheme
                )
                at = context.new_page()
                at.goto(page.url + path)
                at.wait_for_selector(there)
                if name == "compare":
                    at.get_by_role("button", name="Before and after").click()
                at.wait_for_timeout(800)
                at.screenshot(path=IMAGES / f"page-{name}-{scheme}.png")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
