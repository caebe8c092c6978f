"""Reading the dead-letter topic piece by piece: one dead letter, or all that pass a filter."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import typer

from schemas.wire.dead_letter import Place
from schemas.wire.timestamp import NS_PER_MS, TimestampError, to_ns
from workers.dead_letters.letter import Letter, short_place
from workers.errors import VigieError
from workers.kafka.client import Record
from workers.kafka.kafka_python.consumer.reader import TopicReader

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

    def passes(self, letter: Letter) -> bool:
        """Whether the dead letter is meant."""
        if self.since_ms is not None and letter.stamp_ms < self.since_ms:
            return False
        reasons = letter.reasons
        if self.topic and (reasons is None or reasons.topic != self.topic):
            return False
        if self.partition is not None and (reasons is None or reasons.partition != self.partition):
            return False
        if not self.reason:
            return True
        told = f"{reasons.stage} {reasons.exception}: " if reasons else ""
        return self.reason.casefold() in (told + letter.reason).casefold()


def filter_from(*, reason: str | None, since: str | None, source: str | None) -> Filter:
    """The filter that the options describe.

    Raises:
        typer.BadParameter: not a time, or not a source.
    """
    topic, colon, number = (source or "").partition(":")
    if (colon or source == "") and not (topic and number.isascii() and number.isdecimal()):
        raise typer.BadParameter(
            f"{source!r} is not TOPIC or TOPIC:PARTITION", param_hint="--source"
        )
    return Filter(
        reason=reason or "",
        since_ms=None if since is None else parse_since(since, now_s=time.time()),
        topic=topic,
        partition=int(number) if colon else None,
    )


def parse_since(text: str, *, now_s: float) -> int:
    """Epoch milliseconds of a time, or of an age such as "90s", "15m", "2h", "1d".

    Raises:
        typer.BadParameter: neither.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        return max(int((now_s - float(age[1]) * _UNITS_S[age[2]]) * 1000), 0)
    try:
        return to_ns(text) // NS_PER_MS
    except TimestampError as error:
        raise typer.BadParameter(
            f"{error}; or an age: 90s, 15m, 2h, 1d", param_hint="--since"
        ) from error


def parse_place(text: str, topic: str) -> Place:
    """The place that PARTITION:OFFSET names.

    Raises:
        typer.BadParameter: another form.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is not PARTITION:OFFSET, as vigie dead-letters list shows it",
            param_hint="PLACE",
        )
    return Place(topic, int(found[1]), int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the topic that stands still while others write to it, by (topic, partition)."""

    starts: Mapping[tuple[str, int], int]
    ends: Mapping[tuple[str, int], int]


def stretch_of(reader: TopicReader, wanted: Filter) -> Stretch:
    """What the topic holds now, from the filter's time on."""
    starts = reader.beginnings() if wanted.since_ms is None else reader.offsets_at(wanted.since_ms)
    return Stretch(starts=starts, ends=reader.ends())


def matching(reader: TopicReader, stretch: Stretch, wanted: Filter) -> Iterator[Letter]:
    """The dead letters of a stretch that pass the filter, in offset order by partition."""
    for record in _records(reader, stretch):
        letter = Letter.of(record)
        if wanted.passes(letter):
            yield letter


def newest(letters: Iterable[Letter], most: int) -> list[Letter]:
    """The `most` newest dead letters, oldest first, without their values: few are held at once."""
    heap: list[tuple[int, Place, Letter]] = []
    for letter in letters:
        entry = (letter.stamp_ms, letter.place, letter.without_value())
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif heap:
            heapq.heappushpop(heap, entry)
    return [letter for _, _, letter in sorted(heap, key=lambda entry: entry[:2])]


def fetched(reader: TopicReader, places: Sequence[Place]) -> Iterator[Letter]:
    """The dead letters at some places, in their order.

    Raises:
        VigieError: there is none at one of them.
    """
    beginnings, ends = reader.beginnings(), reader.ends()
    for place in places:
        home = (place.topic, place.partition)
        first, end = beginnings.get(home), ends.get(home)
        if first is None or end is None:
            numbers = ", ".join(str(p) for _, p in sorted(ends))
            raise VigieError(f"{place.topic} has no partition {place.partition}; it has {numbers}")
        if not first <= place.offset < end:
            holds = f"offsets {first} to {end - 1}" if first < end else "nothing"
            raise VigieError(
                f"no dead letter at {short_place(place)}: partition {place.partition} of "
                f"{place.topic} holds {holds} now"
            )
        stretch = Stretch(starts={**ends, home: place.offset}, ends={home: place.offset + 1})
        record = next((r for r in _records(reader, stretch) if r.offset == place.offset), None)
        if record is None:
            raise VigieError(
                f"no dead letter at {short_place(place)}: the offset holds no record (a "
                "transaction's marker, or a record that was deleted)"
            )
        yield Letter.of(record)


def _records(reader: TopicReader, stretch: Stretch) -> Iterator[Record]:
    reader.seek(stretch.starts)
    for records in reader.read_to(stretch.ends):
        yield from records
