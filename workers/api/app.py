"""The application of `vigie serve`: routes, and what every request passes on its way to one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from workers.api import problems
from workers.api.credentials import Credentials
from workers.api.gate import Gate, RateLimits
from workers.api.gateway_metrics import GatewayCollector
from workers.api.middleware import (
    BodyLimit,
    KnownHosts,
    SecurityHeaders,
    UnexpectedErrors,
    is_local_name,
)
from workers.api.oidc import open_provider
from workers.api.routes import (
    audit,
    deliveries,
    event_types,
    fleet_map,
    health,
    incidents,
    pages,
    sensors,
    session,
    silences,
    stream,
    subscriptions,
)
from workers.api.streams import StreamPlaces
from workers.errors import SettingsError
from workers.gateway.gateway import Gateway
from workers.version import own_version

__all__ = ["ROUTES", "create_app"]

ROUTES: Final = (
    health,
    session,
    subscriptions,
    deliveries,
    incidents,
    silences,
    stream,
    event_types,
    fleet_map,
    sensors,
    audit,
    pages,
)
"""In the order in which a path is looked up."""

_TAGS: Final = (
    ("health", "Whether the gateway lives and does its work."),
    ("session", "Logging in to the page."),
    ("subscriptions", "Who is told of what, where, and what became of it."),
    ("incidents", "What went wrong, who looks after it, and what it was."),
    ("silences", "No notifications for a while."),
    ("stream", "Everything that happens, as it happens."),
    ("event types", "What may happen, with JSON Schemas."),
    ("sensors", "Sensors as they are now and were of late."),
    ("audit", "Who changed what."),
    ("pages", "The page, for people."),
)
_ABOUT: Final = (
    "Tells those who subscribed of incidents, and shows what goes on. Every request but those for "
    "health needs a token of `vigie tokens create`, as `Authorization: Bearer`. Errors are problem "
    "details (RFC 9457). Lists come in pages: `next` of a page is the `cursor` of the one behind "
    "it. What can be changed has an ETag, and a change says by If-Match what it is a change of."
)
_THREADS: Final = 12
"""Routes at work at once that wait for the database: fewer than it has connections for us."""


def create_app(
    gateway: Gateway, *, open_access: bool = False, clock: Callable[[], int] = time.time_ns
) -> FastAPI:
    """Build the application of a gateway that is open.

    Args:
        gateway: what it shows and changes.
        open_access: whether everybody is an administrator; for loopback alone.
        clock: nanoseconds since 1970.

    Raises:
        SettingsError: open access beyond loopback, a wrong rate limit or identity provider.
    """
    settings = gateway.settings.gateway
    loopback_only = is_local_name(f"[{settings.host}]" if ":" in settings.host else settings.host)
    if open_access and not loopback_only:
        raise SettingsError(
            "without tokens everybody may do everything: gateway.host must be 127.0.0.1, or make "
            "a token with vigie tokens create"
        )
    app = FastAPI(
        title="Vigie",
        summary="The alert gateway",
        description=_ABOUT,
        version=own_version(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=[{"name": name, "description": told} for name, told in _TAGS],
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # a route as all others: see `health`
        lifespan=_lifespan,
    )
    app.state.gateway, app.state.clock, app.state.open_access = gateway, clock, open_access
    app.state.credentials = Credentials(
        database=gateway.database, provider=open_provider(gateway.settings.oidc), clock=clock
    )
    app.state.metrics = health.registry_of(
        GatewayCollector(gateway.database, gateway.health, clock=clock)
    )
    app.state.streams = StreamPlaces(settings.max_streams)
    app.state.live_streams = StreamPlaces(settings.max_streams)
    problems.install(app)
    for routes in ROUTES:
        app.include_router(routes.router)
    # What is added last is outermost.
    app.add_middleware(
        Gate,
        credentials=app.state.credentials,
        limits=RateLimits(settings.rate_limit),
        open_access=open_access,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(KnownHosts, loopback_only=loopback_only, url=settings.url)
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The description of the interface, with the schema of what goes wrong."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            summary=app.summary,
            description=app.description,
            version=app.version,
            license_info=app.license_info,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = app.openapi_schema.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
    return app.openapi_schema
