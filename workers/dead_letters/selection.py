"""Reading the dead-letter topic piece by piece: one dead letter, or all that pass a filter."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from schemas.wire.dead_letter import Place
from schemas.wire.timestamp import NS_PER_MS, TimestampError, to_ns
from workers.dead_letters.letter import Letter, short_place, summary_document
from workers.errors import VigieError

if TYPE_CHECKING:
    from workers.kafka.factory import TopicReader

_PLACE: Final = re.compile(r"(\d{1,10}):(\d{1,19})", re.ASCII)
_SOURCE: Final = re.compile(r"[^:]+(:(0|[1-9]\d*))?", re.ASCII)
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which dead letters are meant.

    Raises:
        ValueError: the source has another form.
    """

    reason: str = ""  # in stage, exception or message, whatever the case
    since_ms: int | None = None  # given up then or later
    source: str | None = None  # TOPIC or TOPIC:PARTITION that they came from

    def __post_init__(self) -> None:
        """Reject a source that no dead letter can have."""
        if self.source is not None and not _SOURCE.fullmatch(self.source):
            raise ValueError(f"{self.source!r} is not TOPIC or TOPIC:PARTITION")

    def passes(self, letter: Letter) -> bool:
        """Whether the dead letter is meant."""
        if self.since_ms is not None and letter.stamp_ms < self.since_ms:
            return False
        text = letter.reason
        sources: set[str | None] = {None}
        if (reasons := letter.reasons) is not None:
            text = f"{reasons.stage} {reasons.exception}: {text}"
            sources |= {reasons.topic, f"{reasons.topic}:{reasons.partition}"}
        return self.source in sources and self.reason.casefold() in text.casefold()


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


def matching(
    reader: TopicReader, wanted: Filter, ends: Mapping[tuple[str, int], int]
) -> Iterator[Letter]:
    """The dead letters below `ends` that pass the filter, in offset order by partition."""
    since_ms = wanted.since_ms
    reader.seek(reader.beginnings() if since_ms is None else reader.offsets_at(since_ms))
    for records in reader.read_to(ends):
        yield from filter(wanted.passes, map(Letter.of, records))


def newest(letters: Iterable[Letter], most: int) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Summaries of the `most` newest, oldest first, and how many letters there are by stage.

    No more are held meanwhile.
    """
    stages: Counter[str] = Counter()

    def summaries() -> Iterator[tuple[int, Place, dict[str, Any]]]:
        for letter in letters:
            summary = summary_document(letter)
            stages[summary["stage"]] += 1
            yield letter.stamp_ms, letter.place, summary

    kept = heapq.nlargest(most, summaries())
    return [summary for *_, summary in reversed(kept)], stages


def fetched(reader: TopicReader, places: Sequence[Place]) -> Iterator[Letter]:
    """The dead letters at some places, in their order.

    Raises:
        VigieError: there is none at one of them.
    """
    beginnings, ends = reader.beginnings(), reader.ends()
    for place in places:
        home = (place.topic, place.partition)
        first, end = beginnings.get(home, 0), ends.get(home, 0)
        record = None
        if first <= place.offset < end:
            reader.seek({**ends, home: place.offset})
            records = chain.from_iterable(reader.read_to({home: place.offset + 1}))
            record = next((one for one in records if one.offset == place.offset), None)
        if record is None:
            raise VigieError(f"no dead letter at {short_place(place)}: {_held(place, ends, first)}")
        yield Letter.of(record)


def _held(place: Place, ends: Mapping[tuple[str, int], int], first: int) -> str:
    end = ends.get((place.topic, place.partition))
    if end is None:
        numbers = ", ".join(str(partition) for _, partition in sorted(ends))
        return f"{place.topic} has no partition {place.partition}; it has {numbers}"
    if first <= place.offset < end:
        return "the offset holds no record (a transaction's marker, or one that was deleted)"
    holds = f"offsets {first} to {end - 1}" if first < end else "nothing"
    return f"partition {place.partition} of {place.topic} holds {holds} now"
