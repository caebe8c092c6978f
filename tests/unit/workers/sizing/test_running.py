"""What a running pipeline costs, from the text of its /metrics, as the program itself writes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.support.watched import exposition
from workers.errors import SettingsError, VigieError
from workers.sizing.running import Scrape, observe, observed_between, scrape_of
from workers.stream.health import Health, Phase
from workers.stream.state.counts import Counts
from workers.supervision.status import Mode, ScalingStatus, WorkerCount

FIRST = Scrape(
    at_s=100.0,
    cpu_s=50.0,
    busy_s=80.0,
    readings=1_000_000.0,
    restored=500.0,
    workers=2,
    largest=(900e6, 300),
    scorers=0,
)
LAST = replace(FIRST, at_s=130.0, cpu_s=92.0, busy_s=116.0, readings=1_600_000.0)


def metrics(*healths: Health) -> str:
    """The text of /metrics of such workers."""
    count = WorkerCount(mode=Mode.AUTO, target=2, actual=2, least=1, most=4)
    scaling = ScalingStatus(
        partitions=4,
        ingest=count,
        scorers=replace(count, target=3, actual=3),
        replaced={},
        restarts={},
        decisions={},
        last=None,
    )
    return exposition(healths, scaling)


def worker(slot: int, *, readings: int, cpu_s: float) -> Health:
    counts = {slot: Counts(records=readings, readings=readings, restored=7)}
    return Health(
        slot=slot,
        phase=Phase.RUNNING,
        counts=counts,
        sensors=100 * (slot + 1),
        resident_bytes=10**9 + slot,
        cpu_s=cpu_s,
        busy_s=2 * cpu_s,
    )


def test_the_metrics_of_the_program_are_understood():
    text = metrics(worker(0, readings=1000, cpu_s=2.0), worker(1, readings=500, cpu_s=1.5))

    assert scrape_of(text, at_s=5.0) == Scrape(
        at_s=5.0,
        cpu_s=3.5,
        busy_s=7.0,
        readings=1500.0,
        restored=14.0,
        workers=2,
        largest=(10**9 + 1, 200),
        scorers=3,
    )


def test_another_program_s_metrics_are_not_taken_for_a_pipeline_s():
    with pytest.raises(ValueError, match="vigie_worker_cpu_seconds_total"):
        scrape_of("# TYPE up gauge\nup 1\n", at_s=0.0)


def test_the_cost_is_what_was_used_between_the_looks_not_since_the_start():
    observed = observed_between(FIRST, LAST)

    assert observed.us_per_reading == pytest.approx(70.0)  # 42 s for 600,000 readings
    assert observed.busy == pytest.approx(0.6)  # 36 s of 2 workers in 30 s
    assert observed.readings_per_s == pytest.approx(20_000)
    assert (observed.worker_mb, observed.sensors_per_worker) == (900.0, 300)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"readings": FIRST.readings}, "no reading within 30 s.*--over"),
        ({"workers": 3}, "ingest workers changed"),
        ({"cpu_s": 1.0}, "ingest workers changed"),
        ({"restored": 900.0}, "restored windows"),
    ],
)
def test_what_would_give_a_wrong_cost_is_refused(change, named):
    with pytest.raises(VigieError, match=named):
        observed_between(FIRST, replace(LAST, **change))


@contextmanager
def served(*pages: str) -> Iterator[str]:
    """An address that answers with one page after the other."""
    left = iter(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(next(left).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Clock:
    """Goes on by pauses alone."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_pipeline_is_looked_at_twice():
    clock = Clock()
    pages = [metrics(worker(0, readings=n, cpu_s=s)) for n, s in ((1000, 10.0), (3000, 10.5))]
    with served(*pages) as address:
        observed = observe(
            f"{address}/status", over_s=20.0, monotonic_s=lambda: clock.now_s, pause=clock.pause
        )

    assert observed.us_per_reading == pytest.approx(250.0)
    assert observed.readings_per_s == pytest.approx(100.0)


def test_an_address_that_is_not_a_pipeline_s_is_told():
    clock = Clock()

    def ask(address):
        observe(address, over_s=1.0, monotonic_s=lambda: clock.now_s, pause=clock.pause)

    with pytest.raises(SettingsError, match="does not begin with http://"):
        ask("file:///etc/passwd")
    with served("up 1\n") as address, pytest.raises(VigieError, match="--metrics-port"):
        ask(address)
    with pytest.raises(VigieError, match="no pipeline answers"):
        ask(address)
