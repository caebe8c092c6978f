"""From where the log has to be read again to score as before: the metadata of a commit. Pure.

A string of at most 4,096 bytes beside each committed offset, versioned JSON:
``{"v":3,"model":[NAME,VERSION],"restore_from":N,"r":R,"ttl":[N,N,MS,MS],"poison":[N,...],
"topic":ID,"recorded":N}``. Version 2, which named neither the model nor how many documents there
were, is read. Metadata of another program or of another version is no error: the reader starts
cold, and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from workers.stream.state.state_ttl import TtlWindows

VERSION = 3
MAX_BYTES = 4096
"""What a broker takes, unless it is told otherwise (``offset.metadata.max.bytes``)."""
_LARGEST = 2**63 - 1
_OF_VERSION_2 = {"replay_from": "restore_from", "stretches": "ttl"}


class MetadataTooLargeError(ValueError):
    """What has to be remembered of a partition does not fit into a commit."""


class ModelVersion(NamedTuple):
    """Which model scored what was committed."""

    name: str
    version: str

    def __str__(self) -> str:
        """As on the wire."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePoint:
    """What has to be known to score on from a committed offset as if nothing had happened.

    Args:
        restore_from: at or before the oldest reading in any sensor's window; not before
            `ttl.previous`.
        receptive_field: R, of the windows that reading from there fills.
        ttl: where the log was cut.
        poison: offsets from `ttl.previous` on, ascending, of records that no scorer survived: they
            are dead letters, and no window holds their readings.
        topic: id of the topic that the offsets belong to; empty when unknown.
        model: that scored; None when unknown.
        recorded: number of documents (`workers.stream.state.recorded`); None when unknown.
    """

    restore_from: int
    receptive_field: int
    ttl: TtlWindows
    poison: tuple[int, ...] = ()
    topic: str = ""
    model: ModelVersion | None = None
    recorded: int | None = None

    def encode(self) -> str:
        """The string to commit.

        Raises:
            MetadataTooLargeError: it would have more than 4,096 bytes.
        """
        ttl = self.ttl
        fields = {
            "v": VERSION,
            "model": self.model,
            "restore_from": self.restore_from,
            "r": self.receptive_field,
            "ttl": [ttl.previous, ttl.current, ttl.since_ms, ttl.latest_ms],
            # Each as its distance from the one before: five digits instead of fifteen.
            "poison": [b - a for a, b in pairwise((ttl.previous, *self.poison))],
            "topic": self.topic,
            "recorded": self.recorded,
        }
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        size = len(text.encode())
        if size > MAX_BYTES:
            raise MetadataTooLargeError(
                f"the commit's metadata has {size} bytes, the broker takes {MAX_BYTES}: "
                f"{len(self.poison)} records among the last {ttl.current - ttl.previous} and those "
                "since could not be scored. Find out why the scorer fails on them (they are in the "
                "dead-letter topic, stage scoring); or lower stream.max_restore_records, so that "
                "fewer have to be remembered"
            )
        return text


