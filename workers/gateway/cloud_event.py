"""The CloudEvent in a record, structured or binary."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.verdict import told
from workers.kafka.client import Record

__all__ = ["document_of"]

_PREFIX: Final = "ce_"
_EVENT: Final[TypeAdapter[IncidentEvent | DeedEvent]] = TypeAdapter(IncidentEvent | DeedEvent)


def document_of(record: Record) -> dict[str, Any]:
    """The event of a record of the incidents' topic, as structured JSON.

    Raises:
        ValueError: it is none that is known here, and why.
    """
    try:
        document = json.loads(record.value or b"")
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if b"\\u0000" in (record.value or b""):
        document = _without_nul(document)
    headers = {name: value.decode() for name, value in record.headers if value is not None}
    if "ce_specversion" in headers:
        attributes = {
            name.removeprefix(_PREFIX): value
            for name, value in headers.items()
            if name.startswith(_PREFIX)
        }
        content_type = headers.get("content-type", "application/json")
        document = {**attributes, "datacontenttype": content_type, "data": document}
    try:
        _EVENT.validate_json(json.dumps(document))  # times have another form in Python
    except ValidationError as error:
        raise ValueError(f"no event of an incident: {told(error)}") from error
    found: dict[str, Any] = document
    return found


def _without_nul(value: Any) -> Any:
    """The same with another letter for NUL, which PostgreSQL has in no text."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(one) for key, one in value.items()}
    return [_without_nul(one) for one in value] if isinstance(value, list) else value
