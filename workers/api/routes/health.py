"""Whether the gateway lives and does its work, for who starts it, balances it and watches it.

`/healthz` and `/readyz` are asked without a token: they say that, and nothing more. `/metrics` says
how much there is of everything, of all tenants: it needs the scope read, and no tenant (Prometheus
sends a token by `authorization: credentials_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from schemas.api.access import Health, Readiness
from workers.api.auth import Reader
from workers.api.exposition import metrics_response
from workers.api.gateway_metrics import GatewayCollector
from workers.api.problems import RESPONSES, ProblemError
from workers.gateway.store.database import DatabaseUnavailableError
from workers.gateway.store.revision import is_current

router = APIRouter(tags=["health"], responses=RESPONSES)


@router.get("/healthz", operation_id="health")
async def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get(
    "/readyz",
    operation_id="readiness",
    responses={503: {"description": "Not ready.", "model": Readiness}},
)
def readyz(request: Request, response: Response) -> Readiness:
    """The database answers and has the schema of this version, and incidents are taken in."""
    checks = _of_database(request) | _of_process(request.app.state.gateway.health)
    is_ready = all(checks.values())
    response.status_code = 200 if is_ready else 503
    return Readiness(
        status="ready" if is_ready else "not ready",
        checks={name: "ok" if good else "failing" for name, good in checks.items()},
    )


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    },
)
def metrics(request: Request, principal: Reader) -> Response:
    """Metrics of this gateway, for Prometheus."""
    if principal.tenant:
        raise ProblemError(403, "Metrics are of all tenants: take a token without one.")
    return metrics_response(request.app.state.metrics, request)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, _principal: Reader) -> JSONResponse:
    """This interface, as OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


def registry_of(collector: GatewayCollector) -> CollectorRegistry:
    """What is shown at `/metrics`; nothing is asked of the collector before somebody looks."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def _of_database(request: Request) -> dict[str, bool]:
    try:
        with request.app.state.gateway.database.read() as connection:
            return {"database": True, "schema": is_current(connection)}
    except DatabaseUnavailableError:
        return {"database": False}


def _of_process(health: Callable[[], Mapping[str, Any]]) -> dict[str, bool]:
    """Checks are what is yes or no in what the gateway says of itself."""
    try:
        found = health()
    except Exception as error:  # noqa: BLE001 - whatever it is, the gateway is not ready
        structlog.get_logger("vigie.api").exception("health_unknown", exc_info=error)
        return {"gateway": False}
    return {name: value for name, value in found.items() if isinstance(value, bool)}