def decode_metadata(text: str) -> RestorePoint | None:
    """Read a commit's metadata; None when it is not ours or of another version."""
    if len(text) > MAX_BYTES:
        return None
    try:
        return _decoded(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _decoded(fields: Any) -> RestorePoint:
    """The metadata.

    Raises:
        ValueError, TypeError, KeyError: it is not ours.
    """
    if type(fields["v"]) is not int or fields["v"] not in {2, VERSION}:
        raise ValueError("of another version")
    if fields["v"] != VERSION:
        fields = {_OF_VERSION_2.get(name, name): value for name, value in fields.items()}
        fields |= {"model": None, "recorded": None}
    previous, current, since_ms, latest_ms = (_integer(n, least=-1) for n in fields["ttl"])
    restore_from = _integer(fields["restore_from"])
    if not 0 <= previous <= min(current, restore_from):
        raise ValueError("a restore begins within the last two TTL windows")
    poison = accumulate((_integer(n) for n in fields["poison"]), initial=previous)
    return RestorePoint(
        restore_from=restore_from,
        receptive_field=_integer(fields["r"]),
        ttl=TtlWindows(previous=previous, current=current, since_ms=since_ms, latest_ms=latest_ms),
        poison=tuple(poison)[1:],
        topic=str(fields["topic"]),
        model=None if fields["model"] is None else ModelVersion(*map(_text, fields["model"])),
        recorded=None if fields["recorded"] is None else _integer(fields["recorded"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value


def _integer(value: Any, *, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= _LARGEST:
        raise ValueError(f"no integer of at least {least}: {value!r}")
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePlan:
    """Where a partition begins, and what is known of the log before it.

    Args:
        read_from: records are read from here on...
        next_offset: ...and scored from here on.
        ttl: where the log was cut.
        poison: offsets whose records no window takes in.
        cold: why windows begin empty, or shorter than they were, although something was committed;
            empty when they do not.
        lost: offsets that retention deleted before they were scored.
        clamped: offsets to read again that retention deleted.
        model: of the commit; None when unknown.
        recorded: number of documents at the commit; None when it does not say.
    """

    read_from: int
    next_offset: int
    ttl: TtlWindows
    poison: frozenset[int] = frozenset()
    cold: str = ""
    lost: int = 0
    clamped: int = 0
    model: ModelVersion | None = None
    recorded: int | None = None

    @classmethod
    def cold_at(cls, offset: int, *, reason: str = "", lost: int = 0) -> RestorePlan:
        """Read and score from `offset` on, knowing nothing."""
        return cls(
            read_from=offset,
            next_offset=offset,
            ttl=TtlWindows.beginning_at(offset),
            cold=reason,
            lost=lost,
        )


def plan_restore(
    committed: tuple[int, str] | None,
    *,
    beginning: int,
    end: int,
    fresh: str,
    receptive_field: int,
    topic: str = "",
) -> RestorePlan:
    """Decide where a newly assigned partition begins.

    Args:
        committed: the committed (next offset, metadata), or None.
        beginning: first offset that retention has left.
        end: first offset not yet written.
        fresh: "earliest" or "latest", where to begin when nothing is committed.
        receptive_field: R of the model that will score.
        topic: id of the topic as it is now; empty when unknown.
    """
    if committed is None:
        return RestorePlan.cold_at(beginning if fresh == "earliest" else end)
    next_offset, text = committed
    metadata = decode_metadata(text)
    elsewhere = plan_elsewhere(
        next_offset,
        beginning=beginning,
        end=end,
        topic=topic,
        topic_then="" if metadata is None else metadata.topic,
    )
    if elsewhere is not None:
        return elsewhere
    if metadata is None or metadata.ttl.current > next_offset:
        reason = "the commit carries no restore point that this version knows"
        return RestorePlan.cold_at(next_offset, reason=reason)
    return _warm(next_offset, metadata, beginning=beginning, receptive_field=receptive_field)


def plan_elsewhere(
    next_offset: int, *, beginning: int, end: int, topic: str, topic_then: str
) -> RestorePlan | None:
    """Where to begin when the log is not there any more at a committed offset; None if it is.

    Args:
        next_offset: committed.
        beginning: first offset that retention has left.
        end: first offset not yet written.
        topic: id of the topic as it is now...
        topic_then: ...and of the commit; empty when unknown.
    """
    anew = _made_anew(next_offset, topic_then, end=end, topic=topic)
    if anew:
        reason = f"{anew}: the topic was made anew, its readings are scored from the beginning"
        return RestorePlan.cold_at(beginning, reason=reason)
    if next_offset > end:
        # From the beginning all that is left would be published twice.
        reason = f"the log ends at {end}, before the committed offset {next_offset}: it was cut off"
        return RestorePlan.cold_at(end, reason=reason)
    if next_offset < beginning:
        reason = f"retention has deleted offsets {next_offset} to {beginning - 1} unread"
        return RestorePlan.cold_at(beginning, reason=reason, lost=beginning - next_offset)
    return None


def _made_anew(next_offset: int, then: str, *, end: int, topic: str) -> str:
    """Why the commit cannot be of this topic; empty when it can."""
    if topic and then:
        different = f"the commit was made for the topic of id {then}, this one is {topic}"
        return different if topic != then else ""
    beyond = f"committed offset {next_offset} is beyond the log's end {end}"
    return beyond if next_offset > end else ""


def _warm(
    next_offset: int, metadata: RestorePoint, *, beginning: int, receptive_field: int
) -> RestorePlan:
    """Begin by restoring the windows, as far as retention has left their readings."""
    wanted = metadata.restore_from
    if receptive_field > metadata.receptive_field:
        # Longer windows than the commit's: all that could be known lies in two TTL windows.
        wanted = metadata.ttl.previous
    wanted = min(wanted, next_offset)
    clamped = max(beginning - wanted, 0)
    return RestorePlan(
        read_from=wanted + clamped,
        next_offset=next_offset,
        ttl=metadata.ttl,
        poison=frozenset(metadata.poison),
        cold=f"retention has deleted offsets {wanted} to {beginning - 1} of the window history"
        if clamped
        else "",
        clamped=clamped,
        model=metadata.model,
        recorded=metadata.recorded,
    )
