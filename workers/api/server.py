"""`/metrics`, `/status` and `/scale` of a running pipeline, over plain HTTP.

Reads state when asked; see `workers.api.scale` for the only thing that changes any.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from workers.api.budget import desk_json
from workers.api.metrics import PipelineCollector
from workers.api.scale import scale_application, scaling_as_json
from workers.errors import SettingsError
from workers.stream.health import Health, LatencyHistogram, budget_use_of, split_sensors_of
from workers.stream.state.counts import Counts
from workers.supervision.status import ScalingStatus
from workers.supervision.supervisor import Supervisor

MAX_CONNECTIONS: Final = 16
"""Served at once; a scraper and a few people with `vigie status` need no more."""
_BUSY: Final = b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\n"


def status_of(healths: Sequence[Health], scaling: ScalingStatus | None = None) -> dict[str, Any]:
    """The state of a pipeline as plain values, for JSON; without `scaling` when the run is over."""
    latency = sum((health.latency for health in healths), LatencyHistogram())
    return {
        **({} if scaling is None else {"scaling": scaling_as_json(scaling)}),
        "counts": asdict(sum((health.total for health in healths), Counts())),
        "lag_records": sum(sum(health.lag.values()) for health in healths),
        "latency_ms": {"p50": latency.quantile(0.5), "p99": latency.quantile(0.99)},
        "split_sensors": asdict(split_sensors_of(healths)),
        "budget": desk_json(budget_use_of(healths)),
        "workers": [
            {
                "slot": health.slot,
                "phase": health.phase.value,
                "partitions": sorted(health.lag),
                "sensors": health.sensors,
                "never_scored": health.never_scored,
                "in_flight": health.in_flight,
                "commits": health.commits,
                "rewinds": health.rewinds,
                "stalls": health.stalls,
                "resident_bytes": health.resident_bytes,
                "counts": asdict(health.total),
            }
            for health in healths
        ],
        "partitions": {
            str(partition): {
                "worker": health.slot,
                "lag_records": lag,
                "next_offset": health.next_offsets.get(partition),
            }
            for health in healths
            for partition, lag in sorted(health.lag.items())
        },
    }


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each of a few connections; what comes beyond is turned away at once."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds for a peer that says nothing

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing: a scrape every few seconds is no event."""


def serving(*, host: str, port: int) -> Callable[[Supervisor], AbstractContextManager[None]]:
    """Serve the state of a supervisor; see `run_pipeline`. Port 0 is a free one: see the log."""

    @contextmanager
    def serve(supervisor: Supervisor) -> Iterator[None]:
        registry = CollectorRegistry()
        registry.register(PipelineCollector(lambda: supervisor.healths, lambda: supervisor.scaling))
        metrics: WSGIApplication = make_wsgi_app(registry)
        scale = scale_application(supervisor)

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO")
            if path == "/metrics":
                return metrics(environ, start_response)
            if path == "/status":
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(status_of(supervisor.healths, supervisor.scaling)).encode()]
            if path == "/scale":
                return scale(environ, start_response)
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics, /status or /scale\n"]

        try:
            server = make_server(host, port, application, _Server, _Quiet)
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error}") from error
        thread = threading.Thread(target=server.serve_forever, name="vigie-metrics", daemon=True)
        thread.start()
        structlog.get_logger("vigie.metrics").info(
            "metrics_served", address=f"http://{host}:{server.server_port}/metrics"
        )
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)

    return serve
