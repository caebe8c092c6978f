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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Self

from schemas.api.matchers import Filter
from schemas.api.subscriptions import SubscriptionSpec
from workers.alerts.event import AlertEvent
from workers.alerts.filters import exact_texts, passes_all
from workers.alerts.labels import RANKS
from workers.alerts.matchers import LabelMatchers

__all__ = ["Interest", "InterestIndex"]

_MAGIC: Final = re.compile(r"[*?\[]")
"""Characters that make a name a pattern."""


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
        globs = tuple(name for name in kept if _MAGIC.search(name))
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
    """Finds the subscriptions that want an event without asking each.

    Each is filed under something that an event must have to be wanted: a sensor, a subject, the
    rarest text that a label must be, or the fixed beginning or end of a pattern of sensors. What
    has nothing of the kind is filed under the types alone. Only what is found there is asked.
    """

    def __init__(self, interests: Mapping[str, Interest]) -> None:
        self._ids = tuple(interests)
        self._interests = tuple(interests.values())
        self._by_type: defaultdict[str, list[int]] = defaultdict(list)
        """All, for events that are about no sensor."""
        self._anywhere: defaultdict[str, list[int]] = defaultdict(list)
        self._by_subject: defaultdict[str, list[int]] = defaultdict(list)
        self._by_label: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._by_start = _Affixes(lambda text, length: text[:length])
        self._by_end = _Affixes(lambda text, length: text[len(text) - length :])
        common = Counter(
            pair for interest in self._interests for pair in _required(interest.matchers)
        )
        for place, interest in enumerate(self._interests):
            for kind in interest.types:
                self._by_type[kind].append(place)
            self._file(place, interest, common)

    @classmethod
    def of(cls, interests: Mapping[str, Interest]) -> Self:
        """Index interests by the ids of their subscriptions; leave out those not enabled."""
        return cls(interests)

    def wanting(self, event: AlertEvent) -> list[str]:
        """Ids of the subscriptions that want an event, in the order in which they were given."""
        if event.is_of_sensor:
            places: Iterable[int] = sorted(self._candidates(event))
        else:
            places = self._by_type.get(event.type, ())
        return [self._ids[place] for place in places if self._interests[place].wants(event)]

    def _file(self, place: int, interest: Interest, common: Counter[tuple[str, str]]) -> None:
        subject = next(exact_texts(interest.filters, "subject"), None)
        pairs = _required(interest.matchers)
        if subject is not None:
            self._by_subject[subject].append(place)
        elif interest.sensors and not interest.sensors.globs:
            for name in interest.sensors.exact:
                self._by_subject[name].append(place)
        elif pairs:
            self._by_label[min(pairs, key=lambda pair: (common[pair], pair))].append(place)
        elif interest.sensors and all(map(_fixed_ends, interest.sensors.globs)):
            for name in interest.sensors.exact:
                self._by_subject[name].append(place)
            for glob in interest.sensors.globs:
                start, end = _fixed_ends(glob) or ("", "")
                if start:
                    self._by_start.add(start, place)
                else:
                    self._by_end.add(end, place)
        else:
            for kind in interest.types:
                self._anywhere[kind].append(place)

    def _candidates(self, event: AlertEvent) -> set[int]:
        found = set(self._by_subject.get(event.subject, ()))
        found.update(self._anywhere.get(event.type, ()))
        for pair in event.labels.items():
            found.update(self._by_label.get(pair, ()))
        found.update(self._by_start.of(event.subject))
        found.update(self._by_end.of(event.subject))
        return found


def _required(matchers: LabelMatchers) -> Sequence[tuple[str, str]]:
    return [pair for one in matchers.matchers if (pair := one.required) is not None]


def _fixed_ends(glob: str) -> tuple[str, str] | None:
    """What a name that fits the pattern begins and ends with; None if neither is fixed."""
    start = glob[: match.start()] if (match := _MAGIC.search(glob)) else glob
    # A bracket may belong to a set, so that what follows the last `*` is fixed only without one.
    end = "" if "[" in glob or "]" in glob else re.split(r"[*?]", glob)[-1]
    return (start, end) if start or end else None


class _Affixes:
    """Numbers by beginnings, or ends, of names."""

    def __init__(self, cut: Callable[[str, int], str]) -> None:
        self._cut = cut
        self._kept: dict[int, defaultdict[str, list[int]]] = {}

    def add(self, affix: str, place: int) -> None:
        self._kept.setdefault(len(affix), defaultdict(list))[affix].append(place)

    def of(self, name: str) -> Iterator[int]:
        for length, kept in self._kept.items():
            if length <= len(name):
                yield from kept.get(self._cut(name, length), ())
