"""What travels with a record between the two hops of `vigie repartition`, in one more header. Pure.

The record itself stays as it was found. A *clock mark* is a record of its own, without a key: it
says how far a source partition has come, to the partitions that none of its records went to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes | None]]

_ARRIVAL: Final = "vigie-arrival"
_CLOCK: Final = "vigie-clock"


class LogRecord(Protocol):
    """A record as it lies in a log; see `workers.kafka.client`."""

    @property
    def offset(self) -> int:
        """Its place in its partition."""

    @property
    def timestamp(self) -> int:
        """Epoch milliseconds; below 0 is none."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its content."""

    @property
    def headers(self) -> Headers:
        """Its headers."""


class Arrival(NamedTuple):
    """How a record arrived in the source topic.

    Attributes:
        partition, offset: its place there.
        clock_ms: how far its partition's clock had come with it; see `workers.stream.state.rekey`.
        ts_ns: its event time; of several readings the first.
        stamp_ms: its timestamp; below 0 is none.
    """

    partition: int
    offset: int
    clock_ms: int
    ts_ns: int
    stamp_ms: int

    def header(self) -> tuple[str, bytes]:
        """The header to add behind the record's own."""
        return _ARRIVAL, b"%d,%d,%d,%d,%d" % self


class ClockMark(NamedTuple):
    """All that comes from this source partition later has at least this clock."""

    partition: int
    clock_ms: int

    def headers(self) -> tuple[tuple[str, bytes]]:
        """The headers of the mark's record."""
        return ((_CLOCK, b"%d,%d" % self),)


def read_header(headers: Headers) -> Arrival | ClockMark:
    """What the last header says.

    Raises:
        ValueError: it was not written by `vigie repartition`.
    """
    name, value = headers[-1] if headers else ("", None)
    if name == _ARRIVAL:
        return Arrival(*map(int, (value or b"").split(b",")))
    if name == _CLOCK:
        return ClockMark(*map(int, (value or b"").split(b",")))
    raise ValueError(
        f"the record has no {_ARRIVAL} header: nothing but vigie repartition writes to this topic"
    )
