"""Topics of the broker of [kafka]: one CloudEvent per event, by its sensor."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Final, Self

from schemas.api.sinks import KafkaSink
from schemas.codec.content_type import CLOUD_EVENT, HEADER
from schemas.settings import Settings
from workers.alerts.bodies.text import encoded
from workers.alerts.message import Message
from workers.errors import PoisonRecordError, VigieError
from workers.gateway.sinks.blocking import BlockingCalls
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.kafka.client import Connection
from workers.kafka.factory import connection_of, open_publisher, topic_specs
from workers.kafka.publisher import Publisher

__all__ = ["KafkaTopics"]

_HEADERS: Final = ((HEADER, CLOUD_EVENT.encode()),)
_MOST_TOPICS: Final = 16
"""Clients that are kept open."""


class KafkaTopics:
    """Publishes; a topic has a client and a thread of its own, so a missing one stalls no other."""

    def __init__(self, connection: Connection, own: frozenset[str]) -> None:
        """With nothing open; `own` are Vigie's topics, to which nothing is sent."""
        self._connection, self._own = connection, own
        self._stop = threading.Event()
        self._topics: OrderedDict[str, _Topic] = OrderedDict()

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Open nothing yet; close what was opened.

        Raises:
            SettingsError: an option of [kafka] cannot be used.
        """
        connection = replace(
            connection_of(settings.kafka), wait_timeout_s=settings.gateway.deliver_timeout_s
        )
        own = frozenset(spec.name for spec in topic_specs(settings.topics))
        topics = cls(connection, own)
        try:
            yield topics
        finally:
            topics._stop.set()
            for topic in topics._topics.values():
                topic.close()

    async def send(self, sink: KafkaSink, message: Message, *, deadline: float) -> Outcome:
        """Publish the events of a notification; delivered is what the broker has."""
        if sink.topic in self._own:
            return Outcome.failed(
                f"{sink.topic} is a topic of Vigie itself: it would read what it writes",
                Verdict.REJECTED,
            )
        topic = self._topics.get(sink.topic)
        if topic is None:
            topic = self._topics[sink.topic] = _Topic(sink.topic, self._connection, self._stop)
        self._topics.move_to_end(sink.topic)
        while len(self._topics) > _MOST_TOPICS:
            self._topics.popitem(last=False)[1].close()
        return await topic.send(message, deadline=deadline)


class _Topic:
    """A client and its thread; made when it is needed first, and anew when it failed."""

    def __init__(self, name: str, connection: Connection, stop: threading.Event) -> None:
        self._name, self._connection, self._stop = name, connection, stop
        self._threads = ExitStack()
        self._calls = self._threads.enter_context(BlockingCalls.open("kafka", threads=1))
        self._client = ExitStack()
        self._publisher: Publisher | None = None

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        return await self._calls.run(lambda: self._publish(message), deadline=deadline)

    def close(self) -> None:
        """Close behind what is under way, and do not wait for it."""
        self._calls.submit(self._end)
        self._threads.close()

    def _publish(self, message: Message) -> Outcome:
        values = [
            (str(event.get("subject", "")).encode(), encoded(event)) for event in message.events
        ]
        try:
            publisher = self._opened()
            for key, value in values:
                publisher.send(self._name, key=key, value=value, headers=_HEADERS)
            publisher.settle()
        except PoisonRecordError as error:
            self._end(error)
            return Outcome.failed(str(error), Verdict.REJECTED)
        except VigieError as error:
            self._end(error)
            return Outcome.failed(str(error))
        return Outcome(verdict=Verdict.DELIVERED)

    def _opened(self) -> Publisher:
        if self._publisher is None:
            opening = open_publisher(
                self._connection, client_id="vigie-gateway", should_stop=self._stop.is_set
            )
            self._publisher = self._client.enter_context(opening)
        return self._publisher

    def _end(self, error: VigieError | None = None) -> None:
        self._publisher = None
        with suppress(VigieError):
            self._client.__exit__(type(error) if error else None, error, None)
