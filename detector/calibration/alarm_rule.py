"""The alarm rule: from levels to incidents, at the rate that a budget allows.

A level is an unsmoothed log score. `long` is the ranking score, `short` what the views of few
rows say alone. Of each sensor the rule remembers a centre and a spread of both, and how far the
bar has been lifted; `STATE` names all of it. For each row:

1. **Open** when this row and another of the last few are over both bars: the long level over
   centre + bar, the short one over half of its bar. A row that has a short level alone (a sensor
   that warms up) must be over the whole short bar.
2. **Close** after some calm rows: the short view has lost half of the height that it had in the
   incident (whatever the long windows still hold), or the long one has and the short is quiet.
   An incident taken up again within the merge gap is the same one.
3. **Learn**: centre and spread follow the levels, slowly outside of incidents, and faster inside,
   by bounded steps. The centre that the bar stands on never falls below the calibrated one. An
   incident that recovered leaves the spreads as it found them.
4. **Accept** after twice the memory of an incident: its level is the new normal, and the incident
   says so. It says so too when it closes because the centre has learnt its level.
5. **Count**: each incident lifts the bar, each row lets it sink by what the budget allows. A weak
   incident lifts it by six slopes of the tail (a factor of 400 in its rate), a strong one, likely
   an event, by 15 % of that. So weak ones + .15 * strong ones <= rate * rows + (lift at the end
   - lift at the start) / 6, for any levels whatever, with equality while the bar is above its
   lowest. Where calibration was wrong, two or three incidents put it right.

Unscored rows (no level at all) and gaps change nothing but break a run of rows that opens or
closes: an incident stays open over them, and no budget is earned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int8, Int64, UInt8

from detector.calibration import alarm_fold as fold
from detector.calibration import alarm_records as records
from detector.calibration.alarm_numbers import AlarmNumbers

START_OFFSET = 1.0
"""Slopes that the bar stands above the calibrated one at first: the first weeks are the weak time,
a little less sensitive than calibrated."""
STATE_VERSION = 2
"""Of what a row of states means; recorded states of another version are not to be used."""
STATE_SIZE = len(records.STATE.names or ())
WITHIN = 32
"""Most rows that `AlarmDials.opens_within` can look back on."""

States = Float64[np.ndarray, "sensors state"]


class Fired(IntEnum):
    """The view that was further beyond its bar when an incident opened."""

    LONG = records.LONG
    SHORT = records.SHORT
    RULE = records.RULE
    """None of them: a ruling raised it, and the levels alone would not have opened it here."""


class Ruling(IntFlag):
    """What else is known of a row than its levels: rules beside the model, wishes, calendars."""

    HELD = records.HELD
    """A rule says that it does not matter: it does not count as over the bars, is calm within an
    incident, raises no peak, and is learnt from like a quiet row."""
    RAISED = records.RAISED
    """A rule says alarm, whatever the levels, even if there are none: it opens an incident at once
    and holds it open up to `AlarmDials.longest`; nothing is learnt. Beats `HELD`."""
    OFF = records.OFF
    """Not judged, as if it had no levels; what goes on ends here. Beats all others."""
    FORGOTTEN = records.FORGOTTEN
    """Judged, but it moves neither centre nor spread nor bar, and an incident that it opens is free
    of charge. What an incident before it taught is still given back, and its charge still due."""


class EndReason(IntEnum):
    """Why an incident ended."""

    RECOVERED = int(records.RECOVERED)
    """The levels are back, or a rule says that what is left of them does not matter."""
    NEW_NORMAL = int(records.NEW_NORMAL)
    """They are not: the rule has got used to them, or a person said so."""
    MAXIMUM_DURATION = int(records.MAXIMUM_DURATION)
    """It was cut; if the levels stay, the next incident follows at once."""
    OFF = int(records.SWITCHED_OFF)
    """The sensor is not judged from this row on."""


@dataclass(frozen=True, kw_only=True)
class AlarmDials:
    """What an operator may set beside the budget; the defaults were chosen on labelled data.

    Attributes:
        opens_at: rows over the bars that open an incident, of which the last is its row.
        opens_within: among this many last rows.
        closes_after: calm rows in a row that close it.
        merge_gap: rows after a close within which it may be taken up again.
        shortest: rows that an incident lasts before it is reported; a shorter one never is.
        longest: rows after which it is cut.
        accept: memories of an incident (see `AlarmNumbers.memory`) after which its level is the
            new normal. 0 never accepts: the incident stays open as long as the levels stay, and
            nothing is learnt inside of it.
        accept_after: rows that it must have stood for as well, the later of the two counts; 0 asks
            for none. No floor for learning, which may end an incident as the new normal before:
            only with `learning` 0 is an incident sure to stay open so long.
        learning: speed of learning inside an incident, in memories; 0 holds an alarm through a
            long event, until it is accepted.
        lowest: tail slopes that the bar may sink by below the calibrated one while the budget is
            not spent. 0 never alarms below calibration: half of the false incidents and a quarter
            of the events fewer. The default spends what the operator said he can look at, because
            an event that the bar hid costs more than an incident within the budget; it stops at a
            factor of 20 in the rate, so that a silent sensor is not searched for noise.

    Raises:
        ValueError: a number is out of range.
    """

    opens_at: int = 2
    opens_within: int = 3
    closes_after: int = 24
    merge_gap: int = 16
    shortest: int = 1
    longest: int = 604_800
    accept: float = 2.0
    accept_after: int = 0
    learning: float = 1.0
    lowest: float = -3.0

    def __post_init__(self) -> None:
        limits = {
            "opens_at": (self.opens_at, 1, self.opens_within),
            "opens_within": (self.opens_within, 1, WITHIN),
            "closes_after": (self.closes_after, 1, 10_000),
            "merge_gap": (self.merge_gap, 0, 1_000_000),
            "shortest": (self.shortest, 1, 10_000),
            "longest": (self.longest, 32, 10**9),
            "accept": (self.accept, 0.0, 1e6),
            "accept_after": (self.accept_after, 0, 10**9),
            "learning": (self.learning, 0.0, 10.0),
            "lowest": (self.lowest, -100.0, 100.0),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise ValueError(f"{name} must be in {low}..{high}, got {value}")


@dataclass(frozen=True, kw_only=True)
class Incident:
    """An incident as far as it is known. Rows count from the first that the sensor ever had.

    Attributes:
        sensor: its place in the call.
        opened: row at which it was reported.
        first: first row over the bars that opened it.
        last: last row in alarm so far.
        ended: row at which its end was certain; None while it may go on.
        peak: its largest strength so far; 0 where no row that counts was over the bars.
        strength: tail slopes beyond the bars when it opened; each is a factor e in how rare it is;
            0 where a ruling opened it below them.
        fired: what saw it.
        charge: tail slopes that it lifted the bar by; 0 while it is not charged, and if it is free.
        reason: why it ended; None while it may go on.
    """

    sensor: int
    opened: int
    first: int
    last: int
    ended: int | None
    peak: float
    strength: float
    fired: Fired
    charge: float
    reason: EndReason | None


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """What a call says of its rows.

    Attributes:
        states: the sensors' states after their rows.
        threshold: level at which the row would be over all its bars, of the long view, or of the
            short one where the long is unknown; NaN of an unscored row.
        strength: tail slopes beyond that; greater than 0 iff the row is over.
        alarm: whether the row is in a reported incident.
        opened: incidents that were opened, in order of sensor and row.
        ended: incidents whose end became certain.
    """

    states: States
    threshold: Float64[np.ndarray, " rows"]
    strength: Float64[np.ndarray, " rows"]
    alarm: Bool[np.ndarray, " rows"]
    opened: Sequence[Incident]
    ended: Sequence[Incident]


@dataclass(frozen=True, kw_only=True)
class AlarmRule:
    """Start numbers, a budget and dials: all that the fold needs beside its state.

    Attributes:
        numbers: of each calibration group.
        rate: false incidents a row that the budget allows, see `AlarmBudget.rate`.
        least_rate: the bars start for this rate where the budget asks for a lower one.
        dials: what the operator set.

    Raises:
        ValueError: the rate is not in 0..1, without its ends.
    """

    numbers: AlarmNumbers
    rate: float
    least_rate: float = 0.0
    dials: AlarmDials = field(default_factory=AlarmDials)

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ValueError(f"the rate must be between 0 and 1, got {self.rate}")
        if not 0.0 <= self.least_rate < 1.0:
            raise ValueError(f"the least rate must be in 0..1, got {self.least_rate}")

    def start(self, groups: Int[np.ndarray, " sensors"]) -> States:
        """States of sensors that have had no row."""
        numbers = self._numbers[groups]
        states = np.zeros(len(groups), records.STATE)
        for view in ("long", "short"):
            for what in ("centre", "spread"):
                states[f"{what}_{view}"] = numbers[f"{what}_{view}"]
            states[f"smooth_{view}"] = np.nan
            states[f"learnt_{view}"] = fold.LEARNS_OVER
        states["offset"] = START_OFFSET
        return states.view(np.float64).reshape(len(groups), STATE_SIZE)

    def advance(
        self,
        levels: Float[np.ndarray, "rows views"],
        sizes: Int[np.ndarray, " sensors"],
        groups: Int[np.ndarray, " sensors"],
        states: States,
        rulings: Int8[np.ndarray, " rows"] | None = None,
    ) -> Advanced:
        """Take the next rows of many sensors; the same bits however they are cut into calls.

        Args:
            levels: long and short (further columns are not looked at), unsmoothed, sensor behind
                sensor, each in order of time. NaN: long unknown while a sensor warms up; short
                unknown where the row was not scored. Infinite is unknown too.
            sizes: rows of each sensor, 0 or more.
            groups: calibration group of each sensor.
            states: from `start` or an earlier call; left as they are.
            rulings: bits of `Ruling` of each row; None: no row has any.

        Raises:
            ValueError: shapes that do not fit.
        """
        rows, sensors = len(levels), len(sizes)
        if states.shape != (sensors, STATE_SIZE) or len(groups) != sensors:
            raise ValueError(
                f"{sensors} sensors need as many groups and states [{sensors}, {STATE_SIZE}], "
                f"got {len(groups)} and {states.shape}"
            )
        if int(np.sum(sizes)) != rows or (sensors and int(np.min(sizes)) < 0):
            raise ValueError(f"the sizes must sum up to {rows} rows, got {int(np.sum(sizes))}")
        cut = 0
        if rulings is None:
            rulings = np.zeros(rows, dtype=np.int8)
        elif len(rulings) != rows:
            raise ValueError(f"{rows} rows need as many rulings, got {len(rulings)}")
        else:
            cut = int(np.count_nonzero(rulings & Ruling.OFF))
        after = np.array(states, dtype=np.float64, order="C")
        threshold, strength = np.empty(rows), np.empty(rows)
        alarm = np.empty(rows, dtype=np.bool_)
        most = 2 * (rows // self._least_rows() + cut + sensors)
        events = np.empty(most, records.EVENT)
        count = fold.fold(
            np.ascontiguousarray(levels, dtype=np.float64),
            np.ascontiguousarray(rulings),
            np.asarray(sizes, dtype=np.int64),
            np.asarray(groups, dtype=np.int64),
            self._numbers,
            self._dials,
            after.view(records.STATE)[:, 0],
            threshold,
            strength,
            alarm,
            events,
        )
        happened = events[:count]
        return Advanced(
            states=after,
            threshold=threshold,
            strength=strength,
            alarm=alarm,
            opened=_incidents(happened[happened["what"] == records.OPENED]),
            ended=_incidents(happened[happened["what"] == records.ENDED]),
        )

    def _least_rows(self) -> int:
        """Rows that an incident lasts at the least: they bound how many there can be."""
        accepted = self.accepts_after(int(self.numbers.memory.argmin())) or np.inf
        return max(1, int(min(self.dials.closes_after, self.dials.longest, accepted)))

    def accepts_after(self, group: int) -> float:
        """Rows that an incident of a group stands before its level is the new normal; 0: never."""
        if self.dials.accept == 0.0:
            return 0.0
        return max(self.dials.accept * float(self.numbers.memory[group]), self.dials.accept_after)

    @cached_property
    def _numbers(self) -> np.ndarray:
        table = np.empty(len(self.numbers.memory), records.NUMBERS)
        bars = self.numbers.bars(max(self.rate, self.least_rate))
        for view, name in enumerate(("long", "short")):
            for what in ("centre", "spread", "slope"):
                table[f"{what}_{name}"] = getattr(self.numbers, what)[:, view]
            table[f"bar_{name}"] = bars[:, view]
        table["memory"] = self.numbers.memory
        return table

    @cached_property
    def _dials(self) -> np.ndarray:
        names = [name for name in records.DIALS.names or () if name != "rate"]
        values = (self.rate, *(float(getattr(self.dials, name)) for name in names))
        return np.array([values], records.DIALS)


def rows_seen(states: States) -> Int64[np.ndarray, " sensors"]:
    """Rows that each sensor has had: the number of its next one."""
    return states.view(records.STATE)[:, 0]["rows"].astype(np.int64)


def pack_states(states: States) -> UInt8[np.ndarray, "sensors bytes"]:
    """States as bytes to be recorded, exact to the bit."""
    return np.ascontiguousarray(states, dtype="<f8").view(np.uint8)


def unpack_states(packed: UInt8[np.ndarray, "sensors bytes"]) -> States:
    """What `pack_states` was given.

    Raises:
        ValueError: the bytes are not those of states of this version.
    """
    if packed.shape[1] != 8 * STATE_SIZE:
        raise ValueError(f"an alarm state has {8 * STATE_SIZE} bytes, got {packed.shape[1]}")
    return np.ascontiguousarray(packed).view("<f8").astype(np.float64)


def open_incidents(states: States) -> Sequence[Incident]:
    """The reported incidents that have not ended, at most one a sensor."""
    table = np.ascontiguousarray(states, dtype=np.float64).view(records.STATE)[:, 0]
    table = table.copy()
    events = np.zeros(len(table), records.EVENT)
    for name in ("opened", "first", "last", "peak", "strength", "fired", "charged"):
        events[name] = table[name]
    events["sensor"] = np.arange(len(table))
    events["ended"] = events["reason"] = np.nan
    return _incidents(events[(table["phase"] != records.QUIET) & ~np.isnan(table["opened"])])


def _incidents(events: np.ndarray) -> list[Incident]:
    return [
        Incident(
            sensor=int(event["sensor"]),
            opened=int(event["opened"]),
            first=int(event["first"]),
            last=int(event["last"]),
            ended=None if np.isnan(event["ended"]) else int(event["ended"]),
            peak=float(event["peak"]),
            strength=float(event["strength"]),
            fired=Fired(int(event["fired"])),
            charge=float(event["charged"]),
            reason=None if np.isnan(event["reason"]) else EndReason(int(event["reason"])),
        )
        for event in events
    ]
