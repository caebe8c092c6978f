"""Traces of an ingest worker for OpenTelemetry: one for each checkpoint.

    checkpoint                          linked to the traces that its records name
      poll      decode                  of each poll
      score                             of each call, from its sending to the scorer's answer
        device                          what the scorer computed
      commit

Spans are made when a step is over, of times that are measured anyway: nothing is traced record by
record, and a scorer needs no exporter of its own, as it says with its scores when it began and how
long it took. Export runs in a thread of its own from a queue with a bound: when the receiver is
away or slow, spans are dropped and the stream goes on.

OpenTelemetry is an extra, imported when tracing is on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from schemas.settings.observing import TracingSettings
from workers.errors import SettingsError
from workers.kafka.client import PollResult, Record
from workers.stream.telemetry import Attributes, Tracer

if TYPE_CHECKING:
    from opentelemetry import trace

MAX_LINKS: Final = 32
"""Traces that one checkpoint is linked to; a checkpoint of many producers names the first ones."""
_LOOKED_AT: Final = 1000
"""Records of a poll whose headers are looked at."""
_EXPORT_WITHIN_S: Final = 5
_FLUSH_WITHIN_S: Final = 2.0
_QUEUE: Final = 4096


class CheckpointTracer:
    """A `Tracer` that makes spans; one for each loop, for one thread."""

    def __init__(
        self, tracer: trace.Tracer, *, slot: int, wall_s: Callable[[], float] = time.time
    ) -> None:
        """Make the spans of worker `slot` with a tracer of OpenTelemetry."""
        self._tracer, self._slot, self._wall_s = tracer, slot, wall_s
        self._root: trace.Span | None = None
        self._linked: set[int] = set()
        self._looked_at: set[bytes] = set()

    def polled(self, polled: PollResult, took_s: float) -> None:
        """See `Tracer`."""
        records = sum(map(len, polled.records.values()))
        self.did("poll", took_s, {"vigie.records": records})
        if self._root is not None and self._root.is_recording():
            self._link(record for batch in polled.records.values() for record in batch)

    def did(self, step: str, took_s: float, attributes: Attributes) -> None:
        """See `Tracer`."""
        end_s = self._wall_s()
        self._step(self._checkpoint(end_s - took_s), step, end_s - took_s, end_s, attributes)

    def scored(self, sent_s: float, queue_s: float, device_s: float, samples: int) -> None:
        """See `Tracer`."""
        began_s = sent_s + queue_s
        span = self._step(
            self._checkpoint(sent_s),
            "score",
            sent_s,
            began_s + device_s,
            {"vigie.readings": samples, "vigie.queue_s": queue_s, "vigie.device_s": device_s},
        )
        self._step(span, "device", began_s, began_s + device_s, {})

    def ends(self, *, failed: bool) -> None:
        """See `Tracer`."""
        from opentelemetry.trace import Status, StatusCode

        if self._root is None:
            return
        if failed:
            self._root.set_status(Status(StatusCode.ERROR, "went back to what was committed"))
        self._root.end(_ns(self._wall_s()))
        self._root = None
        self._linked.clear()
        self._looked_at.clear()

    def _checkpoint(self, began_s: float) -> trace.Span:
        """The span of the checkpoint; its first step begins it."""
        if self._root is None:
            self._root = self._tracer.start_span(
                "checkpoint", start_time=_ns(began_s), attributes={"vigie.worker": self._slot}
            )
        return self._root

    def _step(
        self, parent: trace.Span, name: str, began_s: float, ended_s: float, told: Attributes
    ) -> trace.Span:
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(
            name,
            context=set_span_in_context(parent),
            start_time=_ns(began_s),
            attributes=dict(told),
        )
        span.end(_ns(ended_s))
        return span

    def _link(self, records: Iterable[Record]) -> None:
        """Link the checkpoint to the traces that records name (W3C Trace Context)."""
        from opentelemetry.trace import get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        assert self._root is not None
        read = TraceContextTextMapPropagator()
        for record, _ in zip(records, range(_LOOKED_AT), strict=False):
            if len(self._linked) >= MAX_LINKS:
                return
            named = next((value for key, value in record.headers if key == "traceparent"), None)
            if named is None or named in self._looked_at:
                continue  # records of one span, as a batch of a producer is
            self._looked_at.add(named)
            carrier = {"traceparent": named.decode("ascii", "replace")}
            context = get_current_span(read.extract(carrier)).get_span_context()
            if context.is_valid and context.trace_id not in self._linked:
                self._linked.add(context.trace_id)
                self._root.add_link(context)


@contextmanager
def tracing_of(settings: TracingSettings, *, slot: int) -> Iterator[Tracer | None]:
    """What traces a loop while the block runs; None when tracing is off.

    At the end what is queued is exported, for at most a few seconds.

    Raises:
        SettingsError: the extra is not installed.
    """
    if not settings.endpoint:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    except ImportError as error:
        raise SettingsError(
            "tracing.endpoint is set and OpenTelemetry is not installed: install vigie[tracing], "
            "or leave tracing.endpoint out"
        ) from error
    provider = TracerProvider(
        sampler=TraceIdRatioBased(settings.sample_share),
        resource=Resource.create(
            {"service.name": "vigie", "service.instance.id": f"ingest-{slot}"}
        ),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=_EXPORT_WITHIN_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
    try:
        yield CheckpointTracer(provider.get_tracer("vigie"), slot=slot)
    finally:
        # OpenTelemetry's own flush waits for a receiver that says nothing, batch after batch.
        _within(_FLUSH_WITHIN_S, provider.force_flush)
        _within(_FLUSH_WITHIN_S, exporter.shutdown)
        _within(_FLUSH_WITHIN_S, provider.shutdown)


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Have something done, and wait for it, but not for longer than that."""
    thread = threading.Thread(target=action, name="vigie-traces", daemon=True)
    thread.start()
    thread.join(seconds)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
