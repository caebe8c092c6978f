"""What of people's wishes holds for the sensors of a partition, and from which reading on. Pure.

A wish is heeded between two readings of its sensor: before the first one that comes after the wish
was met here, or, where the wish says after which event time, before the first one later than that.
From there on it holds, whatever becomes of the topic that it came in: the sensor's document names
the wishes that it heeds. What was withdrawn ends in the same way.

Of a wish the document holds the id alone; what it says is read from the topic again after a
restart. One that was withdrawn in between ends before the next reading, so nobody misses it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from schemas.wire.deed import Deed
from schemas.wire.verdict import FalseAlarm, Forget, Off, Wish
from workers.stream.state.wishes import WishBoard


class Due(NamedTuple):
    """A wish that begins to hold, or (`withdrawn`) holds no more.

    It is due before the first reading later than `after_ns`; None: before the next one.
    """

    wish: Wish | None
    id: UUID
    after_ns: int | None = None
    withdrawn: bool = False


@dataclass(slots=True)
class Heeded:
    """What holds for one sensor.

    Attributes:
        wishes: by id, in the order in which they were heeded; None of one that is not known (yet).
        anew: the new normal that was heeded last, if it was not withdrawn...
        before: ...and what it replaced, to revert it.
    """

    wishes: dict[UUID, Wish | None] = field(default_factory=dict)
    anew: UUID | None = None
    before: tuple[float, ...] = ()

    def of_kind(self, kind: type[Any]) -> list[Any]:
        """The wishes of one kind."""
        return [wish for wish in self.wishes.values() if isinstance(wish, kind)]

    def document(self) -> dict[str, Any]:
        """As plain values, for the sensor's document."""
        ids = [b64encode(one.bytes).rstrip(b"=").decode() for one in self.wishes]
        if self.anew is None:
            return {"ids": ids}
        return {"ids": ids, "anew": list(self.wishes).index(self.anew), "before": self.before}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Heeded:
        """What `document` gave.

        Raises:
            ValueError, TypeError, KeyError: it is not that.
        """
        ids = [UUID(bytes=b64decode(f"{one}==", validate=True)) for one in document["ids"]]
        if "anew" not in document:
            return cls(wishes=dict.fromkeys(ids))
        return cls(
            wishes=dict.fromkeys(ids),
            anew=ids[document["anew"]],
            before=tuple(map(float, document["before"])),
        )


