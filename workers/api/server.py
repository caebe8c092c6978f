"""`/healthz`, `/readyz`, `/metrics`, `/status` and `/scale` of a driver, over plain HTTP.

It answers from the start of the driver, also while that waits for a broker. Reads state when asked;
see `workers.api.scale` for the only thing that changes any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from schemas.settings.observing import MetricsSettings
from workers.api.budget import desk_json
from workers.api.exposition import metrics_response
from workers.api.metrics import PipelineCollector
from workers.api.middleware import BodyLimit, UnexpectedErrors
from workers.api.scale import ALL_METHODS, scale_route, scaling_as_json
from workers.api.serving import (
    PATIENCE_S,
    HttpServer,
    address_of,
    listening,
    serving_in_thread,
)
from workers.stream.health import Health, budget_use_of, measures_of, split_sensors_of
from workers.stream.state.counts import Counts
from workers.supervision.readiness import is_live, missing_of
from workers.supervision.status import ScalingStatus
from workers.supervision.supervisor import Supervisor
from workers.version import own_version

MAX_CONNECTIONS: Final = 16
"""Served at once; a scraper and a few people with `vigie status` need no more."""
_FRESH: Final = {"Cache-Control": "no-store"}
_PAGES: Final = "/healthz, /readyz, /metrics, /status or /scale\n"


def status_of(healths: Sequence[Health], scaling: ScalingStatus | None = None) -> dict[str, Any]:
    """The state of a pipeline as plain values, for JSON; without `scaling` when the run is over."""
    latency = measures_of(healths).latency
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


class Endpoint:
    """What is served of one driver, from its start: before its supervisor is there, and after.

    Attributes:
        supervisor: whose state it is; None before there is one, and after.
        address: of the server; empty when nothing is served.
    """

    def __init__(self, supervisor: Supervisor | None = None) -> None:
        """Of a supervisor; without one nothing is supervised yet."""
        self.supervisor = supervisor
        self._log = structlog.get_logger("vigie.metrics")
        self.address = ""

    @contextmanager
    def of(self, supervisor: Supervisor) -> Iterator[None]:
        """Serve the state of a supervisor while the block runs; see `run_pipeline`."""
        self.supervisor = supervisor
        if self.address:
            self._log.info("metrics_served", address=f"{self.address}/metrics")
        try:
            yield
        finally:
            self.supervisor = None

    @contextmanager
    def open(self, *, host: str, port: int, patience_s: int = PATIENCE_S) -> Iterator[Endpoint]:
        """Answer on a port while the block runs; 0 is a free one.

        Raises:
            SettingsError: the address is none of this machine, or the port is taken.
        """
        bound = listening(host, port)
        self.address = address_of(bound, host)
        server = HttpServer(
            application_of(self, patience_s=patience_s),
            most_connections=MAX_CONNECTIONS,
            patience_s=patience_s,
        )
        with serving_in_thread(server, bound, name="vigie-metrics"):
            yield self

    @property
    def healths(self) -> list[Health]:
        """Of the workers; of none before there is a supervisor."""
        return [] if (supervisor := self.supervisor) is None else supervisor.healths

    @property
    def scaling(self) -> ScalingStatus | None:
        """What the supervisor says of itself; None before there is one."""
        return None if (supervisor := self.supervisor) is None else supervisor.scaling

    @property
    def tick_age_s(self) -> float | None:
        """See `Supervisor.tick_age_s`."""
        return None if (supervisor := self.supervisor) is None else supervisor.tick_age_s

    @property
    def missing(self) -> list[str]:
        """What the pipeline lacks to do its work; nothing when it is ready."""
        scaling = self.scaling
        if scaling is None:
            return ["the pipeline starts: it looks for the broker, the topics and the cluster"]
        return missing_of(self.healths, scaling)


def application_of(endpoint: Endpoint, *, patience_s: int = PATIENCE_S) -> FastAPI:
    """What an endpoint answers; it reads state when asked."""
    app = FastAPI(
        title="Vigie: a running pipeline",
        version=own_version(),
        openapi_url=None,
    )
    registry = CollectorRegistry()
    registry.register(PipelineCollector(endpoint))

    @app.get("/healthz")
    def healthz() -> Response:
        age_s = endpoint.tick_age_s
        status = HTTPStatus.OK if is_live(age_s) else HTTPStatus.SERVICE_UNAVAILABLE
        told = {"status": "live" if is_live(age_s) else "stuck", "tick_age_s": age_s}
        return JSONResponse(told, status, _FRESH)

    @app.get("/readyz")
    def readyz() -> Response:
        missing = endpoint.missing
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        told = {"status": "not ready" if missing else "ready", "missing": missing}
        return JSONResponse(told, status, _FRESH)

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        return metrics_response(registry, request)

    @app.get("/status")
    def status() -> Response:
        content = json.dumps(status_of(endpoint.healths, endpoint.scaling))
        return Response(content, media_type="application/json")

    scale = scale_route(lambda: endpoint.supervisor)
    app.add_api_route("/scale", scale, methods=list(ALL_METHODS))
    app.add_exception_handler(HTTPException, _error)
    app.add_middleware(BodyLimit, within_s=patience_s)
    app.add_middleware(UnexpectedErrors)
    return app


def _error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return PlainTextResponse(_PAGES, HTTPStatus.NOT_FOUND)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


@contextmanager
def endpoint_of(metrics: MetricsSettings) -> Iterator[Endpoint]:
    """The endpoint that the settings ask for; one without a port answers nobody.

    Raises:
        SettingsError: see `Endpoint.open`.
    """
    endpoint = Endpoint()
    if metrics.port is None:
        yield endpoint
        return
    with endpoint.open(host=metrics.host, port=metrics.port):
        yield endpoint


def serving(
    *, host: str, port: int, patience_s: int = PATIENCE_S
) -> Callable[[Supervisor], AbstractContextManager[None]]:
    """Serve the state of a supervisor, and nothing before it; see `run_pipeline`."""

    @contextmanager
    def serve(supervisor: Supervisor) -> Iterator[None]:
        with (
            Endpoint().open(host=host, port=port, patience_s=patience_s) as endpoint,
            endpoint.of(supervisor),
        ):
            yield

    return serve
