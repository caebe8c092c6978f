"""Who may ask: sessions of the page, and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr

from schemas.api.base import Request, Response, Time, example

__all__ = ["AuditEntry", "Health", "Readiness", "SessionRequest", "SessionView"]


class SessionRequest(Request):
    """Log in to the page."""

    model_config = ConfigDict(json_schema_extra=example({"token": "vigie_..."}))

    token: Annotated[SecretStr, Field(min_length=1, max_length=8192)]
    """A token of `vigie tokens create`, or of the identity provider."""


class SessionView(Response):
    """Who is logged in."""

    name: str
    """Name of the token, or of the person."""
    scopes: list[str]
    """What they may: read, operate, admin; each holds those before it."""
    tenant: str = ""
    """Whose incidents and sensors they see; empty is all."""
    csrf: str | None = None
    """To be sent as X-CSRF-Token with each change; null where no cookie is used."""
    expires_at: Time | None = None
    """End of a session that has just begun."""
    open_access: bool = False
    """Whether this gateway asks nobody for a token."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"name": "night shift", "scopes": ["operate"], "tenant": "", "csrf": "p7S1...",
             "expires_at": "2026-11-30T18:00:00Z", "open_access": False}
        )
    )  # fmt: skip


class AuditEntry(Response):
    """A change that somebody made."""

    id: int
    """Number of the entry; later ones have higher ones."""
    at: Time
    """When."""
    by: str
    """Who."""
    tenant: str
    """Their tenant; empty if they have none."""
    action: str
    """What they did, such as subscription.create."""
    target: str
    """To what."""
    details: dict[str, Any]
    """What else there is to say."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"id": 17, "at": "2026-11-30T09:12:44.120391Z", "by": "night shift", "tenant": "",
             "action": "incident.acknowledge", "target": "0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11",
             "details": {"comment": "on my way"}}
        )
    )  # fmt: skip


class Health(Response):
    """The process lives."""

    status: str = "ok"
    """Always ok: a process that does not live does not answer."""


class Readiness(Response):
    """Whether the gateway does its work."""

    status: str
    """ready, or not ready."""
    checks: dict[str, str]
    """What was looked at: ok, or failing."""

    model_config = ConfigDict(
        json_schema_extra=example(
            {"status": "ready", "checks": {"database": "ok", "schema": "ok", "intake": "ok"}}
        )
    )
