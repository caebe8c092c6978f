"""What `simulate` and `replay` share: options, the way into the topic, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from schemas.settings import Settings
from workers.cli.views.report import print_json
from workers.data.feed import (
    Fed,
    FeedRecord,
    Packing,
    feed,
    records_of,
)
from workers.errors import StoppedError

if TYPE_CHECKING:
    from workers.data.feed import Columns


@dataclass(frozen=True, kw_only=True)
class FeedOptions:
    """How readings are sent to a topic."""

    per_second: Annotated[
        float, typer.Option("--per-second", help="Readings a second, all sensors together.", min=0)
    ] = 0.0
    packing: Annotated[
        Packing, typer.Option("--as", help="One record a reading, or frames of many readings.")
    ] = Packing.READINGS
    frame_rows: Annotated[
        int, typer.Option("--frame-rows", help="Readings of a frame.", min=1, max=10_000)
    ] = 100
    topic: Annotated[
        str | None, typer.Option("--topic", help="Topic to write to. Sets topics.readings.")
    ] = None

    def records(
        self, batches: Iterable[Columns], channels: tuple[str, ...]
    ) -> Iterator[FeedRecord]:
        """The rows as records of the topic."""
        return records_of(batches, channels, packing=self.packing, frame_rows=self.frame_rows)

    def publish(
        self,
        records: Iterable[FeedRecord],
        settings: Settings,
        *,
        speed: float,
        doing: str,
        on_sent: Callable[[FeedRecord], None] = lambda _: None,
    ) -> Fed:
        """Publish the records to `topics.readings` until they end or Ctrl-C comes.

        Args:
            records: made by `records`.
            settings: say where to.
            speed: event time over wall time, 0 for no such limit; a rate goes before it.
            doing: the word on the terminal meanwhile.
            on_sent: called with each record that was sent.

        Raises:
            TopicError: the topic is not there; the message says how to create it.
            OutputsLostError: the broker did not take a record in time.
        """
        from workers.kafka.admin import TopicSpec, require_topics
        from workers.kafka.factory import admin_of, connection_of, open_publisher
        from workers.process import stop_signals

        topic = settings.topics.readings
        connection = connection_of(settings.kafka)
        admin = admin_of(connection)
        with stop_signals() as should_stop, Console(stderr=True).status(doing) as line:
            try:
                admin.wait_for_broker(should_stop=should_stop)
                require_topics(admin, [TopicSpec(name=topic)])
                with open_publisher(connection, should_stop=should_stop) as publisher:
                    return feed(
                        records,
                        publisher,
                        topic,
                        content_type=self.packing.content_type,
                        readings_per_s=self.per_second,
                        speed=speed,
                        should_stop=should_stop,
                        on_progress=lambda fed: line.update(
                            f"{doing}: {fed.readings:,} readings, {fed.readings_per_s:,.0f}/s"
                        ),
                        on_sent=on_sent,
                    )
            except StoppedError:
                return Fed()


def report(fed: Fed, *, topic: str, as_json: bool, **more: Any) -> None:
    """Say what was published: a line for people, a document for scripts."""
    if as_json:
        print_json({"topic": topic, **asdict(fed), "readings_per_s": fed.readings_per_s, **more})
        return
    typer.echo(
        f"{fed.readings:,} readings in {fed.records:,} records "
        f"({fed.value_bytes / 1e6:,.1f} MB) to {topic} in {fed.took_s:,.1f} s, "
        f"{fed.readings_per_s:,.0f} readings/s"
    )
