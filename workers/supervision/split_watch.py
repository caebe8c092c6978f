"""Says that sensors come in several partitions: at the first, and each time they have doubled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from workers.kafka.unkeyed import way_out
from workers.stream.health import Health, split_sensors_of

LOOK_EVERY_S: Final = 5.0
EFFECT: Final = "each partition has a part of their windows, so that healthy readings are flagged"


class SplitWatch:
    """Looks at what the workers tell; at most some thirty warnings, whatever happens."""

    def __init__(self, topic: str) -> None:
        """Nothing was found yet; `topic` is that of the readings."""
        self._fix = f"{EFFECT}: {way_out(topic)}"
        self._look_at_s = 0.0
        self._before = 0
        self._warn_from = 1
        self._log = structlog.get_logger("vigie.supervisor")

    def look(self, healths: Iterable[Health], now_s: float) -> None:
        """Look if it is time, and warn of what two looks in a row have found."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_EVERY_S
        found = split_sensors_of(healths)
        # Once is no proof: while a sensor moves, its last records may still come by the old way.
        sensors, self._before = min(found.sensors, self._before), found.sensors
        if sensors < self._warn_from:
            return
        self._warn_from = 2 * found.sensors
        self._log.warning(
            "sensors_in_several_partitions",
            sensors=found.sensors,
            looked_at=f"1 in {found.share}",
            examples={sensor: list(places) for sensor, places in found.examples.items()},
            fix=self._fix,
        )
