"""The alarm rule once more: one sensor, plain Python, as slow and as obvious as can be."""

import math
from typing import Any

from detector.calibration.alarm_rule import Ruling

NOTHING = Ruling(0)


class Twin:
    """Takes one row at a time; keeps every row, and looks back where the fold keeps a sum."""

    def __init__(self, numbers, bars, rate, dials):
        self.start = {
            "long": (numbers.centre[1, 0], numbers.spread[1, 0]),
            "short": (numbers.centre[1, 1], numbers.spread[1, 1]),
        }
        self.centre = {view: start[0] for view, start in self.start.items()}
        self.spread = {view: start[1] for view, start in self.start.items()}
        self.slope = {"long": numbers.slope[1, 0], "short": numbers.slope[1, 1]}
        self.bar = {"long": bars[1, 0], "short": bars[1, 1]}
        self.memory = numbers.memory[1]
        self.rate, self.dials = rate, dials
        self.offset = 1.0
        self.learnt: dict[str, Any] = {"long": "enough", "short": "enough"}
        self.row = -1
        self.over: list[bool] = []
        self.smooth: dict[str, Any] = {"long": None, "short": None}
        self.incident: Any = None
        self.ended_ago: Any = None
        self.opened: list[Any] = []
        self.ended: list[Any] = []

    def step(self, long, short, ruling=NOTHING):
        """Threshold, strength and alarm of one row."""
        self.row += 1
        if self.incident and self.incident.get("wished"):
            self._finish()
        if Ruling.OFF in ruling:
            self._switch_off()
            short, ruling = math.nan, Ruling.OFF
        raised, forgotten = Ruling.RAISED in ruling, Ruling.FORGOTTEN in ruling
        held = Ruling.HELD in ruling and not raised
        if math.isnan(short):
            return math.nan, math.nan, self._without_levels(raised, forgotten)
        long = None if math.isnan(long) else long
        self._smooth("long", long)
        self._smooth("short", short)
        if not self._in_incident():
            self._wait()
        if not raised and not forgotten:
            self._adopt("long", long)
            self._adopt("short", short)
        threshold, strength, fired = self._judge(long, short)
        self._take_up(strength, fired, ruling, held=held)
        in_alarm, alarm = self._in_incident(), False
        learns = self._learns(in_alarm, held, raised)
        if in_alarm:
            alarm = self._in_alarm(long, short, 0.0 if held else strength, ruling)
        if not forgotten:
            for view, level in (("long", long), ("short", short)):
                self._learn(view, level, *learns(view, level))
            self.offset = max(self.offset - 6 * self.rate, self.dials.lowest)
        return threshold, strength, alarm

    def _take_up(self, strength, fired, ruling, *, held):
        self.over = [*self.over, strength > 0 and not held][-self.dials.opens_within :]
        own = self.over[-1] and sum(self.over) >= self.dials.opens_at
        if not self._in_incident() and (own or Ruling.RAISED in ruling):
            self._open(strength, fired if own else "rule", Ruling.FORGOTTEN in ruling)
        if own and self.incident["cost"] == "raised only":
            self.incident["cost"] = "its own"

    def _learns(self, in_alarm, held, raised):
        """Gives the weights of a row in spread and centre."""
        fault = in_alarm and self.incident["cost"] == "fault"
        if not in_alarm or (held and not fault):
            return lambda view, level: (1 / 2000, self._as_a_mean(view, level))
        holds = fault or raised or not self.dials.accept
        inside = 0.0 if holds else self.dials.learning / self.memory
        return lambda _view, _level: (inside, inside)

    def begin_anew(self):
        before = (dict(self.centre), self._given_back(), dict(self.learnt))
        self.spread = {view: start[1] for view, start in self.start.items()}
        self.learnt = {"long": "nothing", "short": "nothing"}
        self.offset, self.over = 1.0, []
        it = self.incident
        if it and it["opened"] is None:
            self.incident = None
        elif it:
            reason = it["reason"] if it["pending"] else "new normal"
            it |= {"wished": True, "pending": True, "reason": reason}
        return before

    def revert(self, before):
        centre, spread, learnt = before
        self.centre, self.spread, self.learnt = dict(centre), dict(spread), dict(learnt)
        if self.incident:
            self.incident["spread"] = dict(spread)

    def forget(self):
        self.revert(
            (
                {view: start[0] for view, start in self.start.items()},
                {view: start[1] for view, start in self.start.items()},
                {"long": "enough", "short": "enough"},
            )
        )
        self.offset = 1.0

    def forgive(self, charge):
        if charge:
            self.offset = max(self.offset - charge, self.dials.lowest)

    def mark_fault(self):
        it = self.incident
        if it and not it.get("wished"):
            self.forgive(it["charge"])
            it |= {"charge": 0.0, "cost": "fault"}

    def _given_back(self):
        return dict(self.incident["spread"] if self._in_incident() else self.spread)

    def _in_incident(self):
        return self.incident is not None and not self.incident["pending"]

    def _without_levels(self, raised, forgotten):
        self.over, self.smooth["long"] = [], None
        if self.incident:
            self.incident["calm"] = 0
        if not raised:
            return False
        if not self._in_incident():
            self._open(0.0, "rule", forgotten)
        it = self.incident
        it["shorts"].append(None)
        it["longs"].append(None)
        it["last"] = self.row
        return self._go_on(self._cut(it))

    def _switch_off(self):
        it = self.incident
        if it is None:
            return
        if not it["pending"]:
            self.spread = dict(it["spread"])
        it["reason"] = "off"
        if it["opened"] is None:
            self.incident = None
        else:
            self._finish()

    def _adopt(self, view, level):
        if level is not None and self.learnt[view] == "nothing":
            self.centre[view], self.learnt[view] = level, 0

    def _as_a_mean(self, view, level):
        """Weight of a row in the centre: of a running mean over its first 2,000 rows."""
        seen = self.learnt[view]
        if level is None or seen in {"nothing", "enough"}:
            return 1 / 2000
        self.learnt[view] = "enough" if seen + 1 == 2000 else seen + 1
        return 1 / (seen + 1)

    def _smooth(self, view, level):
        before = self.smooth[view]
        if level is None or before is None:
            self.smooth[view] = level
        else:
            self.smooth[view] = before + 0.25 * (level - before)

    def _learn(self, view, level, rate, to_centre):
        if level is None:
            return
        most = 4 * self.spread[view]
        step = min(max(level - self.centre[view], -most), most)
        self.centre[view] += to_centre * step
        spread = self.spread[view] + rate * (abs(step) - self.spread[view])
        self.spread[view] = max(spread, 0.1 * self.start[view][1])

    def _lifted(self, view):
        return (self.bar[view] + self.offset * self.slope[view]) * self.spread[view]

    def _floor(self, view):
        return max(self.centre[view], self.start[view][0])

    def _judge(self, long, short):
        unit = {view: self.spread[view] * self.slope[view] for view in ("long", "short")}
        plain = self.bar["short"] * self.spread["short"]
        if long is None:
            alone = self._floor("short") + plain + self.offset * unit["short"]
            return alone, (short - alone) / unit["short"], "short"
        at = self._floor("long") + self._lifted("long")
        by_long = (long - at) / unit["long"]
        by_short = (short - self._floor("short") - plain / 2) / unit["short"]
        if by_long <= by_short:
            return at, by_long, "short"
        return long - by_short * unit["long"], by_short, "long"

    def _open(self, strength, fired, forgotten):
        if self.incident is None:
            self.incident = {
                "first": self.row,
                "opened": None,
                "peak": max(strength, 0.0),
                "strength": max(strength, 0.0),
                "fired": fired,
                "cost": "free" if forgotten else "raised only",
                "charge": 0.0,
                "before": self._surroundings(),
                "spread": dict(self.spread),
            }
        self.incident |= {"pending": False, "longs": [], "shorts": [], "armed": 0, "calm": 0}

    def _surroundings(self):
        plain = self.bar["short"] * self.spread["short"]
        return self._floor("long"), self._lifted("long") / 2, self._floor("short"), plain / 2

    def _in_alarm(self, long, short, strength, ruling):
        it = self.incident
        it["shorts"].append(short)
        it["longs"].append(long)
        it["last"] = self.row
        it["peak"] = max(it["peak"], strength)
        around = self._surroundings()
        if self.smooth["short"] > around[2] + around[3]:
            it["armed"] += 1
        raised = Ruling.RAISED in ruling
        calm = (self._over(around) or Ruling.HELD in ruling) and not raised
        it["calm"] = it["calm"] + 1 if calm else 0
        return self._go_on(self._end(it, ruling))

    def _go_on(self, reason):
        """Whether the row is in a reported incident, which ends here for a reason or goes on."""
        it = self.incident
        if it["opened"] is None and len(it["shorts"]) >= self.dials.shortest:
            it["opened"] = self.row
            self.opened.append(
                (self.row, it["first"], it["last"], it["peak"], it["strength"], it["fired"])
            )
        if reason is not None:
            self._close(it, reason)
        return it["opened"] is not None

    def _height(self, levels):
        """Running mean whose weights are 1/age up to 64 rows, and 1/64 from then on."""
        mean = None
        for age, level in enumerate(levels, 1):
            if level is not None:
                mean = level if mean is None else mean + (level - mean) / min(age, 64)
        return mean

    def _over(self, around):
        long, half_long, short, half_short = around
        it = self.incident
        low = short + max((self._height(it["shorts"]) - short) / 2, half_short)
        if self.smooth["long"] is None:
            return self.smooth["short"] < low
        if self.smooth["short"] < low and it["armed"] >= 8:
            return True
        low = long + max((self._height(it["longs"]) - long) / 2, half_long)
        return self.smooth["long"] < low and self.smooth["short"] < short + 2 * half_short

    def _end(self, it, ruling):
        raised = Ruling.RAISED in ruling
        if it["calm"] >= self.dials.closes_after:
            held = Ruling.HELD in ruling and not raised
            return "recovered" if held or self._over(it["before"]) else "new normal"
        stands = max(self.dials.accept * self.memory, self.dials.accept_after)
        accepts = self.dials.accept and it["cost"] != "fault" and Ruling.FORGOTTEN not in ruling
        if accepts and not raised and len(it["shorts"]) >= stands:
            for view in ("long", "short"):
                if self.smooth[view] is not None:
                    self.centre[view] = max(self.centre[view], self.smooth[view])
            return "new normal"
        return self._cut(it)

    def _cut(self, it):
        return "maximum duration" if self.row - it["first"] + 1 >= self.dials.longest else None

    def _close(self, it, reason):
        self.ended_ago, self.over = 0, []
        if reason == "recovered":
            self.spread = dict(it["spread"])
        if it["opened"] is None:
            self.incident = None
            return
        if it["cost"] == "its own" and not it["charge"]:
            it["charge"] = 6 * (0.15 + 0.85 / (1 + it["peak"] / 5) ** 2)
            self.offset += it["charge"]
        it["pending"], it["reason"] = True, reason
        if reason != "recovered":
            self._finish()

    def _wait(self):
        if self.incident is not None:
            self.ended_ago += 1
            if self.ended_ago > self.dials.merge_gap:
                self._finish()

    def _finish(self):
        it = self.incident
        self.ended.append(
            (
                *(it["opened"], it["first"], it["last"], self.row),
                *(it["peak"], it["charge"], it["reason"]),
            )
        )
        self.incident = None
