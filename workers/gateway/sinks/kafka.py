"""A topic of the broker of [kafka]: one CloudEvent per event, by its sensor."""

from __future__ import annotations

import threading
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
from workers.kafka.factory import connection_of, open_publisher
from workers.kafka.publisher import Publisher

__all__ = ["KafkaTopics"]

_HEADERS: Final = ((HEADER, CLOUD_EVENT.encode()),)


class KafkaTopics:
    """Publishes; the client is made when the first notification needs it, and anew when it fails.

    One thread does it all: what it returns for is with the broker.
    """

    def __init__(self, calls: BlockingCalls, connection: Connection, own: frozenset[str]) -> None:
        """With one thread; `own` are Vigie's topics, to which nothing is sent."""
        self._calls, self._connection, self._own = calls, connection, own
        self._stop = threading.Event()
        self._client = ExitStack()
        self._publisher: Publisher | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Open nothing yet; close what was opened."""
        connection = replace(
            connection_of(settings.kafka), wait_timeout_s=settings.gateway.deliver_timeout_s
        )
        own = frozenset(
            topic
            for topic in settings.topics.model_dump().values()
            if isinstance(topic, str)
        )  # fmt: skip
        with BlockingCalls.open("kafka", threads=1) as calls:
            topics = cls(calls, connection, own)
            try:
                yield topics
            finally:
                topics._stop.set()
                calls.submit(topics._close)

    async def send(self, sink: KafkaSink, message: Message, *, deadline: float) -> Outcome:
        """Publish the events of a notification; delivered is what the broker has."""
        if sink.topic in self._own:
            return Outcome.failed(
                f"{sink.topic} is a topic of Vigie itself: it would read what it writes",
                Verdict.REJECTED,
            )
        return await self._calls.run(lambda: self._publish(sink.topic, message), deadline=deadline)

    def _publish(self, topic: str, message: Message) -> Outcome:
        try:
            publisher = self._opened()
            for event in message.events:
                publisher.send(
                    topic,
                    key=str(event.get("subject", "")).encode(),
                    value=encoded(event),
                    headers=_HEADERS,
                )
            publisher.settle()
        except PoisonRecordError as error:
            self._close(error)
            return Outcome.failed(str(error), Verdict.REJECTED)
        except VigieError as error:
            self._close(error)
            return Outcome.failed(str(error))
        return Outcome(verdict=Verdict.DELIVERED)

    def _opened(self) -> Publisher:
        if self._publisher is None:
            self._publisher = self._client.enter_context(
                open_publisher(
                    self._connection,
                    client_id="vigie-gateway",
                    should_stop=self._stop.is_set,
                )
            )
        return self._publisher

    def _close(self, error: VigieError | None = None) -> None:
        self._publisher = None
        with suppress(VigieError):
            self._client.__exit__(type(error) if error else None, error, None)
