"""What is measured of a loop: histograms always, spans where a tracer is given.

The loop says what it did and how long that took, once a batch or commit and never per record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

from workers.kafka.client import PollResult
from workers.stream.histogram import Measures
from workers.stream.scoring.call import ScoringCall

Attributes = Mapping[str, str | int | float]


class Tracer(Protocol):
    """Takes the spans of one checkpoint after another; see `workers.stream.tracing`."""

    def polled(self, polled: PollResult, took_s: float) -> None:
        """Records came: the first ones since the last commit begin a checkpoint."""

    def did(self, step: str, took_s: float, attributes: Attributes) -> None:
        """A step of the checkpoint is over."""

    def scored(self, sent_s: float, queue_s: float, device_s: float, samples: int) -> None:
        """A scorer answered: sent at a wall clock's `sent_s`, it waited, and was computed."""

    def ends(self, *, failed: bool) -> None:
        """The checkpoint is committed, or given up: the partitions go back."""


@dataclass
class Telemetry:
    """Of one loop, and of the process that it has to itself."""

    tracer: Tracer | None = None
    measures: Measures = field(default_factory=Measures)
    _process: psutil.Process = field(default_factory=psutil.Process)

    def polled(self, polled: PollResult, took_s: float) -> None:
        """A poll is over."""
        if self.tracer is not None and any(polled.records.values()):
            self.tracer.polled(polled, took_s)

    def submitted(self, call: ScoringCall, took_s: float) -> None:
        """A call was made of polled records in so many seconds, and sent to a scorer."""
        self.measures.batch.observe(call.samples)
        if self.tracer is not None:
            self.tracer.did("decode", took_s, {"vigie.readings": call.samples})

    def answered(self, call: ScoringCall) -> None:
        """The scores of a call are there."""
        timing = call.future.timing
        if timing is None:
            return
        self.measures.queue.observe(timing.queue_s)
        self.measures.device.observe(timing.device_s)
        if self.tracer is not None:
            self.tracer.scored(timing.sent_s, timing.queue_s, timing.device_s, call.samples)

    def published(self, latencies_ms: NDArray[np.float64]) -> None:
        """Outputs were handed over."""
        self.measures.latency.observe_all(latencies_ms)

    def committed(self, took_s: float) -> None:
        """A checkpoint was committed."""
        self.measures.commit.observe(took_s)
        if self.tracer is not None:
            self.tracer.did("commit", took_s, {})
            self.tracer.ends(failed=False)

    @property
    def resident_bytes(self) -> int:
        """Resident memory of this process."""
        resident: int = self._process.memory_info().rss
        return resident

    @property
    def cpu_s(self) -> float:
        """Processor time of this process."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def went_back(self) -> None:
        """A checkpoint was given up."""
        if self.tracer is not None:
            self.tracer.ends(failed=True)
