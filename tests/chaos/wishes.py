"""Whether what was wished is heeded: pure functions that give the violations found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from uuid import UUID

from schemas.wire.deed import Deed
from schemas.wire.verdict import Off, SensorWishes, decode_wishes
from tests.chaos.checkers import Violations, found

SOON_MS: Final = 30_000
"""A worker has taken note of a wish within this time of its being written."""


def heeded(
    written: Sequence[Any],
    deeds: Sequence[Deed],
    latest_ms: Mapping[str, int],
    recorded: Mapping[str, Sequence[UUID]],
) -> Violations:
    """What stands is heeded, what does not is not, and nobody heeds what was never wished.

    Args:
        written: records of the topic of the verdicts, in order.
        deeds: all of the run.
        latest_ms: log time of each sensor's last accepted reading.
        recorded: wishes that each sensor heeds in the end.
    """
    wishes: dict[UUID, str] = {}
    stands: dict[str, SensorWishes] = {}
    changed_ms: dict[tuple[str, UUID], int] = defaultdict(int)
    for record in written:
        key = record.key.decode()
        before = stands.pop(key, None)
        ids = {wish.id for wish in before.wishes} if before else set[UUID]()
        if record.value is not None:
            stands[key] = decode_wishes(record.key, record.value)
            now = {wish.id for wish in stands[key].wishes}
            wishes |= dict.fromkeys(now, key)
        else:
            now = set()
        changed_ms |= dict.fromkeys(((key, id_) for id_ in ids ^ now), record.timestamp)
    foreign = [
        deed
        for deed in deeds
        if deed.wish_id not in wishes or not fnmatchcase(deed.sensor, wishes[deed.wish_id])
    ]
    missed, kept = list[str](), list[str]()
    for sensor, until_ms in latest_ms.items():
        standing = {
            wish.id: key
            for key, document in stands.items()
            for wish in document.wishes
            if key == sensor or (isinstance(wish, Off) and fnmatchcase(sensor, key))
        }
        own = set(recorded.get(sensor, ()))
        for id_ in standing.keys() ^ own:
            if id_ in wishes and until_ms - changed_ms[wishes[id_], id_] > SOON_MS:
                (missed if id_ in standing else kept).append(f"{id_} by {sensor}")
    return [
        *found("deeds of wishes that nobody wrote", foreign),
        *found("wishes not heeded", missed),
        *found("wishes withdrawn and heeded on", kept),
    ]
