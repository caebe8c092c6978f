"""Which open incident mutes another, by the tables of [[inhibit]].

The rules are Alertmanager's. An incident is muted if it matches `target` and an open one matches
`source` while both have the same `equal` labels; two that both lack one have the same. An incident
that matches both sides is not muted by another that does: or two would mute each other.

With `parent`, the muting incident is of a sensor that the label names, or of that one's parent, and
so on. Which sensor is above which gives the direction here, so both may match both sides. Sensors
that are above themselves mute nobody in their circle: or all of it would be silent.

Beside the tables, an open incident about Vigie itself (kind detector) mutes those of the sensors.

Muted or silenced incidents mute others all the same. Whether one that looks like a false alarm does
is up to who adds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from schemas.settings.gateway import Inhibition
from workers.alerts.labels import DETECTOR
from workers.alerts.matchers import LabelMatchers

__all__ = ["MAX_ANCESTORS", "Inhibited", "OpenIncidents"]

MAX_ANCESTORS: Final = 256
"""Most sensors above one that are looked at; with more, no parent mutes it."""

Labels = Mapping[str, str]
ParentOf = Callable[[str, str], str]
Key = TypeVar("Key")


def _unknown(_sensor: str, _label: str) -> str:
    return ""


@dataclass(frozen=True)
class Inhibited:
    """What mutes an incident."""

    by: str
    """The incident that does."""
    reason: str
    """Why, in words."""


@dataclass(frozen=True)
class _Rule:
    """A table, and the open incidents that match its source by their `equal` labels."""

    source: LabelMatchers
    target: LabelMatchers
    equal: tuple[str, ...]
    parent: str
    one_sided: defaultdict[tuple[str, ...], dict[str, None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    two_sided: defaultdict[tuple[str, ...], dict[str, None]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    @classmethod
    def of(cls, table: Inhibition) -> Self:
        if not table.source and not table.parent:
            raise ValueError("a table of [[inhibit]] needs `source` or `parent`")
        return cls(
            source=LabelMatchers.of(table.source),
            target=LabelMatchers.of(table.target),
            equal=tuple(dict.fromkeys(table.equal)),
            parent=table.parent,
        )

    def key(self, labels: Labels) -> tuple[str, ...]:
        """What two incidents have to share."""
        return tuple(labels.get(name, "") for name in self.equal)

    def sources(self, labels: Labels) -> Iterator[str]:
        """Open incidents that may mute one with these labels, which matches the target."""
        key = self.key(labels)
        yield from self.one_sided.get(key, ())
        if not self.source.match(labels):
            yield from self.two_sided.get(key, ())

    def side(self, labels: Labels) -> defaultdict[tuple[str, ...], dict[str, None]]:
        """Where an incident that matches the source is kept."""
        return self.two_sided if self.target.match(labels) else self.one_sided


class OpenIncidents:
    """The incidents that are open now, kept so that what mutes another is found at once.

    Args:
        tables: of [[inhibit]]; the first that mutes an incident is the one that is named.
        parent_of: the sensor above another by a label, for sensors without an open incident; empty
            if there is none or it is not known, which ends the way up.

    Raises:
        ValueError: a table has neither source nor parent, or a regular expression is wrong.
    """

    def __init__(self, tables: Iterable[Inhibition], parent_of: ParentOf = _unknown) -> None:
        self._rules = [_Rule.of(table) for table in tables]
        self._parent_of = parent_of
        self._labels: dict[str, Labels] = {}
        self._of_sensor: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._detector: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._labels

    def add(self, incident_id: str, labels: Labels) -> None:
        """Note that an incident is open, or that its labels are others now."""
        if self._labels.get(incident_id) == labels:
            return
        self.remove(incident_id)
        self._labels[incident_id] = dict(labels)
        if labels.get("kind") == DETECTOR:
            self._detector[incident_id] = None
        self._of_sensor[labels.get("sensor_id", "")][incident_id] = None
        for rule in self._rules:
            if not rule.parent and rule.source.match(labels):
                rule.side(labels)[rule.key(labels)][incident_id] = None

    def remove(self, incident_id: str) -> None:
        """Note that an incident is over; one that is not known is none."""
        labels = self._labels.pop(incident_id, None)
        if labels is None:
            return
        self._detector.pop(incident_id, None)
        _take(self._of_sensor, labels.get("sensor_id", ""), incident_id)
        for rule in self._rules:
            if not rule.parent and rule.source.match(labels):
                _take(rule.side(labels), rule.key(labels), incident_id)

    def inhibiting(self, incident_id: str, labels: Labels) -> Inhibited | None:
        """What mutes an incident; None if nothing does. It may be among the open ones itself."""
        if self._detector and labels.get("kind") != DETECTOR:
            return Inhibited(next(iter(self._detector)), "the detector is not healthy")
        for rule in self._rules:
            if not rule.target.match(labels):
                continue
            if rule.parent:
                found = self._parent(rule, labels)
                why = f"a sensor above it, by the label {rule.parent}, has an incident"
            else:
                found = next((one for one in rule.sources(labels) if one != incident_id), None)
                shared = ", ".join(rule.equal)
                why = "an incident mutes it" + (f" that shares {shared}" if shared else "")
            if found is not None:
                return Inhibited(found, why)
        return None

    def _parent(self, rule: _Rule, labels: Labels) -> str | None:
        """The nearest incident above that mutes one with these labels.

        The way up is walked to its end even behind a find: only then it is known that it does not
        come back to where it began.
        """
        sensor = labels.get("sensor_id", "")
        key = rule.key(labels)
        found: str | None = None
        waiting = [labels.get(rule.parent, "")]
        seen: dict[str, None] = {}
        while waiting:
            above = waiting.pop(0)
            if not above or above in seen:
                continue
            if above == sensor or len(seen) >= MAX_ANCESTORS:
                return None
            seen[above] = None
            incidents = self._of_sensor.get(above, ())
            for incident in incidents:
                own = self._labels[incident]
                if found is None and rule.source.match(own) and rule.key(own) == key:
                    found = incident
                waiting.append(own.get(rule.parent, ""))
            if not incidents:
                waiting.append(self._parent_of(above, rule.parent))
        return found


def _take(kept: defaultdict[Key, dict[str, None]], key: Key, incident_id: str) -> None:
    """Take an incident from what is kept under a key, and the key with the last of it."""
    within = kept[key]
    within.pop(incident_id, None)
    if not within:
        del kept[key]
