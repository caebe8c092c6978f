"""What holds notifications back now: silences and inhibitions, as the database has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from schemas.settings.gateway import Inhibition
from workers.alerts.event import AlertEvent
from workers.alerts.inhibition import Inhibited, OpenIncidents
from workers.alerts.matchers import LabelMatchers
from workers.alerts.muting import Circumstances
from workers.gateway.store.incidents import labels_of, open_rows
from workers.gateway.store.silences import active_silences
from workers.stream.sensor_labels import LabelsOf, no_labels

__all__ = [
    "CircumstancesReader",
    "compiled_silences",
    "silences_for",
    "silences_for_labels",
]

_Silence = tuple[str, str, LabelMatchers]


class CircumstancesReader:
    """Reads what holds at the time of a transaction."""

    def __init__(self, inhibitions: Sequence[Inhibition], labels_of: LabelsOf = no_labels) -> None:
        """With the tables of `[[inhibit]]`, and the labels of sensors that have no incident."""
        self._inhibitions, self._labels_of = tuple(inhibitions), labels_of

    def read(self, connection: Connection, *, now_ns: int) -> Circumstances:
        """What holds now, open incidents of this transaction included."""
        silences = compiled_silences(connection, now_ns=now_ns)
        going_on = self._open_incidents(connection)

        def silenced_by(event: AlertEvent, tenant: str) -> str | None:
            return next(iter(silences_for(silences, event, tenant)), None)

        def inhibited_by(event: AlertEvent) -> Inhibited | None:
            if event.incident_id is None:
                return None
            return going_on.inhibiting(event.incident_id, event.labels)

        return Circumstances(now_ns=now_ns, silenced_by=silenced_by, inhibited_by=inhibited_by)

    def _open_incidents(self, connection: Connection) -> OpenIncidents:
        # Without tables only incidents of the detector itself mute others: there are few.
        going_on = OpenIncidents(
            self._inhibitions,
            parent_of=lambda sensor, label: self._labels_of(sensor).get(label, ""),
        )
        kinds = None if self._inhibitions else ("detector",)
        for row in open_rows(connection, kinds=kinds):
            going_on.add(row.id, labels_of(row))
        return going_on


def compiled_silences(connection: Connection, *, now_ns: int) -> list[_Silence]:
    """The silences that hold now: id, tenant, matchers."""
    return [
        (id_, tenant, LabelMatchers.of(matchers))
        for id_, tenant, matchers in active_silences(connection, now_ns=now_ns)
    ]


def silences_for(silences: Sequence[_Silence], event: AlertEvent, tenant: str) -> list[str]:
    """Ids of the silences that hold for an event; one of a tenant silences its own alone."""
    if event.incident_id is None:
        return []
    return silences_for_labels(silences, event.labels, tenant)


def silences_for_labels(
    silences: Sequence[_Silence], labels: Mapping[str, str], tenant: str
) -> list[str]:
    """The same by the labels of an incident."""
    return [
        id_ for id_, owner, matchers in silences if owner in {"", tenant} and matchers.match(labels)
    ]
