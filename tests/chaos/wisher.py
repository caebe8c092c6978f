"""Somebody who says things of sensors all the time, in a thread, while faults are injected.

What counts is what is in the topic, so this one may fail as it likes: it says something else then.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Final
from uuid import UUID

from kafka.errors import KafkaError

from schemas.wire.verdict import Forget, NewNormal, Off, SensorWishes, Wish
from workers.errors import VigieError
from workers.verdicts.incidents import Judged
from workers.verdicts.standing import with_wish, without_wish
from workers.verdicts.writer import WishWriter

_MANY: Final = 8
"""Wishes of a key, from which on one is withdrawn before there is another."""
_PATTERN: Final = "sensor-[0-3]"
_SECOND_NS: Final = 10**9
_HALT_WITHIN_S: Final = 90.0  # a change is tried again for some time

OpensWriter = Callable[[], AbstractContextManager[WishWriter]]


class Wisher(threading.Thread):
    """Wishes of all kinds, of sensors of which incidents have been seen.

    Attributes:
        said: how many changes were written.
    """

    def __init__(
        self,
        open_writer: OpensWriter,
        events: Sequence[bytes],
        sensors: Sequence[str],
        *,
        seed: int,
        every_s: float = 1.0,
    ) -> None:
        """Say nothing yet.

        Args:
            open_writer: of the topic of the verdicts.
            events: the topic of the incidents, as it grows.
            sensors: of which something is said.
            seed: of what is said.
            every_s: between two changes.
        """
        super().__init__(name="chaos-wisher", daemon=True)
        self.said = 0
        self._open_writer, self._events, self._sensors = open_writer, events, sensors
        self._rng = Random(f"wishes {seed}")
        self._over = threading.Event()
        self._read, self._every_s = 0, every_s
        self._latest: dict[str, Judged] = {}
        self._failure: Exception | None = None

    def finish(self) -> None:
        """Say no more. Safe to call again.

        Raises:
            RuntimeError: it died, or does not end.
        """
        self._over.set()
        self.join(_HALT_WITHIN_S)
        if self._failure is not None or self.is_alive():
            raise RuntimeError("the wisher died, or does not end") from self._failure

    def run(self) -> None:
        """Say something every second, until `finish`."""
        try:
            while not self._over.wait(self._every_s):
                try:
                    with self._open_writer() as writer:
                        while not self._over.wait(self._every_s):
                            self.look()
                            self.say(writer)
                except (VigieError, KafkaError, OSError):  # the broker is away
                    continue
        except Exception as failure:  # noqa: BLE001 - told by `finish`
            self._failure = failure

    def look(self) -> None:
        """See what has happened to incidents."""
        for value in self._events[self._read :]:
            self._read += 1
            data = json.loads(value)["data"]
            if data.get("kind") == "anomaly" and data["sensor_id"] in self._sensors:
                one = Judged.model_validate_json(json.dumps(data))
                self._latest[one.sensor_id] = one

    def say(self, writer: WishWriter) -> None:
        """Change the wishes of some key."""
        if not self._latest:
            return
        sensor = self._rng.choice(sorted(self._latest))
        one = self._latest[sensor]
        if self._rng.random() < 0.06:
            wish: Wish = self._off(one, self._who())
            writer.change(_PATTERN, lambda document: self._changed(document, wish))
        else:
            wish = self._wish(one)
            writer.change(sensor, lambda document: self._changed(document, wish))
        self.said += 1

    def _changed(self, document: SensorWishes, wish: Wish) -> SensorWishes:
        """A wish more, or one less."""
        if document.wishes and (len(document.wishes) >= _MANY or self._rng.random() < 0.25):
            return without_wish(document, self._rng.choice(document.wishes).id)
        return with_wish(document, wish)

    def _wish(self, one: Judged) -> Wish:
        who, rng = self._who(), self._rng
        kind = rng.choice(("fault", "false_alarm", "false_alarm", "new_normal", "forget", "off"))
        if kind == "fault":
            return one.as_fault(**who)
        if kind == "false_alarm":
            return one.as_false_alarm(**who)
        if kind == "new_normal":
            return NewNormal(**who)
        if kind == "forget":
            start_ns = one.until_ns + rng.randint(-100, 400) * _SECOND_NS
            end_ns = start_ns + rng.randint(10, 200) * _SECOND_NS
            return Forget(start_ns=start_ns, end_ns=end_ns, **who)
        return self._off(one, who)

    def _off(self, one: Judged, who: dict[str, Any]) -> Off:
        """A while, by event time; some are over when they are heeded."""
        return Off(until_ns=one.until_ns + self._rng.randint(50, 400) * _SECOND_NS, **who)

    def _who(self) -> dict[str, Any]:
        id_ = UUID(int=self._rng.getrandbits(128), version=4)
        return {"id": id_, "by": "chaos", "at_ns": time.time_ns()}
