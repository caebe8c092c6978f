"""What all documents of the interface share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas.wire.limits import MAX_LABEL_NAME_CHARS, MAX_NAME_CHARS

__all__ = [
    "BY_NAME_AND_ALIAS",
    "MAX_NOTE_CHARS",
    "MAX_PAGE",
    "TENANT_PATTERN",
    "Glob",
    "LabelName",
    "Note",
    "Page",
    "PersonName",
    "Request",
    "Response",
    "Seconds",
    "ShortText",
    "Tenant",
    "Text",
    "Time",
    "example",
]

MAX_NOTE_CHARS: Final = 4000
"""Longest note or comment of a person."""
MAX_PAGE: Final = 500
"""Most entries of a page."""
NO_NUL: Final = r"^[^\x00]*$"
TENANT_PATTERN: Final = "^[a-z0-9-]{0,64}$"
"""How tenants are called, wherever one is named."""

_FIRST: Final = datetime(1700, 1, 1, tzinfo=UTC)
_BEHIND: Final = datetime(2262, 1, 1, tzinfo=UTC)


def _in_range(time: datetime) -> datetime:
    if not _FIRST <= time < _BEHIND:
        raise ValueError("a time is one of the years 1700 to 2261")
    return time


Time = Annotated[AwareDatetime, AfterValidator(_in_range)]
"""RFC 3339 with its zone; one that nanoseconds since 1970 can be in 64 bits."""
Text = Annotated[str, Field(pattern=NO_NUL)]
"""Any text but one with a NUL, which no column of PostgreSQL can hold."""
ShortText = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Note = Annotated[Text, Field(max_length=MAX_NOTE_CHARS)]
PersonName = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Glob = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_CHARS)]
"""A name, or a pattern of names with `*`, `?` and `[...]`."""
LabelName = Annotated[Text, Field(min_length=1, max_length=MAX_LABEL_NAME_CHARS)]
Tenant = Annotated[str, Field(pattern=TENANT_PATTERN)]
"""Whose something is; empty is nobody's in particular."""
Seconds = Annotated[float, Field(ge=0, le=366 * 86_400, allow_inf_nan=False)]


class Request(BaseModel):
    """What comes in: an unknown field is an error, as it would be without effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Response(BaseModel):
    """What goes out."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


BY_NAME_AND_ALIAS: Final = ConfigDict(
    validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
)
"""For documents whose names on the wire are not Python's."""

Entry = TypeVar("Entry")


class Page(Response, Generic[Entry]):
    """A part of a list, and the way to the next."""

    items: list[Entry]
    """The entries, in the order of the list."""
    next: str | None = None
    """Cursor of the next page, for `?cursor=`; null at the end."""


def example(*values: Any) -> dict[str, Any]:
    """Examples of a model, as `json_schema_extra` takes them."""
    return {"examples": list(values)}
