"""The alarm rule once more: one sensor, plain Python, as slow and as obvious as can be."""

import math
from typing import Any


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
        self.row = -1
        self.over: list[bool] = []
        self.smooth: dict[str, Any] = {"long": None, "short": None}
        self.incident: Any = None
        self.ended_ago: Any = None
        self.opened: list[Any] = []
        self.ended: list[Any] = []

    def step(self, long, short):
        """Threshold, strength and alarm of one row."""
        self.row += 1
        if math.isnan(short):
            self.over, self.smooth["long"] = [], None
            if self.incident:
                self.incident["calm"] = 0
            return math.nan, math.nan, False
        long = None if math.isnan(long) else long
        self._smooth("long", long)
        self._smooth("short", short)
        in_alarm = self.incident is not None and not self.incident["pending"]
        if not in_alarm:
            self._wait()
        threshold, strength, fired = self._judge(long, short)
        self.over = [*self.over, strength > 0][-self.dials.opens_within :]
        if not in_alarm and strength > 0 and sum(self.over) >= self.dials.opens_at:
            self._open(strength, fired)
            in_alarm = True
        learning, alarm = 1 / 2000, False
        if in_alarm:
            learning = self.dials.learning / self.memory if self.dials.accept else 0.0
            alarm = self._in_alarm(long, short, strength)
        self._learn("long", long, learning)
        self._learn("short", short, learning)
        self.offset = max(self.offset - 6 * self.rate, self.dials.lowest)
        return threshold, strength, alarm

    def _smooth(self, view, level):
        before = self.smooth[view]
        if level is None or before is None:
            self.smooth[view] = level
        else:
            self.smooth[view] = before + 0.25 * (level - before)

    def _learn(self, view, level, rate):
        if level is None:
            return
        most = 4 * self.spread[view]
        step = min(max(level - self.centre[view], -most), most)
        self.centre[view] += rate * step
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

    def _open(self, strength, fired):
        if self.incident is None:
            self.incident = {
                "first": self.row,
                "opened": None,
                "peak": strength,
                "strength": strength,
                "fired": fired,
                "paid": False,
                "before": self._surroundings(),
                "spread": dict(self.spread),
            }
        self.incident |= {"pending": False, "longs": [], "shorts": [], "armed": 0, "calm": 0}

    def _surroundings(self):
        plain = self.bar["short"] * self.spread["short"]
        return self._floor("long"), self._lifted("long") / 2, self._floor("short"), plain / 2

    def _in_alarm(self, long, short, strength):
        it = self.incident
        it["shorts"].append(short)
        it["longs"].append(long)
        it["last"] = self.row
        it["peak"] = max(it["peak"], strength)
        around = self._surroundings()
        if self.smooth["short"] > around[2] + around[3]:
            it["armed"] += 1
        it["calm"] = it["calm"] + 1 if self._over(around) else 0
        reason = self._end(it)
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

    def _end(self, it):
        if it["calm"] >= self.dials.closes_after:
            return "recovered" if self._over(it["before"]) else "new normal"
        if self.dials.accept and len(it["shorts"]) >= self.dials.accept * self.memory:
            for view in ("long", "short"):
                if self.smooth[view] is not None:
                    self.centre[view] = max(self.centre[view], self.smooth[view])
            return "new normal"
        if self.row - it["first"] + 1 >= self.dials.longest:
            return "maximum duration"
        return None

    def _close(self, it, reason):
        self.ended_ago, self.over = 0, []
        if reason == "recovered":
            self.spread = dict(it["spread"])
        if it["opened"] is None:
            self.incident = None
            return
        if not it["paid"]:
            self.offset += 6 * (0.15 + 0.85 / (1 + max(it["peak"], 0) / 5) ** 2)
            it["paid"] = True
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
            (it["opened"], it["first"], it["last"], self.row, it["peak"], it["reason"])
        )
        self.incident = None
