"""Metrics as Prometheus asks for them: its text, or OpenMetrics."""

from __future__ import annotations

from fastapi import Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

__all__ = ["metrics_response"]


def metrics_response(registry: CollectorRegistry, request: Request) -> Response:
    """All metrics of a registry, as they are now."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})
