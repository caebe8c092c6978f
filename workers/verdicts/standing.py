"""What a document of wishes becomes when one is added or withdrawn. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from schemas.wire.deed import Deed
from schemas.wire.errors import InvalidRecordError
from schemas.wire.verdict import (
    MAX_WISHES,
    FalseAlarm,
    Fault,
    SensorWishes,
    Wish,
    decode_wishes,
)
from workers.errors import VigieError

__all__ = ["no_wishes", "standing_in", "with_wish", "without_wish"]


def no_wishes(key: str) -> SensorWishes:
    """The document of a key that has none."""
    return SensorWishes(version=1, key=key, wishes=())


def with_wish(document: SensorWishes, wish: Wish) -> SensorWishes:
    """The document with one wish more.

    A verdict on an incident takes the place of an earlier one on the same incident, and a wish that
    is there already stays as it is: who is not sure whether a wish was written can write it again.
    Where there is no room, the oldest false alarm makes some.

    Raises:
        VigieError: there is no room, and no false alarm to leave out.
    """
    if any(one.id == wish.id for one in document.wishes):
        return document
    wishes = [one for one in document.wishes if not _is_of_same_incident(one, wish)]
    if len(wishes) == MAX_WISHES:
        oldest = next((one for one in wishes if isinstance(one, FalseAlarm)), None)
        if oldest is None:
            raise VigieError(
                f"{MAX_WISHES} wishes stand for {document.key}, more have no room: withdraw one "
                f"that is not needed any more (vigie verdict list, vigie verdict withdraw)."
            )
        wishes.remove(oldest)
    return document.model_copy(update={"wishes": (*wishes, wish)})


def without_wish(document: SensorWishes, wish: UUID) -> SensorWishes:
    """The document without a wish.

    Raises:
        VigieError: it does not stand.
    """
    wishes = tuple(one for one in document.wishes if one.id != wish)
    if len(wishes) == len(document.wishes):
        raise VigieError(
            f"No wish {wish} stands for {document.key}: vigie verdict list shows those that do."
        )
    return document.model_copy(update={"wishes": wishes})


def standing_in(found: Mapping[bytes, bytes]) -> tuple[list[Deed], list[str]]:
    """What stands in a whole topic, by key, as lines of a file of deeds; and what is unreadable.

    Args:
        found: the last value of each key.
    """
    deeds, unreadable = [], []
    for key, value in sorted(found.items()):
        try:
            document = decode_wishes(key, value)
        except InvalidRecordError as error:
            unreadable.append(str(error))
            continue
        deeds += [
            Deed(sensor=document.key, after_ns=wish.after_ns, wish=wish) for wish in document.wishes
        ]
    return deeds, unreadable


def _is_of_same_incident(one: Wish, other: Wish) -> bool:
    return (
        isinstance(one, Fault | FalseAlarm)
        and isinstance(other, Fault | FalseAlarm)
        and one.incident == other.incident
    )
