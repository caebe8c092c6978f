"""The metadata of a commit: from where the log has to be read again to score as before. Pure.

A string of at most 4,096 bytes beside each committed offset, versioned JSON:
``{"v":2,"replay_from":N,"r":R,"stretches":[N,N,MS,MS],"poison":[N,...],"topic":ID}``.
Metadata of another program or of another version is no error: the reader starts cold, and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from workers.stream.state.state_ttl import Stretches

VERSION = 2
MAX_BYTES = 4096
"""What a broker takes, unless it is told otherwise (``offset.metadata.max.bytes``)."""
_LARGEST = 2**63 - 1


class MetadataTooLargeError(ValueError):
    """What has to be remembered of a partition does not fit into a commit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePoint:
    """What has to be known to score on from a committed offset as if nothing had happened.

    Args:
        replay_from: at or before the oldest reading in any sensor's window; not before
            `stretches.previous`.
        receptive_field: R, of the windows that a replay from there fills.
        stretches: where the log was cut.
        poison: offsets from `stretches.previous` on, ascending, of records that no scorer survived:
            they are dead letters, and no window holds their readings.
        topic: id of the topic that the offsets belong to; empty when unknown.
    """

    replay_from: int
    receptive_field: int
    stretches: Stretches
    poison: tuple[int, ...] = ()
    topic: str = ""

    def encode(self) -> str:
        """The string to commit.

        Raises:
            MetadataTooLargeError: it would have more than 4,096 bytes.
        """
        cut = self.stretches
        fields = {
            "v": VERSION,
            "replay_from": self.replay_from,
            "r": self.receptive_field,
            "stretches": [cut.previous, cut.current, cut.since_ms, cut.latest_ms],
            # Each as its distance from the one before: five digits instead of fifteen.
            "poison": [b - a for a, b in pairwise((cut.previous, *self.poison))],
            "topic": self.topic,
        }
        text = json.dumps(fields, separators=(",", ":"))
        if len(text) > MAX_BYTES:  # json.dumps writes ASCII
            raise MetadataTooLargeError(
                f"the commit's metadata has {len(text)} bytes, the broker takes {MAX_BYTES}: "
                f"{len(self.poison)} records among the last {cut.current - cut.previous} and the "
                "current stretch could not be scored. Find out why the scorer fails on them (they "
                "are in the dead-letter topic, stage scoring); or lower "
                "stream.max_restore_records, so that fewer have to be remembered"
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
    if type(fields["v"]) is not int or fields["v"] != VERSION:
        raise ValueError("of another version")
    previous, current, since_ms, latest_ms = (_integer(n, least=-1) for n in fields["stretches"])
    replay_from = _integer(fields["replay_from"])
    if not 0 <= previous <= min(current, replay_from):
        raise ValueError("a replay begins within the last two stretches")
    poison = accumulate((_integer(n) for n in fields["poison"]), initial=previous)
    return RestorePoint(
        replay_from=replay_from,
        receptive_field=_integer(fields["r"]),
        stretches=Stretches(
            previous=previous, current=current, since_ms=since_ms, latest_ms=latest_ms
        ),
        poison=tuple(poison)[1:],
        topic=str(fields["topic"]),
    )


def _integer(value: Any, *, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= _LARGEST:
        raise ValueError(f"no integer of at least {least}: {value!r}")
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class StartingPoint:
    """Where a partition begins, and what is known of the log before it.

    Args:
        read_from: records are read from here on...
        next_offset: ...and scored from here on.
        stretches: where the log was cut.
        poison: offsets whose records a replay leaves out of the windows.
        cold: why windows begin empty, or shorter than they were, although something was committed;
            empty when they do not.
        lost: offsets that retention deleted before they were scored.
        clamped: offsets of the replay that retention deleted.
    """

    read_from: int
    next_offset: int
    stretches: Stretches
    poison: frozenset[int] = frozenset()
    cold: str = ""
    lost: int = 0
    clamped: int = 0

    @classmethod
    def cold_at(cls, offset: int, *, reason: str = "", lost: int = 0) -> StartingPoint:
        """Read and score from `offset` on, knowing nothing."""
        return cls(
            read_from=offset,
            next_offset=offset,
            stretches=Stretches.beginning_at(offset),
            cold=reason,
            lost=lost,
        )

    def restore_point(self, *, receptive_field: int, topic: str) -> RestorePoint:
        """What to commit at `next_offset` before anything was scored."""
        return RestorePoint(
            replay_from=self.read_from,
            receptive_field=receptive_field,
            stretches=self.stretches,
            poison=tuple(sorted(self.poison)),
            topic=topic,
        )


def starting_point(
    committed: tuple[int, str] | None,
    *,
    beginning: int,
    end: int,
    fresh: str,
    receptive_field: int,
    topic: str = "",
) -> StartingPoint:
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
        return StartingPoint.cold_at(beginning if fresh == "earliest" else end)
    next_offset, text = committed
    metadata = decode_metadata(text)
    anew = _made_anew(next_offset, metadata, end=end, topic=topic)
    if anew:
        reason = f"{anew}: the topic was made anew, its readings are scored from the beginning"
        return StartingPoint.cold_at(beginning, reason=reason)
    if next_offset > end:
        # From the beginning all that is left would be published twice.
        reason = f"the log ends at {end}, before the committed offset {next_offset}: it was cut off"
        return StartingPoint.cold_at(end, reason=reason)
    if next_offset < beginning:
        reason = f"retention has deleted offsets {next_offset} to {beginning - 1} unread"
        return StartingPoint.cold_at(beginning, reason=reason, lost=beginning - next_offset)
    if metadata is None or metadata.stretches.current > next_offset:
        reason = "the commit carries no replay metadata that this version knows"
        return StartingPoint.cold_at(next_offset, reason=reason)
    return _warm(next_offset, metadata, beginning=beginning, receptive_field=receptive_field)


def _made_anew(next_offset: int, metadata: RestorePoint | None, *, end: int, topic: str) -> str:
    """Why the commit cannot be of this topic; empty when it can."""
    then = metadata.topic if metadata is not None else ""
    if topic and then:
        if topic == then:
            return ""
        return f"the commit was made for the topic of id {then}, this one is {topic}"
    return (
        f"committed offset {next_offset} is beyond the log's end {end}" if next_offset > end else ""
    )


def _warm(
    next_offset: int, metadata: RestorePoint, *, beginning: int, receptive_field: int
) -> StartingPoint:
    """Begin with a replay, as far as retention has left it."""
    wanted = metadata.replay_from
    if receptive_field > metadata.receptive_field:
        # Longer windows than the commit's: all that anybody would know lies in two stretches.
        wanted = metadata.stretches.previous
    wanted = min(wanted, next_offset)
    clamped = max(beginning - wanted, 0)
    return StartingPoint(
        read_from=wanted + clamped,
        next_offset=next_offset,
        stretches=metadata.stretches,
        poison=frozenset(metadata.poison),
        cold=f"retention has deleted offsets {wanted} to {beginning - 1} of the window history"
        if clamped
        else "",
        clamped=clamped,
    )
