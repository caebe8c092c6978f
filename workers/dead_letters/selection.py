"""Reading the dead-letter topic piece by piece: one dead letter, or all that pass a filter."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.wire.dead_letter import Place
from schemas.wire.timestamp import NS_PER_MS, TimestampError, to_ns
from workers.dead_letters.letter import Letter, short_place
from workers.errors import VigieError
from workers.kafka.factory import TopicReader

_PLACE: Final = re.compile(r"(\d{1,10}):(\d{1,19})", re.ASCII)
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which dead letters are meant.

    Attributes:
        reason: in stage, exception or message, whatever the case; empty for any.
        since_ms: given up then or later; None for any time.
        topic: of the source; empty for any.
        partition: of the source; None for any.
    """

    reason: str = ""
    since_ms: int | None = None
    topic: str = ""
    partition: int | None = None

    @classmethod
    def of(
        cls, *, reason: str | None, since: str | None, source: str | None, now_s: float
    ) -> Filter:
        """The filter that the texts describe; None is any.

        Raises:
            ValueError: `since` is not a time, or `source` not TOPIC or TOPIC:PARTITION.
        """
        topic, colon, number = (source or "").partition(":")
        if (colon or source == "") and not (topic and number.isascii() and number.isdecimal()):
            raise ValueError(f"{source!r} is not TOPIC or TOPIC:PARTITION")
        return cls(
            reason=reason or "",
            since_ms=None if since is None else parse_since(since, now_s=now_s),
            topic=topic,
            partition=int(number) if colon else None,
        )

    def passes(self, letter: Letter) -> bool:
        """Whether the dead letter is meant."""
        reasons = letter.reasons
        if self.since_ms is not None and letter.stamp_ms < self.since_ms:
            return False
        if self.topic and (reasons is None or reasons.topic != self.topic):
            return False
        if self.partition is not None and (reasons is None or reasons.partition != self.partition):
            return False
        kind = f"{reasons.stage} {reasons.exception}: " if reasons else ""
        return self.reason.casefold() in (kind + letter.reason).casefold()


def parse_since(text: str, *, now_s: float) -> int:
    """Epoch milliseconds of a time, or of an age such as "90s", "15m", "2h", "1d".

    Raises:
        ValueError: neither.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        return max(int((now_s - float(age[1]) * _UNITS_S[age[2]]) * 1000), 0)
    try:
        return to_ns(text) // NS_PER_MS
    except TimestampError as error:
        raise ValueError(f"{error}; or an age: 90s, 15m, 2h, 1d") from error


def parse_place(text: str, topic: str) -> Place:
    """The place that PARTITION:OFFSET names.

    Raises:
        ValueError: another form.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not PARTITION:OFFSET, as vigie dead-letters list shows it")
    return Place(topic, int(found[1]), int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of the topic that stands still while others write to it, by (topic, partition)."""

    starts: Mapping[tuple[str, int], int]
    ends: Mapping[tuple[str, int], int]

    def letters(self, reader: TopicReader) -> Iterator[Letter]:
        """The dead letters in it, in offset order by partition."""
        reader.seek(self.starts)
        for records in reader.read_to(self.ends):
            yield from map(Letter.of, records)


def span_of(reader: TopicReader, wanted: Filter) -> Span:
    """What the topic holds now, from the filter's time on."""
    starts = reader.beginnings() if wanted.since_ms is None else reader.offsets_at(wanted.since_ms)
    return Span(starts=starts, ends=reader.ends())


def newest(letters: Iterable[Letter], most: int) -> list[Letter]:
    """The `most` newest dead letters, oldest first, without their values: few are held at once."""
    small = (letter.without_value() for letter in letters)
    return heapq.nlargest(most, small, key=lambda one: (one.stamp_ms, one.place))[::-1]


def fetched(reader: TopicReader, places: Sequence[Place]) -> Iterator[Letter]:
    """The dead letters at some places, in their order.

    Raises:
        VigieError: there is none at one of them.
    """
    beginnings, ends = reader.beginnings(), reader.ends()
    for place in places:
        home = (place.topic, place.partition)
        first, end = beginnings.get(home, 0), ends.get(home, 0)
        letter = None
        if first <= place.offset < end:
            span = Span(starts={**ends, home: place.offset}, ends={home: place.offset + 1})
            letter = next((one for one in span.letters(reader) if one.place == place), None)
        if letter is None:
            raise VigieError(
                f"no dead letter at {short_place(place)}: {_why_not(place, ends, first)}"
            )
        yield letter


def _why_not(place: Place, ends: Mapping[tuple[str, int], int], first: int) -> str:
    end = ends.get((place.topic, place.partition))
    if end is None:
        numbers = ", ".join(str(partition) for _, partition in sorted(ends))
        return f"{place.topic} has no partition {place.partition}; it has {numbers}"
    if first <= place.offset < end:
        return "the offset holds no record (a transaction's marker, or one that was deleted)"
    holds = f"offsets {first} to {end - 1}" if first < end else "nothing"
    return f"partition {place.partition} of {place.topic} holds {holds} now"
