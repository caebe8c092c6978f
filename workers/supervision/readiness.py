"""Whether a pipeline does its work, as far as its supervisor knows. Pure.

Live is a supervisor that ticks; whether Kafka answers has no part in it, as no restart of the
driver brings a broker back. Ready is a pipeline that has every worker it wants, each of them
reading and scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workers.stream.health import Health, Phase
from workers.supervision.status import ScalingStatus

LIVE_WITHIN_S: Final = 60.0
"""A supervisor ticks four times a second; a start of actors on a busy cluster takes seconds."""

_WHY: Final = {
    Phase.STARTING: "starts",
    Phase.REWINDING: "goes back to what was committed last",
    Phase.WAITING: "waits for the schema registry",
    Phase.DRAINING: "finishes what it has begun, and ends",
    Phase.INCOMPLETE: "has ended",
    Phase.STOPPED: "has ended",
}


def is_live(tick_age_s: float | None) -> bool:
    """Whether the supervisor goes on; `tick_age_s` is None before its first tick."""
    return tick_age_s is None or tick_age_s <= LIVE_WITHIN_S


def missing_of(healths: Sequence[Health], scaling: ScalingStatus) -> list[str]:
    """What a pipeline lacks to do its work, in words; nothing when it is ready.

    Args:
        healths: of the ingest workers, by slot; those beyond the number wanted do not count.
        scaling: how many workers of a kind there should be and are.
    """
    wanted = scaling.ingest.target
    missing = [
        f"ingest worker {health.slot} {_WHY[health.phase]}"
        for health in healths[:wanted]
        if health.phase is not Phase.RUNNING
    ]
    missing += [f"ingest worker {slot} is not there yet" for slot in range(len(healths), wanted)]
    absent = scaling.scorers.target - scaling.scorers.actual
    if absent > 0:
        missing.append(f"{absent} of {scaling.scorers.target} scorers do not answer")
    return missing
