"""Which subscriptions want an event, and an index that finds them among many.

What holds a notification back for a while (hours, silences, suppression) is not asked here.

Filters and matchers mean what they say of every event: where it has no such attribute or label,
they see none. `sensors`, `channels`, `min_severity` and `min_score` are about incidents of sensors:
an event about none, such as `detector.unhealthy` or `subscription.disabled`, is wanted by whoever
named its type, as the watch over the sensors depends on it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Self

from schemas.api.matchers import Filter
from schemas.api.subscriptions import SubscriptionSpec
from workers.alerts.event import AlertEvent
from workers.alerts.filters import passes_all
from workers.alerts.labels import RANKS
from workers.alerts.matchers import LabelMatchers
from workers.alerts.requirements import (
    MAGIC,
    SUBJECT,
    Fit,
    Key,
    Requirement,
    of_filters,
    of_globs,
    of_matchers,
)

__all__ = ["Interest", "InterestIndex"]


@dataclass(frozen=True)
class _Names:
    """Names, or patterns of them; a name that reads like a pattern is also itself."""

    exact: frozenset[str]
    globs: tuple[str, ...]
    pattern: re.Pattern[str] | None
    """All the globs. Those of fnmatch do not backtrack into what a `*` took."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        kept = tuple(dict.fromkeys(names))
        globs = tuple(name for name in kept if MAGIC.search(name))
        pattern = re.compile("|".join(map(translate, globs))) if globs else None
        return cls(frozenset(kept), globs, pattern)

    def __bool__(self) -> bool:
        return bool(self.exact)

    def has(self, name: str) -> bool:
        return name in self.exact or (
            self.pattern is not None and self.pattern.match(name) is not None
        )


@dataclass(frozen=True)
class Interest:
    """What a subscription wants to be told of."""

    types: frozenset[str]
    filters: tuple[Filter, ...]
    matchers: LabelMatchers
    sensors: _Names
    channels: _Names
    min_rank: int
    """Least severity as a number; 0 is any."""
    min_score: float | None

    @classmethod
    def of(cls, spec: SubscriptionSpec) -> Self:
        """What a subscription wants.

        Raises:
            ValueError: a regular expression of a matcher is not one of RE2, or too large.
        """
        return cls(
            types=frozenset(str(kind) for kind in spec.types),
            filters=spec.filters,
            matchers=LabelMatchers.of(spec.matchers),
            sensors=_Names.of(spec.sensors),
            channels=_Names.of(spec.channels),
            min_rank=RANKS[spec.min_severity] if spec.min_severity is not None else 0,
            min_score=spec.min_score,
        )

    def wants(self, event: AlertEvent) -> bool:
        """Whether it wants to be told of an event."""
        return (
            event.type in self.types
            and (not event.is_of_sensor or self._takes(event))
            and self.matchers.match(event.labels)
            and passes_all(self.filters, event.attributes)
        )

    def _takes(self, event: AlertEvent) -> bool:
        if self.min_rank and (event.severity is None or RANKS[event.severity] < self.min_rank):
            return False
        if self.min_score is not None and (event.peak is None or not event.peak >= self.min_score):
            return False
        if self.sensors and not self.sensors.has(event.subject):
            return False
        return not self.channels or any(self.channels.has(name) for name in event.channels)


