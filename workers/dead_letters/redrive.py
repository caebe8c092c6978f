"""Dead letters on their way back to where they came from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from detector.scoring import Detector
from schemas.codec import HEADER
from schemas.settings import StreamSettings
from schemas.wire.dead_letter import Place, replay_headers
from schemas.wire.timestamp import format_ns
from workers.dead_letters.letter import Letter, short_place
from workers.errors import VigieError
from workers.kafka.partition_producer import PartitionRecord
from workers.stream.input import Candidate, Input

_BATCH_RECORDS: Final = 1000
_BATCH_BYTES: Final = 16 * 2**20
_MAX_REASONS: Final = 1000

Deliver = Callable[[Sequence[PartitionRecord]], Sequence[int]]
"""Returns when all are with the broker, but for those too large, whose indices it returns."""


def deliver_nothing(records: Sequence[PartitionRecord]) -> Sequence[int]:  # noqa: ARG001 - `Deliver`
    """The `Deliver` of a dry run."""
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What reading a record again gives: the first reading in it, or why it fails."""

    is_readable: bool
    detail: str


class Rereading:
    """Reads dead letters as the stream would read them today.

    Raises:
        VigieError: `stream.channels` names channels that the model does not have.
    """

    def __init__(self, detector: Detector, stream: StreamSettings) -> None:
        try:
            self._input = Input(detector.channels, stream)
        except ValueError as error:
            raise VigieError(f"stream.channels does not fit the model: {error}") from error

    def verdict(
        self, value: bytes, headers: Sequence[tuple[str, bytes]], *, now_ns: int
    ) -> Verdict:
        """Read one record that would be sent now, with this value and these headers."""
        record = Candidate(timestamp=now_ns // 1_000_000, value=value, headers=headers)
        batch = self._input.accept([record])
        for failure in batch.failures:
            detail = f"{failure.stage}, {failure.exception}: {failure.message}"
            return Verdict(is_readable=False, detail=detail)
        readings = batch.readings
        count = len(readings)
        detail = (
            f"{count:,} reading{'s' if count > 1 else ''} of {readings.sensors[0]}, "
            f"the first at {format_ns(int(readings.ts_ns[0]))}"
        )
        return Verdict(is_readable=True, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """A record on its way back, from which dead letter, and how often it was tried before."""

    letter: Place
    attempts: int
    record: PartitionRecord


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Turns dead letters into what is sent, or says why not.

    Attributes:
        partitions_of: number of partitions of a topic, 0 when it does not exist.
        value: sent in place of the dead letter's; None leaves it.
        content_type: in place of the record's own; None leaves it.
        rereading: rejects what would fail again; None sends it all the same.
        now_ns: nanoseconds since the epoch.
    """

    partitions_of: Callable[[str], int]
    value: bytes | None = None
    content_type: str | None = None
    rereading: Rereading | None = None
    now_ns: Callable[[], int] = time.time_ns

    def prepared(self, letter: Letter) -> Sending | str:
        """What is sent for a dead letter, or why it stays."""
        reasons = letter.reasons
        if reasons is None:
            return letter.problem
        value = letter.value if self.value is None else self.value
        if self.value is None and letter.truncated is not None:
            return (
                f"it was cut short, {letter.size:,} of {letter.truncated:,} bytes are here: send "
                "it again from where it was made, or give the whole of it with --with FILE"
            )
        if not value:
            return "it holds no value, which can never be read: give one with --with FILE"
        problem = self._no_way_back(reasons.topic, reasons.partition, letter.place)
        if problem:
            return problem
        headers = list(letter.headers)
        if self.content_type is not None:
            others = [(name, text) for name, text in headers if name != HEADER]
            headers = [(HEADER, self.content_type.encode()), *others]
        now_ns = self.now_ns()
        if self.rereading is not None:
            verdict = self.rereading.verdict(value, headers, now_ns=now_ns)
            if not verdict.is_readable:
                return f"it would fail again: {verdict.detail}"
        record = PartitionRecord(
            topic=reasons.topic,
            partition=reasons.partition,
            key=letter.key,
            value=value,
            headers=replay_headers(headers, reasons, place=letter.place, at_ns=now_ns),
        )
        return Sending(letter=letter.place, attempts=letter.attempts, record=record)

    def _no_way_back(self, topic: str, partition: int, place: Place) -> str:
        if topic == place.topic:
            return f"it came from {topic}, the topic of dead letters itself"
        partitions = self.partitions_of(topic)
        if not partitions:
            return f"its topic {topic} does not exist (any more)"
        if partition >= partitions:
            return f"it came from partition {partition} of {topic}, which has {partitions} now"
        return ""


@dataclass(slots=True)
class Tally:
    """What was, or would be, sent back, and what stays."""

    sent: int = 0
    value_bytes: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    again: int = 0
    staying: int = 0
    rejected: dict[str, tuple[int, Place]] = field(default_factory=dict)

    def add(self, sending: Sending) -> None:
        """Count one that goes."""
        self.sent += 1
        self.value_bytes += len(sending.record.value)
        self.targets[sending.record.topic] += 1
        self.again += sending.attempts > 1

    def reject(self, place: Place, reason: str) -> None:
        """Count one that stays; of each reason the first place is remembered."""
        if reason not in self.rejected and len(self.rejected) >= _MAX_REASONS:
            reason = "other reasons"
        count, first = self.rejected.get(reason, (0, place))
        self.rejected[reason] = (count + 1, first)
        self.staying += 1

    def reasons(self) -> list[dict[str, Any]]:
        """What stays, and why, the most frequent first."""
        return [
            {"count": count, "first": short_place(first), "reason": reason}
            for reason, (count, first) in sorted(
                self.rejected.items(), key=lambda item: -item[1][0]
            )
        ]


def redrive(
    letters: Iterable[Letter],
    preparation: Preparation,
    deliver: Deliver,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Send dead letters back, and wait for the acknowledgement of each.

    Args:
        letters: taken one at a time.
        preparation: makes the records.
        deliver: sends them, a bounded number at a time; `deliver_nothing` only counts.
        should_stop: true ends it early, in good order.

    Returns:
        What is with the broker, and what stays.

    Raises:
        VigieError: the broker did not take a record; says how many it had taken before, and that
            those under way may have arrived.
    """
    tally = Tally()
    waiting: list[Sending] = []
    size = 0
    try:
        for letter in letters:
            if should_stop():
                break
            prepared = preparation.prepared(letter)
            if isinstance(prepared, str):
                tally.reject(letter.place, prepared)
                continue
            waiting.append(prepared)
            size += len(prepared.record.value)
            if len(waiting) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
                _deliver(waiting, deliver, tally)
                size = 0
        _deliver(waiting, deliver, tally)
    except VigieError as error:
        doubt = f", {len(waiting):,} from {waiting[0].letter} on are in doubt" if waiting else ""
        raise type(error)(
            f"{error} {tally.sent:,} dead letters are with the broker{doubt}: send those again "
            "(a record that comes twice is dropped as a duplicate)."
        ) from error
    return tally


def _deliver(waiting: list[Sending], deliver: Deliver, tally: Tally) -> None:
    """Send what is waiting, count it, and forget it."""
    too_large = set(deliver([sending.record for sending in waiting])) if waiting else set()
    for index, sending in enumerate(waiting):
        if index in too_large:
            tally.reject(
                sending.letter,
                f"{sending.record.topic} rejects it as too large with the headers of its story: "
                "raise max.message.bytes of that topic",
            )
        else:
            tally.add(sending)
    waiting.clear()
