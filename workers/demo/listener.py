"""The audience of the demo: reads the output topics as any user would, in a thread."""

from __future__ import annotations

import threading
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from schemas.codec import decode_denoised
from schemas.settings import TopicSettings
from schemas.wire.anomaly import Anomaly
from schemas.wire.dead_letter import read_dead_letter
from schemas.wire.event import DeedEvent, IncidentEvent
from workers.demo.ledger import Ledger
from workers.kafka.client import Connection, Record
from workers.kafka.factory import open_reader

_EVENT: Final[TypeAdapter[IncidentEvent | DeedEvent]] = TypeAdapter(
    Annotated[IncidentEvent | DeedEvent, Field(discriminator="type")]
)


class Listener(threading.Thread):
    """Enters every record of the output topics into the ledger.

    The ledger belongs to the listener's thread until `finish` has returned; what others read of it
    before that (`Ledger.incidents`, counts) may be a moment old.
    """

    def __init__(self, connection: Connection, topics: TopicSettings, ledger: Ledger) -> None:
        """Note what to read; `start` begins."""
        super().__init__(name="demo-listener", daemon=True)
        self._connection, self._topics, self._ledger = connection, topics, ledger
        self._finishing = threading.Event()
        self.error: Exception | None = None

    def finish(self, *, within_s: float) -> None:
        """Read everything that is in the topics now, then end.

        Raises:
            Exception: what ended the reading early.
            TimeoutError: it took too long.
        """
        self._finishing.set()
        self.join(timeout=within_s)
        if self.error is not None:
            raise self.error
        if self.is_alive():
            raise TimeoutError(f"the outputs could not be read within {within_s:g} s")

    def run(self) -> None:
        """Read until `finish`, and then what is still there."""
        named = self._topics
        topics = (named.incidents, named.anomalies, named.denoised, named.dead_letters)
        try:
            with open_reader(self._connection, topics, client_id="vigie-demo-audience") as reader:
                while not self._finishing.is_set():
                    self._enter(reader.poll())
                for records in reader.read_to(reader.ends()):
                    self._enter(records)
        except Exception as error:  # noqa: BLE001 - `finish` raises it
            self.error = error

    def _enter(self, records: list[Record]) -> None:
        for record in records:
            value = record.value or b""
            if record.topic == self._topics.denoised:
                content_type = dict(record.headers)["content-type"] or b""
                self._ledger.add_denoised(
                    decode_denoised(value, content_type), stamp_ms=record.timestamp
                )
            elif record.topic == self._topics.anomalies:
                self._ledger.add_anomaly(Anomaly.model_validate_json(value))
            elif record.topic == self._topics.incidents:
                event = _EVENT.validate_json(value)
                if isinstance(event, IncidentEvent):
                    self._ledger.add_incident(event, stamp_ms=record.timestamp)
                else:
                    self._ledger.add_deed(event)
            else:
                self._ledger.add_dead_letter(
                    read_dead_letter([(name, content or b"") for name, content in record.headers])
                )
