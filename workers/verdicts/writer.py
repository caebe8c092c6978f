"""Changes of the wishes for a sensor, none of which is lost when two people make one at once.

A document is read, changed and written. All writers share one transactional id: who begins fences
who has not committed yet, whose commit then fails, and who reads, changes and writes again. So
between the reading and the commit of a change lies no other's (`docs/decisions/0008` says why a
producer that is fenced can do no harm any more).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from schemas.wire.errors import InvalidRecordError
from schemas.wire.verdict import SensorWishes, decode_wishes, encode_wishes
from workers.errors import BrokerUnavailableError, TransactionAbortedError, VigieError
from workers.kafka.client import Connection, OpensSink, Table
from workers.kafka.factory import verdicts_sink_of, verdicts_table_of
from workers.kafka.publisher import Publisher
from workers.verdicts.standing import no_wishes

__all__ = ["Change", "WishWriter", "decoded", "open_wish_writer"]

_PARTITION: Final = 0
"""The topic has one."""
_ATTEMPTS: Final = 12
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_TIMEOUT_S: Final = 10.0

Change = Callable[[SensorWishes], SensorWishes]
"""Gives the document as it is to be; it may be called several times, with others."""


@dataclass(frozen=True, kw_only=True)
class WishWriter:
    """Changes the documents of a topic.

    Attributes:
        sink: exactly once, with the transactional id that all writers of the topic share.
        table: of the topic.
        topic: its name.
        pause: waits for so many seconds before another attempt.
        rng: spreads the attempts of writers that disturb each other.
    """

    sink: OpensSink
    table: Table
    topic: str
    pause: Callable[[float], None] = time.sleep
    rng: Random

    def change(self, key: str, change: Change) -> tuple[SensorWishes, SensorWishes]:
        """Change the wishes of a key; returns the document before and after.

        Raises:
            VigieError: what ``change`` raises; the document is of a later version; or other writers
                came in between too often.
            BrokerUnavailableError, SettingsError: see `OpensSink`, `Table.latest`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._change_once(key, change)
            except (TransactionAbortedError, BrokerUnavailableError) as error:
                if attempt == _ATTEMPTS:
                    raise type(error)(
                        f"The wishes for {key} were not written, in {attempt} attempts: {error}"
                    ) from error
            longest_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            self.pause(self.rng.uniform(0.0, longest_s))

    def _change_once(self, key: str, change: Change) -> tuple[SensorWishes, SensorWishes]:
        name = key.encode()
        with Publisher.open(self.sink, flush_timeout_s=_TIMEOUT_S) as publisher:
            # Not before the sink is open: what is read must include what a writer before us,
            # fenced by now, has committed.
            before = decoded(key, self.table.latest(_PARTITION).get(name))
            after = change(before)
            if after != before:
                value = encode_wishes(after) if after.wishes else None
                publisher.send(self.topic, key=name, value=value, partition=_PARTITION)
        return before, after


@contextmanager
def open_wish_writer(connection: Connection, topic: str) -> Iterator[WishWriter]:
    """A writer of the topic of the verdicts.

    Raises:
        BrokerUnavailableError, SettingsError: see `OpensTable`.
    """
    with verdicts_table_of(connection, topic).open() as table:
        yield WishWriter(
            sink=verdicts_sink_of(connection, topic),
            table=table,
            topic=topic,
            rng=Random(),  # noqa: S311 - spreads attempts, keeps no secret
        )


def decoded(key: str, value: bytes | None) -> SensorWishes:
    """The document of a key, one without wishes if there is none.

    Raises:
        VigieError: it cannot be read, and must not be written over.
    """
    if value is None:
        return no_wishes(key)
    try:
        return decode_wishes(key.encode(), value)
    except InvalidRecordError as error:
        raise VigieError(
            f"{error}. A later version of Vigie may have written them: use that one."
        ) from error
