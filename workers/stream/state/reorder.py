"""Second hop of `vigie repartition`: each sensor's records in the order of event time. Pure.

All records of a sensor lie in one partition of the topic between the hops, in the order in which
the workers of the first hop happened to commit. Each brings the clock of its source partition
(`workers.stream.state.rekey`).

**The rule.** The *watermark* is the clock of the source partition that is farthest behind, of all
there are; it never goes back. A record is *due* when the watermark has passed its own clock by
`max_disorder_ms`: whatever the sources held up to then has been seen, whoever read it. When a
record is due, it goes on, behind all records of its sensor that are held and not newer. Ties go by
place in the source. A record not newer than one of its sensor that was due before is *late*: it
goes on at once. So for sources in which no record lies further behind a newer one of its sensor
than the bound, what goes on of each sensor is a function of the source topic alone, and in order.

**A limit.** A record is due as well when the offset has passed its own by `max_held`; those go on
*early*. A source partition that nobody reads would hold everything else without end.

**The state is a function of the log**: of the records between the hops. So a crash changes nothing:
the state is restored by reading again, and what went on before is known by the same rule. It needs

* the records held, and those not due: they lie behind the beginning of the window before this one;
* per sensor, the newest record that was due. It is remembered for two *windows*. One begins at an
  offset, not before every record ahead of the current one is due; so what was decided about a
  record that is held hangs on records behind the beginning of the window before the one before.

The commit's metadata names these three offsets and the clocks at the first of them.

A commit made under another bound, or with more source partitions, cannot be restored under the new
rule: then what was held goes on, in order, before anything else, and everything begins anew.
"""

from __future__ import annotations

import json
from bisect import insort
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, NamedTuple

import numpy as np

from workers.stream.state.counts import Counts
from workers.stream.state.partition import Batch, Request
from workers.stream.state.restore import (
    MAX_BYTES,
    MetadataTooLargeError,
    RestorePlan,
    plan_elsewhere,
)
from workers.stream.state.shuffled import Arrival, ClockMark, LogRecord
from workers.stream.state.stream_state import NO_SAMPLES, PassingState

VERSION: Final = 1
NEVER: Final = -1
"""The clock of a source partition that was not heard of yet."""
WINDOW: Final = 1000
"""Offsets between two looks at whether a window may begin."""


class Bound(NamedTuple):
    """How long a record is held at most.

    Attributes:
        max_disorder_ms: of the sources' clocks, at least 1.
        max_held: of offsets, at least 1.
    """

    max_disorder_ms: int
    max_held: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReorderPoint:
    """What has to be known to go on from a committed offset as if nothing had happened.

    Attributes:
        windows: where the last three windows begin; a restore reads from the first.
        watermark: at the first of them...
        clocks: ...and there, the clock of each source partition.
        bound: under which it was made.
        topic: id of the topic that the offsets belong to; empty when unknown.
    """

    windows: tuple[int, int, int]
    watermark: int
    clocks: tuple[int, ...]
    bound: Bound
    topic: str

    def encode(self) -> str:
        """See `CommitMetadata`."""
        fields = {
            "v": VERSION,
            "windows": self.windows,
            "watermark": self.watermark,
            # As distances: five digits instead of thirteen.
            "clocks": [clock - self.watermark for clock in self.clocks],
            "bound": self.bound,
            "topic": self.topic,
        }
        text = json.dumps(fields, separators=(",", ":"))
        if len(text) > MAX_BYTES:
            raise MetadataTooLargeError(
                f"the commit's metadata has {len(text)} bytes, the broker takes {MAX_BYTES}: the "
                f"clocks of {len(self.clocks)} source partitions do not fit. Repartition a topic "
                "of fewer partitions, or set repartition.max_disorder_s = 0 and sort elsewhere"
            )
        return text

    @classmethod
    def decode(cls, text: str) -> ReorderPoint | None:
        """Read a commit's metadata; None when it is not ours or of another version."""
        try:
            fields = json.loads(text[:MAX_BYTES])
            if fields["v"] != VERSION:
                return None
            first, second, third = map(int, fields["windows"])
            watermark = int(fields["watermark"])
            return cls(
                windows=(first, second, third),
                watermark=watermark,
                clocks=tuple(int(clock) + watermark for clock in fields["clocks"]),
                bound=Bound(*map(int, fields["bound"])),
                topic=str(fields["topic"]),
            )
        except (ValueError, TypeError, KeyError):
            return None


