"""What `simulate` and `replay` share: options, the way into the topic, and the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from schemas.settings import Settings
from workers.data.feed import Fed, FeedRecord, Pace, Packing, content_type_of, feed
from workers.errors import StoppedError

TopicOption = Annotated[
    str | None, typer.Option("--topic", help="Topic to write to. Sets topics.readings.")
]
RateOption = Annotated[
    float, typer.Option("--rate", help="Readings a second, all sensors together.", min=0)
]
PackingOption = Annotated[
    Packing, typer.Option("--as", help="One record a reading, or frames of many readings.")
]
FrameRowsOption = Annotated[
    int, typer.Option("--frame-rows", help="Readings of a frame.", min=1, max=10_000)
]


def pace_from(*, rate: float, speed: float) -> Pace:
    """The pace that the options describe; a rate goes before a speed."""
    return Pace(readings_per_s=rate) if rate else Pace(speed=speed)


def feed_topic(
    records: Iterable[FeedRecord],
    settings: Settings,
    *,
    packing: Packing,
    pace: Pace,
    on_progress: Callable[[Fed], None],
    on_sent: Callable[[FeedRecord], None] = lambda _: None,
) -> Fed:
    """Publish the records to `topics.readings` until they end or Ctrl-C comes.

    Raises:
        TopicError: the topic is not there; the message says how to create it.
        OutputsLostError: the broker did not take a record in time.
    """
    from workers.kafka.kafka_python import Connection, wait_for_broker
    from workers.kafka.kafka_python.admin.topics import TopicSpec, require_topics
    from workers.kafka.kafka_python.producer.publisher import PublisherConfig
    from workers.process import stop_signals

    topic = settings.topics.readings
    connection = Connection(
        bootstrap=settings.kafka.bootstrap, options=settings.kafka.client_options()
    )
    with stop_signals() as should_stop:
        try:
            wait_for_broker(connection, should_stop=should_stop)
            require_topics(connection, [TopicSpec(name=topic)])
            with PublisherConfig(connection=connection).open(should_stop=should_stop) as publisher:
                return feed(
                    records,
                    publisher,
                    topic,
                    content_type=content_type_of(packing),
                    pace=pace,
                    should_stop=should_stop,
                    on_progress=on_progress,
                    on_sent=on_sent,
                )
        except StoppedError:
            return Fed()


@contextmanager
def progress_line(doing: str) -> Iterator[Callable[[Fed], None]]:
    """Yield a function that keeps one line on the terminal up to date; silent elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda fed: live.update(
            f"{doing}: {fed.readings:,} readings, {fed.readings_per_s:,.0f}/s", refresh=True
        )


def report(fed: Fed, *, topic: str, as_json: bool, **more: Any) -> None:
    """Say what was published: a line for people, a document for scripts."""
    if as_json:
        from workers.cli.views.report import print_json

        print_json({"topic": topic, **asdict(fed), "readings_per_s": fed.readings_per_s, **more})
        return
    sys.stdout.write(
        f"{fed.readings:,} readings in {fed.records:,} records "
        f"({fed.value_bytes / 1e6:,.1f} MB) to {topic} in {fed.took_s:,.1f} s, "
        f"{fed.readings_per_s:,.0f} readings/s\n"
    )
