"""The metadata of a commit: from where the log has to be read again to score as before.

A string of at most 4,096 bytes beside each committed offset, versioned:
``{"v":1,"replay_from":N,"r":R}``.
Metadata of another program or of a later version is no error: the reader starts cold, and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

VERSION = 1
MAX_CHARS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayMetadata:
    """Where to begin reading: at or before the oldest reading in any sensor's history.

    `receptive_field` tells how long these histories are.
    """

    replay_from: int
    receptive_field: int

    def encode(self) -> str:
        """The string to commit."""
        fields = {"v": VERSION, "replay_from": self.replay_from, "r": self.receptive_field}
        return json.dumps(fields, separators=(",", ":"))


def decode_metadata(text: str) -> ReplayMetadata | None:
    """Read a commit's metadata; None when it is not ours or of another version."""
    if len(text) > MAX_CHARS:  # and nested deeply enough to break the parser, perhaps
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        return None
    replay_from, receptive_field = fields.get("replay_from"), fields.get("r")
    if type(replay_from) is not int or type(receptive_field) is not int or replay_from < 0:
        return None
    return ReplayMetadata(replay_from=replay_from, receptive_field=receptive_field)


@dataclass(frozen=True, kw_only=True, slots=True)
class StartingPoint:
    """Where a partition begins: read from `read_from`, score from `next_offset` on.

    `cold` says why histories begin empty although something was committed; empty when they do not.
    """

    read_from: int
    next_offset: int
    cold: str = ""


def starting_point(
    committed: tuple[int, str] | None,
    *,
    beginning: int,
    end: int,
    fresh: str,
    receptive_field: int,
) -> StartingPoint:
    """Decide where a newly assigned partition begins.

    Args:
        committed: the committed (next offset, metadata), or None.
        beginning: first offset that retention has left.
        end: first offset not yet written.
        fresh: "earliest" or "latest", where to begin when nothing is committed.
        receptive_field: R of the model that will score.
    """
    if committed is None:
        at = beginning if fresh == "earliest" else end
        return StartingPoint(read_from=at, next_offset=at)
    next_offset, text = committed
    if next_offset > end:
        return StartingPoint(
            read_from=beginning,
            next_offset=beginning,
            cold=f"committed offset {next_offset} is beyond the log's end {end}: "
            "the topic was made anew, its readings are scored from the beginning",
        )
    if next_offset < beginning:
        return StartingPoint(
            read_from=beginning,
            next_offset=beginning,
            cold=f"retention has deleted offsets {next_offset} to {beginning - 1} unread",
        )
    metadata = decode_metadata(text)
    if metadata is None:
        return StartingPoint(
            read_from=next_offset,
            next_offset=next_offset,
            cold="the commit carries no replay metadata that this version knows",
        )
    replay_from = min(metadata.replay_from, next_offset)
    if replay_from < beginning:
        return StartingPoint(
            read_from=beginning,
            next_offset=next_offset,
            cold=f"retention has deleted offsets {replay_from} to {beginning - 1} "
            "of the window history",
        )
    cold = ""
    if metadata.receptive_field < receptive_field:
        cold = (
            f"the commit was made for windows of {metadata.receptive_field} readings, this model "
            f"needs {receptive_field}: the sensors' windows fill up first"
        )
    return StartingPoint(read_from=replay_from, next_offset=next_offset, cold=cold)