def plan_reorder(
    committed: tuple[int, str] | None, *, beginning: int, end: int, topic: str = ""
) -> tuple[RestorePlan, ReorderPoint | None]:
    """Where a partition begins, and with what; arguments as for `plan_restore`."""
    if committed is None:
        return RestorePlan.cold_at(beginning), None
    next_offset, text = committed
    point = ReorderPoint.decode(text)
    elsewhere = plan_elsewhere(
        next_offset,
        beginning=beginning,
        end=end,
        topic=topic,
        topic_then="" if point is None else point.topic,
    )
    if elsewhere is not None:
        return elsewhere, None
    if point is None or not point.windows[0] <= point.windows[1] <= point.windows[2] <= next_offset:
        reason = "the commit carries no restore point that this version knows"
        return RestorePlan.cold_at(next_offset, reason=reason), None
    wanted = point.windows[0]
    clamped = max(beginning - wanted, 0)
    reason = f"retention has deleted offsets {wanted} to {beginning - 1}, some of them held"
    plan = RestorePlan.cold_at(next_offset, reason=reason if clamped else "")
    return replace(plan, read_from=wanted + clamped, clamped=clamped), point


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffledBatch(Batch):
    """One poll's records between the hops; the readings are not decoded.

    Attributes:
        records: all that were polled, as they are to go on.
        headers: what the last header of each says; None of a record that failed.
    """

    records: Sequence[LogRecord]
    headers: Sequence[Arrival | ClockMark | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReorderRequest(Request):
    """Records to write on, in this order."""

    restore_point: ReorderPoint
    released: Sequence[LogRecord]


class _Seen:
    """A record that is not due; its content is gone once it went on."""

    __slots__ = ("clock_ms", "is_due", "offset", "partition", "record", "sensor", "ts_ns")

    def __init__(self, record: LogRecord, partition: int, clock_ms: int, ts_ns: int) -> None:
        self.offset, self.sensor = record.offset, record.key
        self.partition, self.clock_ms, self.ts_ns = partition, clock_ms, ts_ns
        self.is_due = False
        self.record: LogRecord | None = record


_Held = tuple[int, int, int, int, _Seen]
"""Event time, source partition, source offset, offset: the order in which records go on."""


class ReorderState(PassingState):
    """The records held of one partition, and the requests under way."""

    def __init__(
        self,
        partition: int,
        plan: RestorePlan,
        point: ReorderPoint | None,
        *,
        bound: Bound,
        sources: int,
        topic_id: str = "",
    ) -> None:
        """Begin as `plan_reorder` says.

        Args:
            partition: its number.
            plan: where to read from, and where to go on.
            point: of the commit; None to begin anew.
            bound: how long records are held.
            sources: number of source partitions: all of them are waited for.
            topic_id: of the topic, if the broker says it.
        """
        super().__init__(
            partition, next_offset=plan.next_offset, lost=plan.lost, clamped=plan.clamped
        )
        self._topic_id = topic_id
        self._begin_anew(plan.next_offset, NEVER, [NEVER] * sources)
        self._bound = bound
        self._look_at = 0
        self._windows_to_come: deque[int] = deque()
        if point is not None:
            self._begin_anew(point.windows[0], point.watermark, list(point.clocks))
            self._bound = point.bound
            self._windows_to_come.extend(point.windows[1:])
        # What replaces a rule under which nothing can be restored, at the first record to take in.
        is_same = self._bound == bound and len(self._clocks) == sources
        self._changed = None if is_same else (bound, sources)
        self._released: list[LogRecord] = []
        self._late = self._early = 0

    def _begin_anew(self, offset: int, watermark: int, clocks: list[int]) -> None:
        """Nothing is held, and nothing known but the clocks."""
        self._watermark, self._clocks = watermark, clocks
        self._windows = (offset, offset, offset)
        self._clocks_then = 3 * ((watermark, tuple(clocks)),)
        self._held: defaultdict[bytes | None, list[_Held]] = defaultdict(list)
        self._undue: deque[_Seen] = deque()
        self._undue_of: list[deque[_Seen]] = [deque() for _ in clocks]
        # Per sensor, the newest event time that was due: since the current window began, and in
        # the one before.
        self._newest: dict[bytes | None, int] = {}
        self._newest_before: dict[bytes | None, int] = {}

    @property
    def restore_point(self) -> ReorderPoint:
        """See `StreamState`."""
        watermark, clocks = self._clocks_then[0]
        return ReorderPoint(
            windows=self._windows,
            watermark=watermark,
            clocks=clocks,
            bound=self._bound,
            topic=self._topic_id,
        )

    @property
    def sensors(self) -> int:
        """Number of sensors of which something is held."""
        return len(self._held)

    @property
    def held(self) -> int:
        """Number of records held."""
        return sum(map(len, self._held.values()))

    def polled(self, batch: Batch) -> ReorderRequest | None:
        """Take one poll's records; None when all were read before, to restore what is held."""
        assert isinstance(batch, ShuffledBatch)
        if not len(batch.offsets):
            return None
        self._take(batch)
        live_from = int(np.searchsorted(batch.offsets, self._next_offset))
        for header, record in zip(
            batch.headers[:live_from], batch.records[:live_from], strict=True
        ):
            self._read(header, record)
        self._released = []  # they went on before; the last list is a request's
        self._before += Counts(restored=live_from)
        if live_from == len(batch.offsets):
            return None
        return self._request(batch, live_from)

    def _request(self, batch: ShuffledBatch, live_from: int) -> ReorderRequest:
        self._released, self._late, self._early = [], 0, 0
        if self._changed is not None:
            self._change_rule(*self._changed)
        headers = batch.headers[live_from:]
        for header, record in zip(headers, batch.records[live_from:], strict=True):
            self._read(header, record)
        self._next_offset = int(batch.offsets[-1]) + 1
        failures = [failure for failure in batch.failures if failure.position >= live_from]
        marks = sum(isinstance(header, ClockMark) for header in headers)
        return self._give(
            ReorderRequest(
                number=0,
                samples=NO_SAMPLES,
                failures=failures,
                counts=Counts(
                    records=len(batch.offsets) - live_from - marks,
                    written=len(self._released),
                    late=self._late,
                    early=self._early,
                    dead_lettered=len(failures),
                    bad=dict(Counter(failure.stage for failure in failures)),
                ),
                next_offset=self._next_offset,
                restore_point=self.restore_point,
                released=self._released,
            )
        )

    def _change_rule(self, bound: Bound, sources: int) -> None:
        for held in self._held.values():
            self._release(held, len(held))
        clocks = [*self._clocks, *[NEVER] * sources][:sources]
        self._bound, self._changed = bound, None
        self._windows_to_come.clear()
        self._begin_anew(self._next_offset, self._watermark, clocks)

    # -- one record ------------------------------------------------------------------------------

    def _read(self, header: Arrival | ClockMark | None, record: LogRecord) -> None:
        offset = record.offset
        if offset >= self._look_at or self._windows_to_come:
            self._look(offset)
        if isinstance(header, Arrival):
            self._arrived(header, record)
        elif header is not None:
            self._heard_of(header.partition, header.clock_ms)
        self._let_go(offset - self._bound.max_held)

    def _look(self, offset: int) -> None:
        """Begin a window, if one may begin here; while restoring, where one did."""
        while self._windows_to_come and offset >= self._windows_to_come[0]:
            self._begin_window(self._windows_to_come.popleft())
        if offset >= self._look_at:
            self._look_at = (offset // WINDOW + 1) * WINDOW
            is_known = offset < self._next_offset
            if not is_known and (not self._undue or self._undue[0].offset >= self._windows[2]):
                self._begin_window(offset)

    def _begin_window(self, offset: int) -> None:
        self._windows = (*self._windows[1:], offset)
        self._clocks_then = (*self._clocks_then[1:], (self._watermark, tuple(self._clocks)))
        self._newest_before, self._newest = self._newest, {}

    def _arrived(self, arrival: Arrival, record: LogRecord) -> None:
        partition, source_offset, clock_ms, ts_ns, _ = arrival
        self._know(partition)
        # A repeat (at least once) brings a clock from before.
        clock_ms = max(clock_ms, self._clocks[partition])
        seen = _Seen(record, partition, clock_ms, ts_ns)
        newest = max(
            self._newest.get(seen.sensor, ts_ns - 1),
            self._newest_before.get(seen.sensor, ts_ns - 1),
        )
        if newest >= ts_ns:
            self._late += newest > ts_ns
            self._released.append(record)
            seen.record = None
        else:
            held = (ts_ns, partition, source_offset, record.offset, seen)
            insort(self._held[seen.sensor], held)
        self._undue.append(seen)
        self._undue_of[partition].append(seen)
        self._heard_of(partition, clock_ms)
        if clock_ms + self._bound.max_disorder_ms <= self._watermark:
            self._note_due(partition)  # it was behind already

    def _know(self, partition: int) -> None:
        """The source topic has grown since: from now on that partition is waited for."""
        while partition >= len(self._clocks):
            self._clocks.append(NEVER)
            self._undue_of.append(deque())

    def _heard_of(self, partition: int, clock_ms: int) -> None:
        self._know(partition)
        before = self._clocks[partition]
        if clock_ms <= before:
            return
        self._clocks[partition] = clock_ms
        if before <= self._watermark:
            watermark = min(self._clocks)
            if watermark > self._watermark:
                self._watermark = watermark
                for source in range(len(self._clocks)):
                    self._note_due(source)

    def _note_due(self, source: int) -> None:
        """What of this source partition the watermark has passed by the bound is due."""
        undue, passed_ms = self._undue_of[source], self._watermark - self._bound.max_disorder_ms
        while undue and undue[0].clock_ms <= passed_ms:
            self._due(undue.popleft())

    def _let_go(self, up_to: int) -> None:
        """What lies at or before this offset is due, whatever the watermark says."""
        undue = self._undue
        while undue and (undue[0].is_due or undue[0].offset <= up_to):
            seen = undue.popleft()
            if not seen.is_due:
                self._early += seen.record is not None
                self._undue_of[seen.partition].popleft()  # both lie in the order of offsets
                self._due(seen)

    def _due(self, seen: _Seen) -> None:
        seen.is_due = True
        newest = self._newest if seen.offset >= self._windows[2] else self._newest_before
        newest[seen.sensor] = max(newest.get(seen.sensor, seen.ts_ns), seen.ts_ns)
        held = self._held.get(seen.sensor)
        if held:
            ready = sum(1 for _ in takewhile(lambda entry: entry[0] <= seen.ts_ns, held))
            self._release(held, ready)
            if not held:
                del self._held[seen.sensor]

    def _release(self, held: list[_Held], count: int) -> None:
        for *_, seen in held[:count]:
            assert seen.record is not None
            self._released.append(seen.record)
            seen.record = None
        del held[:count]
