"""The plant's side of the show: readings into the topic, each when it is due, in a thread."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from schemas.codec import READING_JSON, ReadingEncoder
from workers.data.feed import FeedRecord, feed
from workers.demo.scenario import Scenario
from workers.kafka.client import Connection
from workers.kafka.factory import open_publisher
from workers.plant.plant import PlantChunk
from workers.plant.process import BLOCK_ROWS


@dataclass(kw_only=True)
class Sent:
    """What has been handed to the broker."""

    readings: int = 0  # good ones, each the first of its pump and time
    repeated: int = 0  # once more, at once
    late: int = 0  # once more, after newer ones
    bad: int = 0  # no reading

    @property
    def records(self) -> int:
        """Everything."""
        return self.readings + self.repeated + self.late + self.bad


class Feeder(threading.Thread):
    """Sends the plant's readings; keeps the truth of the last rows. `start` it at once.

    Attributes:
        sent: so far; final once `is_done`.
        truth: the last chunks, with rows that count from the beginning of the show.
        start_ns: event time of row 0, once the show has begun.
        ready: set when `go` would take effect at once.
        error: what ended the sending early.
    """

    def __init__(self, scenario: Scenario, connection: Connection, topic: str) -> None:
        """Note what to do; `start` connects and prepares the first readings."""
        super().__init__(name="demo-feeder", daemon=True)
        self.sent = Sent()
        self.truth: deque[PlantChunk] = deque(maxlen=max(scenario.kept_rows // BLOCK_ROWS, 1))
        self.start_ns = 0
        self.ready = threading.Event()
        self.error: Exception | None = None
        self._scenario, self._connection, self._topic = scenario, connection, topic
        self._plant = scenario.plant()
        self._stopping, self._going = threading.Event(), threading.Event()

    @property
    def is_done(self) -> bool:
        """Whether the show is over and everything is with the broker, or sending has failed."""
        return not self.is_alive()

    def go(self) -> None:
        """Begin the show: row 0 is due now."""
        self.start_ns = time.time_ns() // 1_000_000 * 1_000_000
        self._going.set()

    def stop(self, *, within_s: float) -> None:
        """Send no more, and wait until what was sent is with the broker."""
        self._stopping.set()
        self._going.set()
        self.join(timeout=within_s)

    def run(self) -> None:
        """Send until the end or `stop`, from `go` on."""
        try:
            stopping = self._stopping.is_set
            with open_publisher(
                self._connection, client_id="vigie-demo-plant", should_stop=stopping
            ) as publisher:
                chunks = self._plant.chunks(
                    self._scenario.rows, first_row=self._scenario.training_rows
                )
                first = next(chunks)  # takes a second
                self.ready.set()
                self._going.wait()
                feed(
                    self._counted(self._stamped(itertools.chain([first], chunks))),
                    publisher,
                    self._topic,
                    content_type=READING_JSON,
                    speed=1.0,
                    should_stop=stopping,
                )
        except Exception as error:  # noqa: BLE001 - raised by `_Show.should_stop`
            self.error = error

    def _stamped(self, chunks: Iterable[PlantChunk]) -> Iterator[PlantChunk]:
        """The chunks with the rows and the times of the show."""
        for chunk in chunks:
            first_row = chunk.first_row - self._scenario.training_rows
            rows = first_row + np.arange(len(chunk), dtype=np.int64)
            ts_ns = self.start_ns + rows * self._scenario.interval_ns
            yield replace(chunk, first_row=first_row, ts_ns=ts_ns)

    def _counted(self, chunks: Iterable[PlantChunk]) -> Iterator[FeedRecord]:
        """The records; each counts when the next is asked for, so one never sent never counts."""
        for kind, record in self._records(chunks):
            yield record
            setattr(self.sent, kind, getattr(self.sent, kind) + 1)

    def _records(self, chunks: Iterable[PlantChunk]) -> Iterator[tuple[str, FeedRecord]]:
        """Readings row by row, with bad, repeated and late records between them."""
        encoder, machines = ReadingEncoder(self._plant.channels), self._plant.machines
        recent: deque[FeedRecord] = deque(maxlen=16)
        for chunk in chunks:
            self.truth.append(chunk)
            rows = zip(chunk.ts_ns.tolist(), chunk.noisy.tolist(), strict=True)
            for row, (ts_ns, readings) in enumerate(rows, start=chunk.first_row):
                records = [
                    FeedRecord(machine.encode(), encoder.encode(machine, ts_ns, values), 1, ts_ns)
                    for machine, values in zip(machines, readings, strict=True)
                ]
                recent.append(records[0])
                yield from (("readings", record) for record in records)
                yield from self._oddities(row, recent)

    def _oddities(self, row: int, recent: deque[FeedRecord]) -> Iterator[tuple[str, FeedRecord]]:
        last = recent[-1]
        for again in self._scenario.repeats_after(row):
            record = recent[again - row - 1]
            # A late one is due now, although its event time is over.
            yield "repeated" if record is last else "late", replace(record, ts_ns=last.ts_ns)
        value = self._scenario.bad_record_after(row)
        if value is not None:
            yield "bad", FeedRecord(last.key, value, 1, last.ts_ns)
