"""The power of one broker fails: what its disk had not been told to keep is gone.

Kafka flushes a segment when the next one begins, and notes how far it got; the newest records of
each partition are in the memory of the system alone, for the other copies have them. So after a
SIGKILL the files behind that note are cut, at any byte. The log of the controllers is flushed
before anything is answered, and stays whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.chaos.segments import batch_places

_METADATA: Final = "__cluster_metadata-0"
_FLUSHED: Final = "recovery-point-offset-checkpoint"
_BESIDE: Final = ("index", "timeindex", "txnindex", "snapshot")


def lose_power(log: Path, rng: random.Random) -> int:
    """Cut the tails of a broker that does not run; the bytes that are gone.

    Args:
        log: its log folder.
        rng: where in each partition: at its end, at what was flushed, or in between.
    """
    flushed = flushed_offsets(log)
    return sum(
        _cut(folder, flushed.get(folder.name, 0), rng)
        for folder in sorted(log.iterdir())
        if folder.is_dir() and folder.name != _METADATA
    )


def flushed_offsets(log: Path) -> dict[str, int]:
    """The first offset that may be in memory alone, by the name of the partition's folder."""
    try:
        lines = (log / _FLUSHED).read_text(encoding="utf-8").splitlines()[2:]
    except FileNotFoundError:
        return {}
    return {f"{topic}-{number}": int(offset) for topic, number, offset in map(str.split, lines)}


def _cut(partition: Path, flushed: int, rng: random.Random) -> int:
    places = [
        (segment, start, stop)
        for segment in sorted(partition.glob("*.log"))
        for start, stop in _unflushed(segment, flushed)
    ]
    total = sum(stop - start for _, start, stop in places)
    draw = rng.random()
    kept = 0 if draw < 0.4 else total if draw > 0.9 else rng.randrange(total + 1)
    left = kept
    for nth, (segment, start, stop) in enumerate(places):
        end = min(start + left, stop)
        left -= end - start
        if end < stop:
            with segment.open("r+b") as file:
                file.truncate(end)
            for later, _, _ in places[nth + 1 :]:
                _remove(later)
            break
    return total - kept


def _unflushed(segment: Path, flushed: int) -> Iterator[tuple[int, int]]:
    """The stretch of bytes of a segment that begins with the first batch not flushed."""
    content = segment.read_bytes()
    for start, batch in batch_places(content):
        if batch.last >= flushed:
            yield start, len(content)
            return


def _remove(segment: Path) -> None:
    segment.unlink()
    for kind in _BESIDE:
        segment.with_suffix(f".{kind}").unlink(missing_ok=True)
