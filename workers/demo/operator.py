"""The operator of the demo: says of each incident, once it is over, what it was; in a thread.

Who minds a plant looks at the machine and says what he found. Vigie cannot do without that here:
in these 75 minutes some pumps have four faults, and to the alarm rule an incident that nobody calls
a fault is one that the budget pays for, so the bar of such a pump would rise from fault to fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from schemas.wire.incident import Incident, IncidentKind
from schemas.wire.verdict import MAX_WISHES, SensorWishes, Wish
from workers.demo.ledger import Ledger
from workers.plant.faults import Fault
from workers.verdicts.incidents import Judged
from workers.verdicts.standing import with_wish
from workers.verdicts.writer import WishWriter

LOOKS_AFTER_S: Final = 1.0
"""From the end of an incident to the verdict on it, in the show."""
_EVERY_S: Final = 0.2


class Operator(threading.Thread):
    """Tells the topic of the verdicts what the simulator knows.

    Attributes:
        said: the wish, by incident.
    """

    def __init__(
        self,
        open_writer: Callable[[], AbstractContextManager[WishWriter]],
        ledger: Ledger,
        fault_of: Callable[[Incident], Fault | None],
    ) -> None:
        """Note what to look at; `start` begins.

        Args:
            open_writer: of the topic of the verdicts, such as `open_wish_writer`.
            ledger: with the incidents, as they come.
            fault_of: what the simulator knows of one.
        """
        super().__init__(name="demo-operator", daemon=True)
        self.said: dict[UUID, Wish] = {}
        self._open_writer, self._ledger, self._fault_of = open_writer, ledger, fault_of
        self._finishing = threading.Event()
        self._error: Exception | None = None

    def finish(self, *, within_s: float) -> None:
        """Say no more.

        Raises:
            Exception: what ended it early.
            TimeoutError: it took too long.
        """
        self._finishing.set()
        self.join(timeout=within_s)
        if self._error is not None:
            raise self._error
        if self.is_alive():
            raise TimeoutError(f"the operator did not end within {within_s:g} s")

    def run(self) -> None:
        """Look at every incident that is over, until `finish`."""
        try:
            with self._open_writer() as writer:
                while not self._finishing.wait(_EVERY_S):
                    self.look(writer, now_ns=time.time_ns())
        except Exception as error:  # noqa: BLE001 - `finish` raises it
            self._error = error

    def look(self, writer: WishWriter, *, now_ns: int) -> None:
        """Say what is to be said at this time."""
        until_ns = now_ns - round(LOOKS_AFTER_S * 1e9)
        for event in list(self._ledger.incidents.values()):
            one = event.data
            is_over = one.end_ns is not None and one.end_ns <= until_ns
            if one.kind is IncidentKind.ANOMALY and is_over and one.id not in self.said:
                wish = verdict_on(one, self._fault_of(one), at_ns=now_ns)
                writer.change(one.sensor_id, partial(with_room_for, wish=wish))
                self.said[one.id] = wish


def verdict_on(incident: Incident, fault: Fault | None, *, at_ns: int) -> Wish:
    """What is to be said of an incident."""
    judged = Judged.model_validate_json(incident.model_dump_json())
    say = judged.as_false_alarm if fault is None else judged.as_fault
    wish: Wish = say(id=uuid4(), by="the operator of the demo", at_ns=at_ns)
    return wish


def with_room_for(document: SensorWishes, wish: Wish) -> SensorWishes:
    """The document with the wish, without the oldest if it is full: what it did stays done."""
    wishes = document.wishes[-(MAX_WISHES - 1) :]
    return with_wish(document.model_copy(update={"wishes": wishes}), wish)
