"""What the broker's own files say about each record: committed, aborted, still open.

A second opinion: it reads the log's segments byte by byte and asks no client, so that a fault in
the client's filtering of aborted transactions cannot hide itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

_BATCH: Final = struct.Struct(">qiibIhiqqqhii")
_PREFIX: Final = 12  # base offset and length, which the length does not count
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_COMMIT: Final = 1
_MAGIC: Final = 2


class Fate(StrEnum):
    """What became of a record."""

    PLAIN = "plain"
    """Written outside a transaction."""
    COMMITTED = "committed"
    ABORTED = "aborted"
    OPEN = "open"
    """Its transaction has not ended."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch as it lies in the file."""

    first: int
    last: int
    producer: int
    epoch: int
    transactional: bool
    commits: bool | None
    """Whether it is the end of a transaction, by commit (True) or abort (False); None: records."""


class Written(NamedTuple):
    """What one committed transaction wrote to one partition."""

    producer: int
    epoch: int
    offsets: tuple[int, ...]


def transactions(log: Path, topic: str) -> dict[int, list[Written]]:
    """The committed transactions of a topic by partition, in the order of their ends."""
    return {number: _transactions(folder) for number, folder in _folders(log, topic)}


def _transactions(partition: Path) -> list[Written]:
    found = []
    waiting: dict[int, list[Batch]] = {}
    for batch in _partition(partition):
        if batch.commits is None:
            if batch.transactional:
                waiting.setdefault(batch.producer, []).append(batch)
            continue
        wrote = waiting.pop(batch.producer, [])
        if wrote and batch.commits:
            offsets = (at for one in wrote for at in range(one.first, one.last + 1))
            found.append(Written(batch.producer, wrote[0].epoch, tuple(offsets)))
    return found


def fates(partition: Path) -> dict[int, Fate]:
    """The fate of every record in a partition's folder, by offset."""
    found: dict[int, Fate] = {}
    waiting: dict[int, list[Batch]] = {}
    for batch in _partition(partition):
        if batch.commits is not None:
            fate = Fate.COMMITTED if batch.commits else Fate.ABORTED
            for one in waiting.pop(batch.producer, ()):
                found.update(dict.fromkeys(range(one.first, one.last + 1), fate))
        elif batch.transactional:
            waiting.setdefault(batch.producer, []).append(batch)
        else:
            found.update(dict.fromkeys(range(batch.first, batch.last + 1), Fate.PLAIN))
    for batches in waiting.values():
        for one in batches:
            found.update(dict.fromkeys(range(one.first, one.last + 1), Fate.OPEN))
    return dict(sorted(found.items()))


def topic_fates(log: Path, topic: str) -> dict[tuple[int, int], Fate]:
    """The fate of every record of a topic, by (partition, offset)."""
    return {
        (number, at): fate
        for number, folder in _folders(log, topic)
        for at, fate in fates(folder).items()
    }


def _folders(log: Path, topic: str) -> Iterator[tuple[int, Path]]:
    """The partitions of a topic, and where they lie."""
    for folder in sorted(log.glob(f"{topic}-*")):
        number = folder.name.removeprefix(f"{topic}-")
        if number.isdecimal():
            yield int(number), folder


def _partition(folder: Path) -> Iterator[Batch]:
    for segment in sorted(folder.glob("*.log")):
        yield from batches(segment.read_bytes())


def batches(content: bytes) -> Iterator[Batch]:
    """The batches of one segment; as `batch_places`."""
    return (batch for _, batch in batch_places(content))


def batch_places(content: bytes) -> Iterator[tuple[int, Batch]]:
    """The batches of one segment and where they begin; ends at the first that is not whole.

    Raises:
        ValueError: a format that is not Kafka's second.
    """
    at = 0
    while at + _BATCH.size <= len(content):
        (
            first, length, _, magic, _, attributes, last_delta, _, _, producer, epoch, _, _,
        ) = _BATCH.unpack_from(content, at)  # fmt: skip
        if magic != _MAGIC:
            raise ValueError(f"format {magic} at byte {at}")
        stop = at + _PREFIX + length
        if length <= 0 or stop > len(content):
            return
        control = bool(attributes & _CONTROL)
        batch = Batch(
            first=first,
            last=first + last_delta,
            producer=producer,
            epoch=epoch,
            transactional=bool(attributes & _TRANSACTIONAL),
            commits=_ends(content[at + _BATCH.size : stop]) if control else None,
        )
        yield at, batch
        at = stop


def _ends(record: bytes) -> bool:
    """Whether a control batch's only record commits; its key holds a version and a kind."""
    place, skipped = 0, 0
    while skipped < 4:  # length, attributes, two deltas: varints of one or more bytes
        while record[place] & 0x80:
            place += 1
        place += 1
        skipped += 1
    place += 1  # the key's length, 4
    _, kind = struct.unpack_from(">hh", record, place)
    return bool(kind == _COMMIT)
