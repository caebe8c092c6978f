"""Settings of `vigie serve`: its database, its address, whom it may reach, how long it keeps."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr

from schemas.api.base import LabelName
from schemas.api.matchers import MAX_FILTERS, Matcher
from schemas.settings.section import Section

__all__ = ["GatewaySettings", "Inhibition", "Inhibitions", "OidcSettings", "SmtpSettings"]

MAX_INHIBITIONS: Final = 64
"""Most tables of `[[inhibit]]`."""


def _network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]


class Inhibition(Section):
    """While an incident of `source` goes on, those of `target` are not told."""

    source: Annotated[tuple[Matcher, ...], Field(max_length=MAX_FILTERS)] = ()
    """Which incidents mute others; with `parent` it may be empty: all."""
    target: Annotated[tuple[Matcher, ...], Field(max_length=MAX_FILTERS)] = ()
    """Which incidents are muted; empty is all others."""
    equal: Annotated[tuple[LabelName, ...], Field(max_length=16)] = ()
    """Labels that the two must share."""
    parent: Annotated[str, Field(max_length=64)] = ""
    """Label by which a sensor names the one that it is a part of: its incident mutes this one's."""


class SmtpSettings(Section):
    """The server that sends e-mail."""

    host: Annotated[str, Field(max_length=253)] = ""
    """Its name; empty is none."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is secured."""
    user: Annotated[str, Field(max_length=1024)] = ""
    """User; empty does not log in."""
    password: Annotated[SecretStr, Field(max_length=4096)] = SecretStr("")
    """Password of the user."""
    sender: Annotated[str, Field(max_length=320)] = "vigie@localhost"
    """From whom mails come."""


class OidcSettings(Section):
    """Tokens of an identity provider (JWT), beside ours."""

    issuer: Annotated[str, Field(max_length=2048)] = ""
    """Who issues them; empty takes none."""
    audience: Annotated[str, Field(max_length=1024)] = "vigie"
    """For whom they must be."""
    jwks_url: Annotated[str, Field(max_length=2048)] = ""
    """Where its keys are."""
    scope_claim: Annotated[str, Field(max_length=64)] = "scope"
    """Claim with the scopes, of which read, operate and admin count."""
    tenant_claim: Annotated[str, Field(max_length=64)] = ""
    """Claim with the tenant; empty is none."""


class GatewaySettings(Section):
    """The gateway: who is told of incidents, and the page."""

    database: Annotated[SecretStr, Field(min_length=1, max_length=4096)] = SecretStr(
        "sqlite:///vigie.db"
    )
    """SQLAlchemy URL: sqlite:///file, or postgresql+psycopg://user:password@host/database."""
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 is a free one."""
    url: Annotated[str, Field(max_length=2048, pattern=r"^(https?://[^\s]+)?$")] = ""
    """Address of the page as people reach it, for links in notifications."""
    secret_key: Annotated[SecretStr, Field(max_length=1024)] = SecretStr("")
    """Encrypts the secrets of subscriptions; empty makes a file beside the SQLite database."""
    allow_targets: Annotated[tuple[Network, ...], Field(max_length=256)] = ()
    """Networks (CIDR) of webhooks beside the public ones, for receivers on premise."""
    deliver_timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0
    """How long a receiver may take to answer."""
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 128
    """Deliveries at once."""
    disable_after_s: Annotated[float, Field(ge=60, le=366 * 86_400)] = 432_000.0
    """A subscription whose deliveries all failed for so long is disabled: 5 days."""
    max_age_s: Annotated[float, Field(ge=60, le=3650 * 86_400)] = 7_776_000.0
    """How long incidents that are over, their deliveries and events are kept: 90 days."""
    event_age_s: Annotated[float, Field(ge=60, le=366 * 86_400)] = 86_400.0
    """How long `/v1/stream` can go on from where a client was: a day."""
    rate_limit: Annotated[str, Field(max_length=64)] = "600/minute"
    """Requests of one token, or of one address without a good token."""
    trusted_proxies: Annotated[tuple[Network, ...], Field(max_length=256)] = ()
    """Networks (CIDR) of proxies in front: X-Forwarded-For and -Proto are believed from these."""
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Clients of `/v1/stream` at once."""
    live: Literal["on", "off"] = "on"
    """Whether readings and scores are followed, for the page."""
    live_sensors: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    """Most sensors that are followed."""
    unhealthy_lag: Annotated[int, Field(ge=1, le=10**12)] = 100_000
    """Records not read at which the detector counts as unhealthy."""
    unhealthy_after_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """How long it must be behind, or nobody reading, before that is told."""
    tenant_label: Annotated[str, Field(max_length=64)] = "tenant"
    """Label of a sensor that names its tenant: tokens and subscriptions of one see its own only."""
    pipeline: Annotated[str, Field(max_length=2048, pattern=r"^(https?://[^\s]+)?$")] = ""
    """Address of the metrics of `vigie run`, for the account and workers; empty is none."""


Inhibitions = Annotated[tuple[Inhibition, ...], Field(max_length=MAX_INHIBITIONS)]
"""While some incidents go on, others are not told: a list of tables."""
