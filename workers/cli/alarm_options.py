"""The dials of the alarm rule that an operator sets at training, in his words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import usage_errors

if TYPE_CHECKING:
    from detector.calibration.alarm_rule import AlarmDials


class LongEvent(StrEnum):
    """What becomes of an incident whose readings stay where they are."""

    FOLLOW = "follow"
    """The rule gets used to them slowly, and accepts them as the new normal after a stated time."""
    HOLD = "hold"
    """It stays open until then."""
    NEVER_ACCEPT = "never-accept"
    """It stays open until the readings are back."""


class Bar(StrEnum):
    """How low the bar may sink while the budget is not spent."""

    BUDGET = "budget"
    """Below calibration, by at most a factor of 20 in the rate."""
    CALIBRATION = "calibration"
    """Never below calibration."""


@dataclass(frozen=True, kw_only=True)
class AlarmOptions:
    """The options of the alarm rule; one that is not given leaves the rule's own default."""

    lowest_bar: Annotated[
        Bar,
        typer.Option(
            help="budget: a quiet sensor's bar sinks a little until the budget is used, and more "
            "events are found. calibration: never below the calibrated bar; half of the "
            "false incidents and a quarter of the events fewer.",
        ),
    ] = Bar.BUDGET
    long_event: Annotated[
        LongEvent,
        typer.Option(
            help="When readings stay away for long. follow: get used to them, and say so. hold: "
            "in alarm until they are accepted as the new normal. never-accept: in alarm until "
            "they are back.",
        ),
    ] = LongEvent.FOLLOW
    accept_after: Annotated[
        float,
        typer.Option(
            help="Seconds that readings must stay away, at the least, before they are accepted as "
            "they are; twice the rule's memory at the least, too. 0: never. With --long-event "
            "follow the rule has mostly got used to them before.",
            min=0,
        ),
    ] = 86_400.0
    opens_at: Annotated[
        int | None,
        typer.Option(
            help="Readings over the bar that open an incident (default 2)...", min=1, max=32
        ),
    ] = None
    opens_within: Annotated[
        int | None,
        typer.Option(help="...among so many of the last (default 3).", min=1, max=32),
    ] = None
    max_duration: Annotated[
        int | None,
        typer.Option(
            help="Readings after which an incident is cut; if the readings stay away, the next "
            "one follows at once. Default: a week of seconds.",
            min=32,
            max=10**9,
        ),
    ] = None

    def dials(self) -> AlarmDials:
        """The rule's dials; a usage error if they contradict each other."""
        from detector.calibration.alarm_rule import AlarmDials

        chosen: dict[str, float] = {}
        if self.lowest_bar is Bar.CALIBRATION:
            chosen["lowest"] = 0.0
        if self.long_event is not LongEvent.FOLLOW:
            chosen["learning"] = 0.0
        if self.long_event is LongEvent.NEVER_ACCEPT:
            chosen["accept"] = 0.0
        rows = {
            "opens_at": self.opens_at,
            "opens_within": self.opens_within,
            "longest": self.max_duration,
        }
        whole = {name: value for name, value in rows.items() if value is not None}
        with usage_errors("--opens-at, --opens-within"):
            return AlarmDials(**chosen, **whole)  # type: ignore[arg-type] # whole numbers and others
