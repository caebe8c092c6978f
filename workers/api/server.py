"""`/metrics`, `/status` and `/scale` of a running pipeline, over plain HTTP.

Reads state when asked; see `workers.api.scale` for the only thing that changes any.
"""

from __future__ import annotations

import importlib.metadata
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
from workers.stream.health import Health, LatencyHistogram, budget_use_of, split_sensors_of
from workers.stream.state.counts import Counts
from workers.supervision.status import ScalingStatus
from workers.supervision.supervisor import Supervisor

MAX_CONNECTIONS: Final = 16
"""Served at once; a scraper and a few people with `vigie status` need no more."""


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


def application_of(supervisor: Supervisor, *, patience_s: int = PATIENCE_S) -> FastAPI:
    """What is served of a supervisor; it reads state when asked."""
    app = FastAPI(
        title="Vigie: a running pipeline",
        version=importlib.metadata.version("vigie"),
        openapi_url=None,
    )
    registry = CollectorRegistry()
    registry.register(PipelineCollector(lambda: supervisor.healths, lambda: supervisor.scaling))

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        return metrics_response(registry, request)

    @app.get("/status")
    def status() -> Response:
        content = json.dumps(status_of(supervisor.healths, supervisor.scaling))
        return Response(content, media_type="application/json")

    app.add_api_route("/scale", scale_route(supervisor), methods=list(ALL_METHODS))
    app.add_exception_handler(HTTPException, _error)
    app.add_middleware(BodyLimit, within_s=patience_s)
    app.add_middleware(UnexpectedErrors)
    return app


def _error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return PlainTextResponse("/metrics, /status or /scale\n", HTTPStatus.NOT_FOUND)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def serving(
    *, host: str, port: int, patience_s: int = PATIENCE_S
) -> Callable[[Supervisor], AbstractContextManager[None]]:
    """Serve the state of a supervisor; see `run_pipeline`. Port 0 is a free one: see the log."""

    @contextmanager
    def serve(supervisor: Supervisor) -> Iterator[None]:
        bound = listening(host, port)
        server = HttpServer(
            application_of(supervisor, patience_s=patience_s),
            most_connections=MAX_CONNECTIONS,
            patience_s=patience_s,
        )
        structlog.get_logger("vigie.metrics").info(
            "metrics_served", address=f"{address_of(bound, host)}/metrics"
        )
        with serving_in_thread(server, bound, name="vigie-metrics"):
            yield

    return serve
