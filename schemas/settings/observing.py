"""Settings of how a run is watched: where it answers, and where its traces go."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.settings.section import Section


class MetricsSettings(Section):
    """Where a driver answers /healthz, /readyz, /metrics, /status and /scale."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    """Address that it listens on; 0.0.0.0 opens it to the network."""
    port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Port that it listens on; 0 takes a free one. Without one nothing is served."""


class TracingSettings(Section):
    """Traces of what ingest workers do, for OpenTelemetry: needs the extra tracing."""

    endpoint: Annotated[str, Field(max_length=4096, pattern=r"^(https?://[^\s@]+)?$")] = ""
    """Where spans go by OTLP over HTTP, such as http://collector:4318/v1/traces; empty is off."""
    sample_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the checkpoints that are traced."""
