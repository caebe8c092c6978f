"""Traces of a checkpoint, and a stream that does not care where they go."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from schemas.settings.observing import TracingSettings
from tests.support.fakes import HeldScoring, make_stream, places
from tests.support.models import encoded, reading_records
from tests.support.otlp import open_receiver
from workers.errors import SettingsError
from workers.stream.tracing import MAX_LINKS, CheckpointTracer, tracing_of

VALUES = [record["value"] for record in encoded(reading_records(["a", "b"], 30))]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


class Spans:
    """Spans as they end."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False, **options)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = CheckpointTracer(provider.get_tracer("test"), slot=3)

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]


def test_a_checkpoint_is_a_trace_from_poll_to_commit() -> None:
    spans = Spans()
    make_stream(VALUES, tracer=spans.tracer).run_to_the_end()
    (score, *_), (device, *_) = spans.named("score"), spans.named("device")
    (root,) = [s for s in spans.named("checkpoint") if s.context.span_id == score.parent.span_id]
    of_root = [s for s in spans.all() if s.parent and s.parent.span_id == root.context.span_id]
    assert {s.name for s in of_root} == {"poll", "decode", "score", "commit"}
    assert device.parent.span_id == score.context.span_id
    assert attributes(root)["vigie.worker"] == 3
    assert attributes(score)["vigie.readings"] > 0
    assert all(s.context.trace_id == root.context.trace_id for s in (score, device))
    times = [root.start_time, score.start_time, device.end_time, root.end_time]
    assert times == sorted(times, key=lambda time_ns: time_ns or 0)


def test_every_reading_that_is_scored_is_in_one_trace() -> None:
    spans = Spans()
    stream = make_stream(VALUES, tracer=spans.tracer, stream={"max_poll_records": 7})
    stream.run_to_the_end()
    traced = sum(attributes(span)["vigie.readings"] for span in spans.named("score"))
    assert traced == len(places(stream.sink, "vigie.denoised")) > 0


def test_a_checkpoint_is_linked_to_the_traces_that_its_records_name() -> None:
    spans = Spans()
    stream = make_stream(VALUES, tracer=spans.tracer)
    other = ("traceparent", b"00-%032x-00f067aa0ba902b7-01" % 7)
    stream.source.headers = {0: (PARENT,), 1: (PARENT,), 2: (other,), 3: (("traceparent", b"x"),)}
    stream.run_to_the_end()
    links = [link.context.trace_id for span in spans.named("checkpoint") for link in span.links]
    assert links == [int(TRACE, 16), 7]


def test_a_checkpoint_of_many_producers_is_linked_to_a_bounded_number() -> None:
    spans = Spans()
    stream = make_stream(VALUES, tracer=spans.tracer)
    stream.source.headers = {
        at: (("traceparent", b"00-%032x-00f067aa0ba902b7-01" % (at + 1)),)
        for at in range(len(VALUES))
    }
    stream.run_to_the_end()
    assert max(len(span.links) for span in spans.named("checkpoint")) == MAX_LINKS < len(VALUES)


def test_a_checkpoint_that_goes_back_ends_as_an_error() -> None:
    spans = Spans()
    stream = make_stream(VALUES, tracer=spans.tracer)
    stream.sink.refusals = {2}  # the first one notes where the group begins
    stream.run_to_the_end()
    failed = [span for span in spans.named("checkpoint") if not span.status.is_unset]
    assert [span.status.status_code.name for span in failed] == ["ERROR"]
    assert spans.named("checkpoint")[-1].status.is_unset


def test_a_call_is_traced_in_the_checkpoint_that_publishes_it() -> None:
    spans, scoring = Spans(), HeldScoring()
    stream = make_stream(VALUES, scoring=scoring, tracer=spans.tracer)
    for _ in range(5):
        stream.turn()
    assert not spans.named("score")
    scoring.release()
    stream.turn()  # publishes
    stream.turn()  # commits
    (score,), commit = spans.named("score"), spans.named("commit")[-1]
    assert score.context.trace_id == commit.context.trace_id


def test_what_is_not_sampled_costs_no_look_at_headers() -> None:
    spans = Spans(sampler=ALWAYS_OFF)
    stream = make_stream(VALUES, tracer=spans.tracer)
    stream.source.headers = {0: (("traceparent", None),)}  # type: ignore[dict-item]
    stream.run_to_the_end()
    assert spans.all() == []


# -- export ----------------------------------------------------------------------------------------


@contextmanager
def traced(endpoint: str) -> Iterator[Any]:
    with tracing_of(TracingSettings(endpoint=endpoint), slot=0) as tracer:
        yield tracer


def test_spans_come_to_a_receiver_over_http() -> None:
    with open_receiver() as receiver:
        with traced(receiver.endpoint) as tracer:
            stream = make_stream(VALUES, tracer=tracer)
            stream.source.headers = {0: (PARENT,)}
            stream.run_to_the_end()
        names = {span.name for span in receiver.spans}
        links = {link.trace_id.hex() for span in receiver.spans for link in span.links}
        (resource,) = {
            tuple(sorted((a.key, a.value.string_value) for a in one.resource.attributes))
            for request in receiver.requests
            for one in request.resource_spans
        }
    assert names == {"checkpoint", "poll", "decode", "score", "device", "commit"}
    assert links == {TRACE}
    assert ("service.name", "vigie") in resource
    assert ("service.instance.id", "ingest-0") in resource


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_receiver_that_is_away_does_not_stop_the_stream_nor_its_end() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
    began_s = time.monotonic()
    with traced(endpoint) as tracer:
        stream = make_stream(VALUES, tracer=tracer, stream={"max_poll_records": 3})
        stream.run_to_the_end()
    assert len(places(stream.sink, "vigie.denoised")) > 0
    assert time.monotonic() - began_s < 30


def test_a_receiver_that_says_nothing_does_not_hold_the_stream_up() -> None:
    with open_receiver() as receiver:
        receiver.answers.clear()
        with traced(receiver.endpoint) as tracer:
            for _ in range(2):
                stream = make_stream(VALUES, tracer=tracer, stream={"max_poll_records": 1})
                stream.run_to_the_end()
            assert receiver.requests == []
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 15, "the end is not held up either"


def test_without_an_endpoint_there_is_no_tracer_and_nothing_is_imported() -> None:
    with tracing_of(TracingSettings(), slot=0) as tracer:
        assert tracer is None


def test_an_endpoint_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(SettingsError, match=r"install vigie\[tracing\]"),
        traced("http://localhost:4318/v1/traces"),
    ):
        pass
