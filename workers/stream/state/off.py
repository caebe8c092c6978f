"""Readings that are not judged, by a condition on a channel or by a calendar. Pure.

What a sensor's readings say in their order, and nothing else: the same bits however the readings
are cut into calls, when what one call gives is handed to the next.

* **A condition** holds from the first reading that fulfils it up to the first that does not. From
  the event time of that one on the sensor settles: the condition may have ended at any moment since
  the reading before, and what is off often sends nothing. A missing value says nothing: the last
  known one holds.
* **A calendar** covers event times; settling follows each event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from detector.globs import ByName
from schemas.settings.off import Comparison, OffSettings
from schemas.settings.rules import patterns_of
from schemas.wire.timestamp import NS_PER_S

if TYPE_CHECKING:
    from workers.stream.state.maintenance import MaintenanceCalendar

HOLDS: Final = 2**63 - 1
"""In the place of an event time: the condition holds, and settling has not begun."""
_NEVER: Final = -(2**63)

UntilNs = Mapping[str, int]
"""By name of an entry, the event time before which the sensor settles, or `HOLDS`. Only of entries
with a condition by which the sensor is still off: nothing for a sensor that runs."""

Times = Int64[np.ndarray, " n"]
Flags = Bool[np.ndarray, " n"]

_COMPARE: Final = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelCondition:
    """What a channel has to be.

    Attributes:
        channel: its place.
        comparison: of its value with the number.
        number: channel units.
        settle_ns: how much longer the sensor stays off.
    """

    channel: int
    comparison: Comparison
    number: float
    settle_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OffRule:
    """One reason for which sensors are not judged.

    Attributes:
        name: the reason.
        sensors: patterns of the sensors that it is about.
        reason: when that is.
    """

    name: str
    sensors: tuple[str, ...]
    reason: "ChannelCondition | MaintenanceCalendar"


@dataclass(frozen=True, kw_only=True)
class OffRows:
    """Which readings are not judged.

    Attributes:
        off: whether.
        why: place of the first entry of the settings that says so, else -1.
        until_ns: to be handed to the call with the sensor's next readings.
    """

    off: Flags
    why: Int[np.ndarray, " n"]
    until_ns: UntilNs


class OffRules:
    """All entries, and which of them are about a sensor. Made in each worker by `off_rules_of`."""

    def __init__(self, rules: Sequence[OffRule]) -> None:
        self._rules = tuple(rules)
        self._by_sensor = ByName([rule.sensors for rule in rules], self._some)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def for_sensor(self, sensor: str) -> "SensorOff | None":
        """What is about a sensor; None when nothing is."""
        return self._by_sensor.get(sensor)

    def name(self, why: int) -> str:
        """The reason at a place of `OffRows.why`."""
        return self._rules[why].name

    def _some(self, places: tuple[int, ...]) -> "SensorOff":
        return SensorOff([(place, self._rules[place]) for place in places])


class SensorOff:
    """The entries that are about one sensor, each with its place among all.

    Sensors that the same entries are about share one.
    """

    def __init__(self, rules: Sequence[tuple[int, OffRule]]) -> None:
        self._rules = tuple(rules)

    def may_be_off(
        self, ts_ns: Times, values: Float64[np.ndarray, "n channels"]
    ) -> Bool[np.ndarray, " n"]:
        """Readings that put a sensor off by themselves, of any sensors of these entries.

        Of a sensor without one, that is not settling, nothing else has to be asked.
        """
        found = np.zeros(len(ts_ns), dtype=np.bool_)
        for _, rule in self._rules:
            if isinstance(rule.reason, ChannelCondition):
                value = values[:, rule.reason.channel]
                compare = _COMPARE[rule.reason.comparison]
                found |= np.isfinite(value) & compare(value, rule.reason.number)
            else:
                found |= rule.reason.covers(ts_ns)
        return found

    def mask(
        self, ts_ns: Times, values: Float64[np.ndarray, "n channels"], until_ns: UntilNs
    ) -> OffRows:
        """Which readings are not judged.

        Args:
            ts_ns: event times, ascending, later than those of the calls before.
            values: channel units; NaN (or an infinity) = missing.
            until_ns: of the call before; empty for the first one. An entry that is no longer in
                the settings is dropped.
        """
        why = np.full(len(ts_ns), -1, dtype=np.int64)
        later: dict[str, int] = {}
        for place, rule in self._rules:
            if isinstance(rule.reason, ChannelCondition):
                off, until = _fold(rule.reason, ts_ns, values, until_ns.get(rule.name, _NEVER))
                if until != _NEVER:
                    later[rule.name] = until
            else:
                off = rule.reason.covers(ts_ns)
            why[off & (why < 0)] = place
        return OffRows(off=why >= 0, why=why, until_ns=later)


def _fold(
    condition: ChannelCondition,
    ts_ns: Times,
    values: Float64[np.ndarray, "n channels"],
    until_ns: int,
) -> tuple[Flags, int]:
    """Where a condition puts the sensor off, and until when after the last row, else `_NEVER`."""
    if len(ts_ns) == 0:
        return np.zeros(0, dtype=np.bool_), until_ns
    value = values[:, condition.channel]
    known = np.isfinite(value)
    # A row before the first, with what is known from the call before.
    fulfilled = np.empty(len(ts_ns) + 1, dtype=np.bool_)
    fulfilled[0] = until_ns == HOLDS
    fulfilled[1:] = _COMPARE[condition.comparison](value, condition.number)
    last_known = np.zeros(len(ts_ns) + 1, dtype=np.int64)
    last_known[1:] = np.maximum.accumulate(np.where(known, np.arange(1, len(ts_ns) + 1), 0))
    holds = fulfilled[last_known]
    ends = np.where(holds[:-1] & ~holds[1:], ts_ns + condition.settle_ns, _NEVER)
    if until_ns != HOLDS:
        ends[0] = max(ends[0], until_ns)
    settles = np.maximum.accumulate(ends)
    off: Flags = holds[1:] | (ts_ns < settles)
    if holds[-1]:
        return off, HOLDS
    last = int(settles[-1])
    return off, last if last > int(ts_ns[-1]) else _NEVER


def off_rules_of(
    settings: Sequence[OffSettings], channels: Sequence[str], calendars: Mapping[str, str]
) -> OffRules:
    """The entries of the settings.

    Args:
        settings: of `[[off]]`.
        channels: of the model, in order.
        calendars: the text of each calendar, by the name of its entry.

    Raises:
        ValueError: a condition is on a channel that the model lacks; names the entry, and says
            which there are.
        CalendarError: a calendar cannot be read.
    """
    return OffRules([_rule(own, channels, calendars) for own in settings])


def _rule(own: OffSettings, channels: Sequence[str], calendars: Mapping[str, str]) -> OffRule:
    settle_ns = round(own.settle_s * NS_PER_S)
    reason: "ChannelCondition | MaintenanceCalendar"
    if (condition := own.condition) is None:
        # Its libraries take 0.5 s and 7 MB of each worker: only where there is a calendar.
        from workers.stream.state.maintenance import MaintenanceCalendar

        reason = MaintenanceCalendar(
            calendars[own.name], timezone=own.timezone, settle_ns=settle_ns
        )
    elif condition.channel in channels:
        reason = ChannelCondition(
            channel=channels.index(condition.channel),
            comparison=condition.comparison,
            number=condition.number,
            settle_ns=settle_ns,
        )
    else:
        raise ValueError(
            f"[[off]] {own.name!r}: when: the model has no channel {condition.channel!r}; "
            f"it has {', '.join(channels)}"
        )
    return OffRule(name=own.name, sensors=patterns_of(own.sensors), reason=reason)
