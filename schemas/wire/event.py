"""CloudEvents 1.0 on the topic of the incidents: what happened to one, and wishes that hold."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from schemas.wire.deed import Deed
from schemas.wire.fields import Name, WireModel
from schemas.wire.incident import Incident

INCIDENT_SCHEMA: Final = "urn:vigie:schema:incident:v1"
DEED_SCHEMA: Final = "urn:vigie:schema:deed:v1"


class _Event(WireModel):
    """The attributes that all have.

    Repeats (at least once) carry the same id.
    """

    specversion: Literal["1.0"] = "1.0"
    """Of CloudEvents."""
    id: Annotated[str, Field(min_length=1, max_length=600)]
    """The same after every restart: who reads may drop what has an id that it has seen."""
    source: Annotated[str, Field(min_length=1, max_length=1000)]
    """/vigie/ and the consumer group."""
    subject: Name
    """The sensor."""
    time: Annotated[str, Field(max_length=40)]
    """Event time of the reading at which it happened, RFC 3339."""
    datacontenttype: Literal["application/json"] = "application/json"
    """Of the data."""
    partitionkey: Name
    """The sensor."""

    def attributes(self) -> dict[str, Any]:
        """All but the data, as they are written; for the binary mode."""
        return self.model_dump(mode="json", exclude={"data"})


class IncidentEvent(_Event):
    """An incident opened, went on, or ended; its id is the incident's and the sequence."""

    type: Literal["incident.opened", "incident.updated", "incident.resolved"]
    """What happened."""
    dataschema: Literal["urn:vigie:schema:incident:v1"] = INCIDENT_SCHEMA
    """Of the data."""
    sequence: Annotated[str, Field(pattern="^[0-9]{10}$")]
    """Number of the event in its incident, from 0000000001 on."""
    data: Incident
    """The incident as it is then."""


class DeedEvent(_Event):
    """A wish holds for a sensor, or holds no more."""

    type: Literal["wish.heeded", "wish.withdrawn"]
    """What happened."""
    dataschema: Literal["urn:vigie:schema:deed:v1"] = DEED_SCHEMA
    """Of the data."""
    data: Deed
    """From where on."""