class Heeding:
    """The wishes for the sensors of one partition.

    Attributes:
        by_sensor: what holds; sensors without a wish are absent.
    """

    def __init__(self, board: WishBoard | None, deeds: Sequence[Deed] = ()) -> None:
        """Heed what `board` tells, which goes on being told; and do again what was done.

        Without a board nobody says anything, so nothing is withdrawn either.
        """
        self._board, self._deeds = board, deeds
        self._revision: int | None = None  # before the first look
        self.by_sensor: dict[str, Heeded] = {}
        self._due: dict[str, list[Due]] = {}
        self._met: set[str] = set()  # sensors whose deeds are due

    def look(self, sensors: Collection[str]) -> None:
        """Note what has changed on the board, for these of the sensors known here."""
        if self._board is None or self._board.revision == self._revision:
            return
        if self._revision is None:  # what is withdrawn may have left no trace on the board
            for sensor in list(self.by_sensor):
                self.meet(sensor)
        changes = self._board.changed_since(self._revision or 0)
        self._revision = self._board.revision
        for sensor in changes.among(sensors):
            self.meet(sensor)

    def meet(self, sensor: str) -> None:
        """Note what is due for a sensor."""
        if self._deeds and sensor not in self._met:
            self._met.add(sensor)
            again = [
                Due(deed.wish, deed.wish_id, deed.after_ns, deed.withdrawn)
                for deed in self._deeds
                if deed.concerns(sensor)
            ]
            self._due |= {sensor: again} if again else {}
        if self._board is None:
            return
        heeded = self.by_sensor.get(sensor, Heeded())
        for wish in self._board.standing(sensor):
            if wish.id in heeded.wishes:
                heeded.wishes[wish.id] = wish
        difference = self._board.difference(sensor, heeded.wishes)
        due = [Due(heeded.wishes[one], one, withdrawn=True) for one in difference.withdrawn]
        due += [Due(wish, wish.id, wish.after_ns) for wish in difference.new]
        if due:
            self._due[sensor] = due
        else:
            self._due.pop(sensor, None)

    def is_due(self, sensors: Iterable[str]) -> list[int]:
        """Which of some sensors have something due, by their place."""
        if not self._due:
            return []
        return [place for place, sensor in enumerate(sensors) if sensor in self._due]

    def borders(self, sensor: str, last_ns: int, ts_ns: Sequence[int]) -> list[int]:
        """Before which of its next readings something has to be heeded, ascending.

        Args:
            sensor: that has something due.
            last_ns: event time of its last reading.
            ts_ns: event times of its next ones, ascending.
        """
        found = set()
        for due in self._due[sensor]:
            after_ns = last_ns if due.after_ns is None else max(due.after_ns, last_ns)
            row = next((row for row, ts in enumerate(ts_ns) if ts > after_ns), None)
            if row is not None:
                found.add(row)
        return sorted(found)

    def take(self, sensor: str, next_ns: int) -> list[Due]:
        """What is to be done before a reading of that event time, each by `heed` or `withdraw`."""
        waiting, taken = list[Due](), list[Due]()
        for due in self._due.get(sensor, ()):
            is_later = due.after_ns is not None and next_ns <= due.after_ns
            (waiting if is_later else taken).append(due)
        if waiting:
            self._due[sensor] = waiting
        else:
            self._due.pop(sensor, None)
        return taken

    def heed(self, sensor: str, due: Due, before: tuple[float, ...] | None = None) -> None:
        """A wish holds from now on; `before` is what it replaced if it is a new normal."""
        heeded = self.by_sensor.setdefault(sensor, Heeded())
        heeded.wishes[due.id] = due.wish
        if before is not None:
            heeded.anew, heeded.before = due.id, before

    def withdraw(self, sensor: str, due: Due) -> tuple[float, ...] | None:
        """A wish holds no more; what it replaced if it was the last new normal, to be put back."""
        heeded = self.by_sensor.get(sensor)
        if heeded is None:
            return None
        heeded.wishes.pop(due.id, None)
        before = None
        if heeded.anew == due.id:
            before, heeded.anew, heeded.before = heeded.before, None, ()
        if not heeded.wishes:
            del self.by_sensor[sensor]
        return before

    def forget_references(self) -> None:
        """What new normals replaced were another model's numbers: they are not put back."""
        for heeded in self.by_sensor.values():
            heeded.anew, heeded.before = None, ()

    def forget(self, sensor: str) -> None:
        """Nothing is known of the sensor any more; what stands is due when it comes again."""
        self.by_sensor.pop(sensor, None)
        if not self._deeds:  # each of those is of one life of the sensor, and done once
            self._due.pop(sensor, None)

    def false_alarms(self, sensor: str) -> list[FalseAlarm]:
        """Those that a sensor remembers."""
        heeded = self.by_sensor.get(sensor)
        return [] if heeded is None else heeded.of_kind(FalseAlarm)

    def periods(self, sensor: str) -> tuple[list[Off], list[Forget]]:
        """When a sensor is off, and what is to be forgotten of it."""
        heeded = self.by_sensor.get(sensor)
        return ([], []) if heeded is None else (heeded.of_kind(Off), heeded.of_kind(Forget))


def deed_of(sensor: str, due: Due, *, after_ns: int, partition: int, offset: int) -> Deed:
    """The deed of a wish that was heeded before the record at `offset`."""
    return Deed(
        sensor=sensor,
        after_ns=after_ns,
        partition=partition,
        offset=offset,
        withdrawn=due.withdrawn,
        id=due.id,
        wish=due.wish,
    )
