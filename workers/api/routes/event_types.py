"""What may happen, with JSON Schemas of its data."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from schemas.api.base import Response
from schemas.api.subscriptions import EventType
from schemas.wire.deed import Deed
from schemas.wire.incident import Incident
from workers.api.auth import Reader
from workers.api.problems import RESPONSES, ProblemError

router = APIRouter(prefix="/v1/event-types", tags=["event types"], responses=RESPONSES)

_TOLD: Final = {
    EventType.OPENED: "An incident opened.",
    EventType.UPDATED: "An incident goes on, and became worse or longer.",
    EventType.RESOLVED: "An incident is over: in the stream, or because somebody said so.",
    EventType.ACKNOWLEDGED: "Somebody looks after an incident.",
    EventType.UNACKNOWLEDGED: "Nobody looks after an incident any more.",
    EventType.COMMENTED: "Somebody left a note on an incident.",
    EventType.UNHEALTHY: "The detector does not do its work: nobody reads, or it is far behind.",
    EventType.HEALTHY: "The detector does its work again.",
    EventType.DISABLED: "A subscription was disabled: nothing could be delivered to it.",
    EventType.DIGEST: "Notifications were held back by a cap; how many.",
    EventType.TEST: "Somebody tries a subscription.",
}
_INCIDENTS: Final = frozenset(
    {
        EventType.OPENED,
        EventType.UPDATED,
        EventType.RESOLVED,
        EventType.ACKNOWLEDGED,
        EventType.UNACKNOWLEDGED,
        EventType.COMMENTED,
        EventType.TEST,
    }
)


class EventTypeView(Response):
    """A type of event."""

    type: str
    """Its name."""
    description: str
    """When it comes."""
    data_schema: dict[str, Any]
    """JSON Schema of the `data` of its CloudEvent."""


@router.get("", operation_id="list_event_types")
def list_event_types(_principal: Reader) -> list[EventTypeView]:
    """All types."""
    return [_view(one) for one in EventType] + [_deed("wish.heeded"), _deed("wish.withdrawn")]


@router.get("/{name}", operation_id="get_event_type")
def get_event_type(name: str, principal: Reader) -> EventTypeView:
    """One type."""
    for one in list_event_types(principal):
        if one.type == name:
            return one
    raise ProblemError(404, "There is no such type of events: see /v1/event-types.")


def _view(type_: EventType) -> EventTypeView:
    schema = Incident.model_json_schema() if type_ in _INCIDENTS else _SCHEMAS[type_]
    return EventTypeView(type=type_.value, description=_TOLD[type_], data_schema=schema)


def _deed(name: str) -> EventTypeView:
    what = "holds" if name == "wish.heeded" else "holds no more"
    return EventTypeView(
        type=name,
        description=f"A wish, such as a verdict, {what} for a sensor.",
        data_schema=Deed.model_json_schema(),
    )


def _object(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": type_} for name, type_ in properties.items()},
        "required": list(properties),
    }


_DETECTOR: Final = _object(id="string", kind="string", sensor_id="string", reason="string")
_SCHEMAS: Final = {
    EventType.UNHEALTHY: _DETECTOR,
    EventType.HEALTHY: _DETECTOR,
    EventType.DISABLED: _object(subscription="string", name="string", reason="string"),
    EventType.DIGEST: _object(
        subscription="string", name="string", suppressed="integer", sensors="array"
    ),
}