class InterestIndex:
    """Finds the subscriptions that want an event without asking each. Not for several threads.

    Each is filed under a requirement (`workers.alerts.requirements`): its sensors, or the rarest of
    its labels, or what a name begins or ends with. What has no requirement is filed under its types
    alone. Only what is found there is asked.
    """

    def __init__(self) -> None:
        self._interests: dict[str, Interest] = {}
        self._places: dict[str, int] = {}
        """Numbers of the subscriptions, in the order in which they came."""
        self._ids: dict[int, str] = {}
        self._next_place = 0
        self._by_type: defaultdict[str, set[int]] = defaultdict(set)
        """All, for events that are about no sensor."""
        self._anywhere: defaultdict[str, set[int]] = defaultdict(set)
        self._filed: defaultdict[str, _Texts] = defaultdict(_Texts)
        """By names of labels."""
        self._filed_under: dict[int, Requirement] = {}
        self._common: Counter[Key] = Counter()
        """How many ask for a key."""

    @classmethod
    def of(cls, interests: Mapping[str, Interest]) -> Self:
        """Index interests by the ids of their subscriptions; leave out those not enabled."""
        index = cls()
        required = {id_: _requirements(interest) for id_, interest in interests.items()}
        for options in required.values():
            index._count(options, 1)
        for id_, interest in interests.items():
            index._file(id_, interest, required[id_])
        return index

    def put(self, id_: str, interest: Interest) -> None:
        """Take a subscription in, or what it is now; one that was there keeps its place."""
        place = self._places.get(id_)
        self.remove(id_)
        options = _requirements(interest)
        self._count(options, 1)
        self._file(id_, interest, options, place)

    def remove(self, id_: str) -> None:
        """Leave a subscription out; one that is not there is none."""
        interest = self._interests.pop(id_, None)
        if interest is None:
            return
        self._count(_requirements(interest), -1)
        place = self._places.pop(id_)
        del self._ids[place]
        for key in self._filed_under.pop(place):
            self._filed[key.name].remove(key, place)
        for kind in interest.types:
            self._by_type[kind].discard(place)
            self._anywhere[kind].discard(place)

    def wanting(self, event: AlertEvent) -> list[str]:
        """Ids of the subscriptions that want an event, in the order in which they came."""
        if event.is_of_sensor:
            places = self._candidates(event)
        else:
            places = self._by_type.get(event.type, set())
        ids = [self._ids[place] for place in sorted(places)]
        return [id_ for id_ in ids if self._interests[id_].wants(event)]

    def _count(self, options: Iterable[Requirement], step: int) -> None:
        for option in options:
            for key in option:
                self._common[key] += step
                if not self._common[key]:
                    del self._common[key]

    def _file(
        self, id_: str, interest: Interest, options: list[Requirement], place: int | None = None
    ) -> None:
        if place is None:
            place = self._next_place
            self._next_place += 1
        self._interests[id_] = interest
        self._places[id_] = place
        self._ids[place] = id_
        for kind in interest.types:
            self._by_type[kind].add(place)
        chosen = min(options, key=self._width, default=())
        self._filed_under[place] = chosen
        for key in chosen:
            self._filed[key.name].add(key, place)
        if not options:
            for kind in interest.types:
                self._anywhere[kind].add(place)

    def _width(self, option: Requirement) -> tuple[Fit, bool, int]:
        """How much a requirement lets through; a guess, by how many ask for the same."""
        return (
            max(key.fit for key in option),
            any(key.name != SUBJECT for key in option),
            max(self._common[key] for key in option),
        )

    def _candidates(self, event: AlertEvent) -> set[int]:
        found = set(self._anywhere.get(event.type, ()))
        for name, text in ((SUBJECT, event.subject), *event.labels.items()):
            filed = self._filed.get(name)
            if filed is not None:
                filed.collect(text, found)
        return found


def _requirements(interest: Interest) -> list[Requirement]:
    found = [*of_filters(interest.filters), *of_matchers(interest.matchers.matchers)]
    if interest.sensors:
        sensors = of_globs(sorted(interest.sensors.exact), interest.sensors.globs)
        found += [sensors] if sensors else []
    return found


class _Texts:
    """Numbers by texts, by beginnings and by ends of texts."""

    def __init__(self) -> None:
        self._equal: dict[str, set[int]] = {}
        # By the length first: a text is cut once for each length that there is.
        self._starts: dict[int, dict[str, set[int]]] = {}
        self._ends: dict[int, dict[str, set[int]]] = {}

    def add(self, key: Key, place: int) -> None:
        self._kept(key).setdefault(key.text, set()).add(place)

    def remove(self, key: Key, place: int) -> None:
        kept = self._kept(key)
        places = kept.get(key.text, set())
        places.discard(place)
        if not places:
            kept.pop(key.text, None)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the numbers of all that the text fits."""
        found.update(self._equal.get(text, ()))
        for length, starts in self._starts.items():
            found.update(starts.get(text[:length], ()))
        for length, ends in self._ends.items():
            found.update(ends.get(text[-length:], ()))

    def _kept(self, key: Key) -> dict[str, set[int]]:
        if key.fit is Fit.EQUAL:
            return self._equal
        affixes = self._starts if key.fit is Fit.START else self._ends
        return affixes.setdefault(len(key.text), {})
