"""What is recorded of each sensor: read back, computed from the log of the source, and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from schemas.wire.sensor_state import SensorState
from tests.chaos import oracle
from tests.chaos.checkers import Violations, differing
from tests.chaos.outcome import Place
from tests.support.recorded import Fated, recorded_by_definition

Recorded = Mapping[tuple[int, str], SensorState]
"""By partition and sensor."""

_LETTERS: Final = {
    oracle.Fate.SCORED: "s",
    oracle.Fate.WARMING_UP: "w",
    oracle.Fate.LATE: "d",
    oracle.Fate.DUPLICATE: "d",
}


def recorded_of(records: Iterable[Any]) -> Recorded:
    """The last word on each key, of the committed records of the topic in order."""
    last = {(record.partition, record.key.decode()): record.value for record in records}
    return {
        place: SensorState.model_validate_json(value)
        for place, value in last.items()
        if value is not None
    }


def expected_recorded(
    logs: Mapping[int, Sequence[oracle.Record]],
    verdicts: Mapping[tuple[int, int], oracle.Verdict],
    flagged: Iterable[Place],
    rules: oracle.Rules,
) -> Recorded:
    """What must be recorded in the end, reading by reading.

    Args:
        logs: each partition's whole log.
        verdicts: on each record.
        flagged: places of the anomalies.
        rules: where the log is cut.
    """
    anomalies = set(flagged)
    wanted = {}
    for partition, log in logs.items():
        fated = []
        for record in log:
            verdict = verdicts[partition, record.offset]
            if verdict.stage:
                continue
            fates = "".join(
                "f" if Place(partition, record.offset, index) in anomalies else _LETTERS[fate]
                for index, fate in enumerate(verdict.fates)
            )
            fated.append(Fated(record.offset, record.sensor, fates))
        cuts = [window[0].offset for window in oracle.cut(log, rules)[1:]]
        for sensor, document in recorded_by_definition(fated, cuts).items():
            wanted[partition, sensor] = document
    return wanted


def recorded_alike(wanted: Recorded, undisturbed: Recorded, stormed: Recorded) -> Violations:
    """Sensor by sensor, the storm's counts are those of the definition and of the calm run."""
    return [
        *differing("recorded sensors", wanted, stormed),
        *differing("recorded sensors, against the undisturbed run", undisturbed, stormed),
    ]
