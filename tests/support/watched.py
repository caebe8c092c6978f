"""A driver as those who watch it see it, without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest

from workers.api.metrics import PipelineCollector
from workers.stream.health import Health
from workers.supervision.status import ScalingStatus


@dataclass
class Watched:
    """A `Driver` that says what a test has it say."""

    healths: Sequence[Health]
    scaling: ScalingStatus | None
    tick_age_s: float | None = 0.5
    missing: Sequence[str] = ()

    def registry(self) -> CollectorRegistry:
        """Its metrics."""
        registry = CollectorRegistry()
        registry.register(PipelineCollector(self))
        return registry


def exposition(healths: Sequence[Health], scaling: ScalingStatus | None) -> str:
    """The text of /metrics of such workers."""
    return generate_latest(Watched(healths, scaling).registry()).decode()
