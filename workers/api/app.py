"""The application of `vigie serve`: routes, and what every request passes on its way to one."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from workers.api import problems

if TYPE_CHECKING:
    from workers.gateway.gateway import Gateway

__all__ = ["ROUTES", "create_app"]

ROUTES: Final = (
    "health",
    "session",
    "subscriptions",
    "incidents",
    "silences",
    "stream",
    "event_types",
    "sensors",
    "audit",
    "pages",
)
"""Modules of `workers.api.routes`, in the order in which a path is looked up."""


def create_app(
    gateway: Gateway, *, open_access: bool = False, clock: Callable[[], int] = time.time_ns
) -> FastAPI:
    """Build the application of a gateway that is open.

    Args:
        gateway: what it shows and changes.
        open_access: whether everybody is an administrator; for loopback alone.
        clock: nanoseconds since 1970.
    """
    app = FastAPI(
        title="Vigie",
        version=importlib.metadata.version("vigie"),
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.gateway = gateway
    app.state.open_access = open_access
    app.state.clock = clock
    problems.install(app)
    for name in ROUTES:
        if find_spec(f"workers.api.routes.{name}") is not None:
            app.include_router(import_module(f"workers.api.routes.{name}").router)
    return app
