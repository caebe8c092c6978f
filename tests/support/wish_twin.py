"""Wishes of one sensor by the definition: what was done, where, and what holds since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import numpy as np

from detector.calibration import alarm_wishes
from detector.calibration.alarm_rule import Ruling
from schemas.wire.deed import Deed
from schemas.wire.verdict import FalseAlarm, Fault, Forget, NewNormal, Off, Wish
from tests.support.incident_terms import Terms, shown

_NEVER: Final = np.iinfo(np.int64).min


class DeedsToDo:
    """Deeds by their place: the sensor, the record before which they hold, the reading behind."""

    def __init__(self, deeds: Iterable[Deed], partition: int) -> None:
        """Take those of a partition, in order."""
        self._deeds: dict[tuple[str, int | None, int | None], list[Deed]] = defaultdict(list)
        for deed in deeds:
            if deed.partition != partition:
                continue
            self._deeds[deed.sensor, deed.offset, deed.after_ns].append(deed)

    def take(self, sensor: str, offset: int, last_ns: int, next_ns: int) -> list[Deed]:
        """Those that are done before a reading of this record, behind one of this event time."""
        after_ns = next_ns - 1 if last_ns == _NEVER else last_ns
        return self._deeds.pop((sensor, offset, after_ns), [])


class Wishes:
    """What holds for a sensor."""

    def __init__(self, terms: Terms, sensor: str, group: Any) -> None:
        """Nothing."""
        self._terms, self._sensor, self._group = terms, sensor, group
        self._held: dict[UUID, Wish] = {}
        self._anew: UUID | None = None
        self._before: Any = None

    @property
    def false_alarms(self) -> list[FalseAlarm]:
        """Those that are remembered."""
        return [wish for wish in self._held.values() if isinstance(wish, FalseAlarm)]

    def do(self, deed: Deed, rule: Any, last_ns: int, open_: UUID | None) -> tuple[Any, str]:
        """Heed a wish, or no more; the rule's state after it, and what is wrong with the deed.

        Args:
            deed: to do.
            rule: state.
            last_ns: event time of the sensor's last reading.
            open_: the incident that is open.
        """
        id_ = deed.wish_id
        if deed.withdrawn:
            if self._held.pop(id_, None) is None:
                return rule, f"{id_} is withdrawn from {self._sensor}, and was not heeded"
            if self._anew == id_:
                rule, self._anew = alarm_wishes.revert(rule, self._before), None
            return rule, ""
        if id_ in self._held:
            return rule, f"{id_} is heeded twice by {self._sensor}"
        assert deed.wish is not None
        self._held[id_] = deed.wish
        return self._heeded(deed.wish, rule, last_ns, open_), ""

    def _heeded(self, wish: Wish, state: Any, last_ns: int, open_: UUID | None) -> Any:
        rule = self._terms.rule
        match wish:
            case NewNormal():
                state, self._before = alarm_wishes.begin_anew(state, rule, self._group)
                self._anew = wish.id
            case Forget() if wish.start_ns <= last_ns:
                state = alarm_wishes.forget(state, rule, self._group)
            case Fault() if last_ns != _NEVER and wish.incident == open_:
                state = alarm_wishes.mark_fault(state, rule)
            case Fault() if last_ns != _NEVER:
                state = alarm_wishes.forgive(state, rule, np.array([wish.charge]))
        return state

    def ruling(self, ts_ns: int) -> int:
        """What is said of a reading."""
        ruling = 0
        for wish in self._held.values():
            if isinstance(wish, Off) and (wish.until_ns is None or ts_ns <= wish.until_ns):
                ruling |= Ruling.OFF
            if isinstance(wish, Forget) and wish.start_ns <= ts_ns <= wish.end_ns:
                ruling |= Ruling.FORGOTTEN
        return ruling

    def document(self) -> dict[str, Any] | None:
        """What is recorded of them, unpacked."""
        if not self._held:
            return None
        is_anew = self._anew is not None
        return {
            "ids": list(self._held),
            "anew": self._anew,
            "before": shown(self._before[0].tolist()) if is_anew else None,
        }
