"""Dead letters on their way back to where they came from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.codec import HEADER
from schemas.codec.parser import Parser
from schemas.settings import InputSettings, StreamSettings
from schemas.wire.dead_letter import Place, redrive_headers
from schemas.wire.timestamp import format_ns
from workers.dead_letters.letter import Letter, short_place
from workers.errors import VigieError
from workers.kafka.partition_producer import Deliver, PartitionRecord
from workers.stream.input import Candidate, Input

_BATCH_RECORDS: Final = 1000
_BATCH_BYTES: Final = 16 * 2**20
_MAX_REASONS: Final = 1000


class StaysError(Exception):
    """A dead letter cannot go back; the message says why."""


class Rereading:
    """Reads dead letters as the stream would read them today.

    Raises:
        VigieError: `stream.channels` names channels that the model does not have.
    """

    def __init__(
        self,
        channels: Sequence[str],
        stream: StreamSettings,
        layout: InputSettings,
        parser: Parser | None = None,
    ) -> None:
        try:
            self._input = Input(channels, stream, layout, parser)
        except ValueError as error:
            raise VigieError(f"stream.channels does not fit the model: {error}") from error

    def verdict(
        self,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        *,
        key: bytes | None,
        now_ns: int,
    ) -> tuple[bool, str]:
        """Whether a record sent now would be read, and the first reading in it or why it fails."""
        record = Candidate(timestamp=now_ns // 1_000_000, key=key, value=value, headers=headers)
        batch = self._input.accept([record])
        for failure in batch.failures:
            return False, f"{failure.stage}, {failure.exception}: {failure.message}"
        readings = batch.readings
        count, others = len(readings), len(set(readings.sensors)) - 1
        return True, (
            f"{count:,} reading{'s' if count > 1 else ''} of {readings.sensors[0]}"
            f"{f' and {others} other sensors' if others else ''}, "
            f"the first at {format_ns(int(readings.ts_ns[0]))}"
        )


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Turns dead letters into what is sent, or says why not."""

    partitions_of: Callable[[str], int]  # of a topic, 0 when it does not exist
    value: bytes | None = None  # sent in place of the dead letter's
    content_type: str | None = None  # in place of the record's own
    rereading: Rereading | None = None  # rejects what would fail again; None sends it all the same
    now_ns: Callable[[], int] = time.time_ns

    def prepared(self, letter: Letter) -> PartitionRecord:
        """What is sent for a dead letter.

        Raises:
            StaysError: it cannot go back, and why.
        """
        reasons = letter.reasons
        if reasons is None:
            raise StaysError(letter.reason)
        value = letter.value if self.value is None else self.value
        if self.value is None and letter.truncated is not None:
            raise StaysError(
                f"it was cut short, {len(value):,} of {letter.truncated:,} bytes are here: send "
                "it again from where it was made, or give the whole of it with --with FILE"
            )
        if not value:
            raise StaysError(
                "it holds no value, which can never be read: give one with --with FILE"
            )
        topic, partition = reasons.topic, reasons.partition
        if topic == letter.place.topic:
            raise StaysError(f"it came from {topic}, the topic of dead letters itself")
        partitions = self.partitions_of(topic)
        if not partitions:
            raise StaysError(f"its topic {topic} does not exist (any more)")
        if partition >= partitions:
            raise StaysError(
                f"it came from partition {partition} of {topic}, which has {partitions} now"
            )
        headers = list(letter.headers)
        if self.content_type is not None:
            others = [(name, text) for name, text in headers if name != HEADER]
            headers = [(HEADER, self.content_type.encode()), *others]
        now_ns = self.now_ns()
        if self.rereading is not None:
            is_readable, detail = self.rereading.verdict(
                value, headers, key=letter.key, now_ns=now_ns
            )
            if not is_readable:
                raise StaysError(f"it would fail again: {detail}")
        headers = redrive_headers(headers, reasons, place=letter.place, at_ns=now_ns)
        return PartitionRecord(topic, partition, letter.key, value, headers)


@dataclass(slots=True)
class Tally:
    """What was, or would be, sent back, and what stays."""

    targets: Counter[str] = field(default_factory=Counter)  # how many go to which topic
    value_bytes: int = 0  # of all that goes
    again: int = 0  # how many of them not for the first time
    rejected: Counter[str] = field(default_factory=Counter)  # how many stay for a reason
    first: dict[str, Place] = field(default_factory=dict)  # of those

    @property
    def sent(self) -> int:
        """How many go."""
        return self.targets.total()

    def reject(self, place: Place, reason: str) -> None:
        """Count one that stays; of each reason the first place is remembered."""
        if reason not in self.rejected and len(self.rejected) >= _MAX_REASONS:
            reason = "other reasons"
        self.rejected[reason] += 1
        self.first.setdefault(reason, place)

    def reasons(self) -> list[dict[str, Any]]:
        """What stays, and why, the most frequent first."""
        return [
            {"count": count, "first": short_place(self.first[reason]), "reason": reason}
            for reason, count in self.rejected.most_common()
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
        deliver: sends them, a bounded number at a time; in a dry run it returns () at once.
        should_stop: true ends it early, in good order.

    Returns:
        What is with the broker, and what stays.

    Raises:
        VigieError: the broker did not take a record; says how many it had taken before, and that
            those under way may have arrived.
    """
    tally = Tally()
    waiting: list[tuple[Letter, PartitionRecord]] = []
    size = 0
    try:
        for letter in letters:
            if should_stop():
                break
            try:
                record = preparation.prepared(letter)
            except StaysError as error:
                tally.reject(letter.place, str(error))
                continue
            waiting.append((letter, record))
            size += len(record.value)
            if len(waiting) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
                _deliver(waiting, deliver, tally)
                size = 0
        _deliver(waiting, deliver, tally)
    except VigieError as error:
        doubt = f", {len(waiting):,} from {waiting[0][0].place} on are in doubt" if waiting else ""
        raise type(error)(
            f"{error} {tally.sent:,} dead letters are with the broker{doubt}: send those again "
            "(a record that comes twice is dropped as a duplicate)."
        ) from error
    return tally


def _deliver(waiting: list[tuple[Letter, PartitionRecord]], deliver: Deliver, tally: Tally) -> None:
    """Send what is waiting, count it, and forget it."""
    too_large = deliver([record for _, record in waiting]) if waiting else ()
    for index, (letter, record) in enumerate(waiting):
        if index in too_large:
            tally.reject(
                letter.place,
                f"{record.topic} rejects it as too large with the headers of its story: "
                "raise max.message.bytes of that topic",
            )
            continue
        tally.targets[record.topic] += 1
        tally.value_bytes += len(record.value)
        tally.again += letter.attempts > 1
    waiting.clear()
