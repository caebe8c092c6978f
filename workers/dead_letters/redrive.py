"""Dead letters on their way back to where they came from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.codec import HEADER
from schemas.settings import Settings
from schemas.wire.dead_letter import Place, replay_headers
from schemas.wire.timestamp import format_ns
from workers.dead_letters.letter import Letter
from workers.dead_letters.resender import Resender
from workers.errors import VigieError
from workers.stream.input import Candidate, Input

_SETTLE_RECORDS: Final = 1000
_SETTLE_BYTES: Final = 16 * 2**20
_MAX_REASONS: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What reading a record again gives: the first reading in it, or why it fails."""

    is_readable: bool
    told: str


class Rereading:
    """Reads dead letters as the stream would read them today.

    Args:
        settings: of the stream: content type, channels, limits.
        channels: of the model.

    Raises:
        ValueError: `stream.channels` names channels that the model does not have.
    """

    def __init__(self, settings: Settings, channels: Sequence[str]) -> None:
        self._input = Input(channels, settings.stream)

    def verdict(self, value: bytes, content_type: bytes | None, *, now_s: float) -> Verdict:
        """Read one record that would be sent now.

        Args:
            value: its bytes.
            content_type: its header, None when it has none.
            now_s: epoch seconds, what its timestamp will be.
        """
        headers = () if content_type is None else ((HEADER, content_type),)
        candidate = Candidate(value=value, headers=headers, timestamp=round(now_s * 1e3))
        batch = self._input.accept([candidate])
        if batch.failures:
            (failure,) = batch.failures
            told = f"{failure.stage}, {failure.exception}: {failure.message}"
            return Verdict(is_readable=False, told=told)
        readings = batch.readings
        count = len(readings)
        told = (
            f"{count:,} reading{'s' if count > 1 else ''} of {readings.sensors[0]}, "
            f"the first at {format_ns(int(readings.ts_ns[0]))}"
        )
        return Verdict(is_readable=True, told=told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """What is changed on the way back; nothing by default.

    Attributes:
        value: in place of the dead letter's.
        content_type: in place of the record's own.
    """

    value: bytes | None = None
    content_type: str | None = None

    def headers(self, original: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """The headers with the content type set."""
        if self.content_type is None:
            return list(original)
        others = [(name, value) for name, value in original if name != HEADER]
        return [(HEADER, self.content_type.encode()), *others]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """A record on its way back: where from, where to, and what."""

    letter: Place
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    attempt: int


class Preparing:
    """Turns dead letters into what is sent, or says why not.

    Args:
        repair: what is changed.
        partitions_of: number of partitions of a topic, 0 when it does not exist.
        rereading: refuses what would fail again; None sends it all the same.
        now_ns: nanoseconds since the epoch.
    """

    def __init__(
        self,
        repair: Repair,
        *,
        partitions_of: Callable[[str], int],
        rereading: Rereading | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._repair, self._partitions_of = repair, partitions_of
        self._rereading, self._now_ns = rereading, now_ns

    def prepared(self, letter: Letter) -> Sending | str:
        """What is sent for a dead letter, or why it stays."""
        reasons = letter.reasons
        if reasons is None:
            return letter.problem
        value = letter.value if self._repair.value is None else self._repair.value
        problem = self._problem(letter, value) or self._no_way_back(
            reasons.topic, reasons.partition, letter.place
        )
        if problem:
            return problem
        now_ns = self._now_ns()
        own = self._repair.headers(letter.headers)
        if self._rereading is not None:
            content_type = next((text for name, text in own if name == HEADER), None)
            verdict = self._rereading.verdict(value, content_type, now_s=now_ns / 1e9)
            if not verdict.is_readable:
                return f"it would fail again: {verdict.told}"
        return Sending(
            letter=letter.place,
            topic=reasons.topic,
            partition=reasons.partition,
            key=letter.key,
            value=value,
            headers=replay_headers(own, reasons, place=letter.place, at_ns=now_ns),
            attempt=letter.attempts,
        )

    def _problem(self, letter: Letter, value: bytes) -> str:
        if self._repair.value is None and letter.truncated is not None:
            return (
                f"it was cut short, {letter.size:,} of {letter.truncated:,} bytes are here: send "
                "it again from where it was made, or give the whole of it with --with FILE"
            )
        if not value:
            return "it holds no value, which can never be read: give one with --with FILE"
        return ""

    def _no_way_back(self, topic: str, partition: int, place: Place) -> str:
        if topic == place.topic:
            return f"it came from {topic}, the topic of dead letters itself"
        partitions = self._partitions_of(topic)
        if not partitions:
            return f"its topic {topic} does not exist (any more)"
        if partition >= partitions:
            return f"it came from partition {partition} of {topic}, which has {partitions} now"
        return ""


@dataclass(slots=True)
class Tally:
    """What was, or would be, sent back."""

    sent: int = 0
    value_bytes: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    again: int = 0
    refused: dict[str, tuple[int, Place]] = field(default_factory=dict)

    def add(self, sending: Sending) -> None:
        """Count one that goes."""
        self.sent += 1
        self.value_bytes += len(sending.value)
        self.targets[sending.topic] += 1
        self.again += sending.attempt > 1

    def refuse(self, place: Place, reason: str) -> None:
        """Count one that stays; of each reason the first place is remembered."""
        if reason not in self.refused and len(self.refused) >= _MAX_REASONS:
            reason = "other reasons"
        count, first = self.refused.get(reason, (0, place))
        self.refused[reason] = (count + 1, first)

    @property
    def staying(self) -> int:
        """How many stay."""
        return sum(count for count, _ in self.refused.values())


def tallied(
    letters: Iterable[Letter],
    preparing: Preparing,
    *,
    on_sending: Callable[[Sending], None] = lambda _: None,
) -> Tally:
    """Look at what would be sent, without sending it."""
    tally = Tally()
    for letter in letters:
        prepared = preparing.prepared(letter)
        if isinstance(prepared, str):
            tally.refuse(letter.place, prepared)
        else:
            tally.add(prepared)
            on_sending(prepared)
    return tally


def send_back(
    letters: Iterable[Letter],
    preparing: Preparing,
    resender: Resender[Place],
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Send dead letters back, and wait for the acknowledgement of each.

    Args:
        letters: taken one at a time.
        preparing: makes the records.
        resender: sends them.
        should_stop: true ends it early, in good order.
        on_progress: told how many are with the broker.

    Returns:
        What is with the broker, and what stays.

    Raises:
        VigieError: the broker did not take a record; says how many it had taken before, and that
            those under way may have arrived.
    """
    tally = Tally()
    under_way: dict[Place, Sending] = {}
    size = 0

    def settle() -> None:
        settled = resender.settle()
        for place in settled.arrived:
            tally.add(under_way[place])
        for place in settled.too_large:
            tally.refuse(
                place,
                f"{under_way[place].topic} refuses it as too large with the headers of its story: "
                "raise max.message.bytes of that topic",
            )
        under_way.clear()
        on_progress(tally.sent)

    try:
        for letter in letters:
            if should_stop():
                break
            prepared = preparing.prepared(letter)
            if isinstance(prepared, str):
                tally.refuse(letter.place, prepared)
                continue
            under_way[prepared.letter] = prepared
            resender.send(
                prepared.letter,
                topic=prepared.topic,
                partition=prepared.partition,
                key=prepared.key,
                value=prepared.value,
                headers=prepared.headers,
            )
            size += len(prepared.value)
            if len(under_way) >= _SETTLE_RECORDS or size >= _SETTLE_BYTES:
                settle()
                size = 0
        settle()
    except VigieError as error:
        first = next(iter(under_way), None)
        doubt = "" if first is None else f", {len(under_way):,} from {first} on are in doubt"
        raise type(error)(
            f"{error} {tally.sent:,} dead letters are with the broker{doubt}: send those again "
            "(a record that comes twice is dropped as a duplicate)."
        ) from error
    return tally


def sample_of(most: int) -> tuple[list[Sending], Callable[[Sending], None]]:
    """A list, and a function that puts the first `most` sendings into it, without their values."""
    kept: list[Sending] = []

    def keep(sending: Sending) -> None:
        if len(kept) < most:
            kept.append(sending)

    return kept, keep


def refusals(tally: Tally) -> Iterator[Mapping[str, object]]:
    """What stays, and why, the most frequent first."""
    for reason, (count, first) in sorted(tally.refused.items(), key=lambda item: -item[1][0]):
        yield {"count": count, "first": f"{first.partition}:{first.offset}", "reason": reason}
