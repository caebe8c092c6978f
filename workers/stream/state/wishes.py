"""The standing wishes for sensors, as the topic of the verdicts tells them. Pure.

`WishBoard` takes the records of the topic in their order, from its beginning. What stands for a
sensor are the wishes of its own document, and the "off" of each pattern that its name matches
(`fnmatch`, case-sensitive).

A document that cannot be read (of a later version) says nothing: what stood for its key before
stands on, and of a sensor that it may concern nothing is withdrawn.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from uuid import UUID

from schemas.wire.errors import InvalidRecordError
from schemas.wire.verdict import Off, SensorWishes, Wish, decode_wishes, is_pattern

__all__ = ["Changes", "Difference", "WishBoard"]

_NONE: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys whose document changed.

    Attributes:
        sensors: each names the sensor of this name.
        patterns: each may name others as well; it is in `sensors`, too.
    """

    sensors: frozenset[str] = _NONE
    patterns: frozenset[str] = _NONE

    def among(self, sensors: Collection[str]) -> list[str]:
        """Those of some sensors that they may concern; their order is kept if there is a pattern.

        Args:
            sensors: any number, best in a set or as the keys of a mapping: without a pattern only
                the changed ones are looked up.
        """
        if not self.patterns:
            return sorted(name for name in self.sensors if name in sensors)
        return [
            name
            for name in sensors
            if name in self.sensors or any(fnmatchcase(name, one) for one in self.patterns)
        ]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a sensor has to do about its wishes.

    Attributes:
        new: stand, and were not heeded yet; in the order in which they stand.
        withdrawn: were heeded, and do not stand any more; in the order in which they were heeded.
    """

    new: tuple[Wish, ...] = ()
    withdrawn: tuple[UUID, ...] = ()


class WishBoard:
    """What stands for which sensor."""

    def __init__(self) -> None:
        """Begin without a wish."""
        self.revision = 0
        """Number of records taken; see `changed_since`."""
        self._documents: dict[str, SensorWishes] = {}
        self._patterns: dict[str, tuple[Off, ...]] = {}
        self._unreadable: dict[str, str] = {}
        self._changed: dict[str, int] = {}  # revision of each key's last record, ascending

    @property
    def unreadable(self) -> dict[str, str]:
        """Why the last document of a key cannot be read, by key."""
        return dict(self._unreadable)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record; None as its value withdraws all wishes of the key.

        A record without a key, or with one that is no text, is left out.
        """
        try:
            name = (key or b"").decode()
        except UnicodeDecodeError:
            return
        if not name:
            return
        self.revision += 1
        self._changed.pop(name, None)
        self._changed[name] = self.revision
        self._unreadable.pop(name, None)
        try:
            document = None if value is None else decode_wishes(name.encode(), value)
        except InvalidRecordError as error:
            self._unreadable[name] = str(error)
            return
        self._documents.pop(name, None)
        self._patterns.pop(name, None)
        if document is None:
            return
        self._documents[name] = document
        if is_pattern(name) and (off := _off(document.wishes)):
            self._patterns[name] = off

    def changed_since(self, revision: int) -> Changes:
        """Keys that changed since the board was at a revision; costs what changed, not what is."""
        names = []
        for name in reversed(self._changed):
            if self._changed[name] <= revision:
                break
            names.append(name)
        return Changes(frozenset(names), frozenset(filter(is_pattern, names)))

    def standing(self, sensor: str) -> tuple[Wish, ...]:
        """The wishes for one sensor: its own, then those of patterns, by pattern."""
        own = self._documents.get(sensor)
        found: list[Wish] = list(own.wishes) if own else []
        found += (
            wish
            for pattern in sorted(self._patterns)
            if pattern != sensor and fnmatchcase(sensor, pattern)
            for wish in self._patterns[pattern]
        )
        return tuple(found)

    def difference(self, sensor: str, heeded: Iterable[UUID]) -> Difference:
        """What is new for a sensor and what was withdrawn.

        Args:
            sensor: its name.
            heeded: ids of the wishes that it heeds.
        """
        known = list(dict.fromkeys(heeded))
        standing = self.standing(sensor)
        ids = {wish.id for wish in standing}
        return Difference(
            new=tuple(wish for wish in standing if wish.id not in known),
            withdrawn=()
            if self._is_doubtful(sensor)
            else tuple(one for one in known if one not in ids),
        )

    def _is_doubtful(self, sensor: str) -> bool:
        """Whether a document that cannot be read may concern a sensor."""
        return any(name == sensor or fnmatchcase(sensor, name) for name in self._unreadable)


def _off(wishes: Iterable[Wish]) -> tuple[Off, ...]:
    return tuple(wish for wish in wishes if isinstance(wish, Off))
