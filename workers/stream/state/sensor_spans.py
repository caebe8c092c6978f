"""Which sensors come in several partitions at once: each has a part of their windows. Pure.

Everything rests on a sensor's readings lying in one partition, in order. Records without a key are
spread over all of them, and so are those that two producers place by two rules. No error comes of
it, only gaps in every window.

**The rule.** A sensor's *span* in a partition is the event time from its first to its last accepted
reading there, as far as its window remembers. Take the span that ends last. The sensor is *split*
if another one shares time with it: at least half of the shorter of the two, and not less than has
passed since the other one ended. So

* whoever moved (partitions were added, the key is another) is not split: the old span ends where
  the new one begins, however long the old partition remembers it;
* whoever was split, and is no more, is cleared when it has come in one partition for as long as it
  came in two, or when the other partition forgets it;
* a worker that lags behind tells of spans that ended long ago: nobody is accused until it catches
  up.

**The sample.** Two partitions of a sensor may be with different workers, so they meet in the
driver, and what travels is bounded: a partition tells the spans of those sensors whose name's CRC
is a multiple of `share`, a power of two; of all of them (1) until they are too many. Each partition
chooses by the same rule, so what one leaves out at `share` 4, another does too. Then four times as
many sensors are split as were found: an estimate, which is enough, as what splits sensors (no key,
another key, another partitioner) splits many. Nothing of it costs anything per reading.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Int64

MOST_EXAMPLES: Final = 5
_LARGEST_SHARE: Final = 2**31


class Span(NamedTuple):
    """Event time of a sensor's first and last reading in a partition, epoch nanoseconds."""

    first_ns: int
    last_ns: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SensorSpans:
    """A sample of one partition's sensors; see the module's text. Cheap to pickle.

    Attributes:
        share: one sensor in so many is in it, by its name.
        sensors: their names.
        times_ns: the span of each.
    """

    share: int = 1
    sensors: tuple[str, ...] = ()
    times_ns: Int64[np.ndarray, "n 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))

    @classmethod
    def of(cls, spans: Mapping[str, Span]) -> "SensorSpans":
        """All sensors of a partition."""
        times_ns = np.array(list(spans.values()), np.int64).reshape(-1, 2)
        return cls(sensors=tuple(spans), times_ns=times_ns)

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Each sensor with its span."""
        return zip(self.sensors, map(Span._make, self.times_ns.tolist()), strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSensors:
    """What was found.

    Attributes:
        sensors: how many come in several partitions; an estimate if `share` is not 1.
        share: one sensor in so many was looked at.
        examples: the partitions of some of them, ascending.
    """

    sensors: int = 0
    share: int = 1
    examples: Mapping[str, Sequence[int]] = field(default_factory=dict)


class SensorSample:
    """Which rows of a growing list of sensors are told."""

    def __init__(self) -> None:
        """Begin with all of none."""
        self.share = 1
        self._rows: list[int] = []
        self._looked = 0

    def rows(self, names: Sequence[str], most: int) -> list[int]:
        """At most `most` rows; `names` only grew since the last call. A CRC per new sensor."""
        new = range(self._looked, len(names))
        self._looked = len(names)
        self._rows += [row for row in new if _is_told(names[row], self.share)]
        while len(self._rows) > most and self.share < _LARGEST_SHARE:
            self.share *= 2
            self._rows = [row for row in self._rows if _is_told(names[row], self.share)]
        del self._rows[most:]  # names that were made for it
        return self._rows


def split_sensors(told: Iterable[tuple[int, SensorSpans]]) -> SplitSensors:
    """The sensors that come in several partitions at once, by what the partitions tell.

    Args:
        told: partition and sample; a partition that is handed over may be told by two workers.
    """
    told = list(told)
    share = max((sample.share for _, sample in told), default=1)
    places: dict[str, dict[int, Span]] = defaultdict(dict)
    for partition, sample in told:
        for sensor, span in sample.spans():
            known = places[sensor].get(partition, span)
            places[sensor][partition] = Span(
                min(known.first_ns, span.first_ns), max(known.last_ns, span.last_ns)
            )
    found = {
        sensor: split
        for sensor, spans in places.items()
        if len(spans) > 1 and _is_told(sensor, share) and (split := _at_once(spans))
    }
    examples = {sensor: found[sensor] for sensor in sorted(found)[:MOST_EXAMPLES]}
    return SplitSensors(sensors=len(found) * share, share=share, examples=examples)


def _is_told(sensor: str, share: int) -> bool:
    return not crc32(sensor.encode()) & (share - 1)


def _at_once(spans: Mapping[int, Span]) -> tuple[int, ...]:
    """The partitions that the rule finds, ascending; empty if the sensor is not split."""
    last_at, last = max(spans.items(), key=lambda at: (at[1].last_ns, -at[1].first_ns))
    others = [at for at, span in spans.items() if at != last_at and _share_time(span, last)]
    return tuple(sorted((last_at, *others))) if others else ()


def _share_time(earlier: Span, last: Span) -> bool:
    shared_ns = earlier.last_ns - max(earlier.first_ns, last.first_ns)
    shorter_ns = min(span.last_ns - span.first_ns for span in (earlier, last))
    return shared_ns > 0 and shared_ns >= max(shorter_ns / 2, last.last_ns - earlier.last_ns)
