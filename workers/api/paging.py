"""Lists by pages: cursors that say where the last page ended, and what of it is visible."""

from __future__ import annotations

import base64
import json
import math
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Query
from sqlalchemy import ColumnElement, true

from schemas.api.base import MAX_PAGE
from workers.api.problems import ProblemError
from workers.gateway.principals import Principal

__all__ = ["CursorParameter", "LimitParameter", "decode_cursor", "encode_cursor", "own_rows"]

_MAX_CURSOR: Final = 1024
_MAX_INTEGER: Final = 2**63

CursorParameter = Annotated[
    str | None,
    Query(max_length=_MAX_CURSOR, description="Where to go on: `next` of the page before."),
]
LimitParameter = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most entries of the page.")]


def encode_cursor(*at: str | float) -> str:
    """A cursor of the values by which a list is ordered, of the last entry of a page."""
    return base64.urlsafe_b64encode(json.dumps(at).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type[int | str | float]) -> list[Any]:
    """The values of a cursor.

    Args:
        cursor: what a client sent.
        types: of the values; int fits into a column of 64 bits.

    Raises:
        ProblemError: it is none of ours (400).
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        at = None
    if (
        not isinstance(at, list)
        or [type(value) for value in at] != list(types)
        or not all(map(_is_storable, at))
    ):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "The cursor is not one of this list: begin without one."
        )
    return at


def own_rows(principal: Principal, tenant: ColumnElement[str]) -> ColumnElement[bool]:
    """Which rows somebody sees: all, or those of their tenant.

    Args:
        principal: who asks.
        tenant: the column.
    """
    return tenant == principal.tenant if principal.tenant else true()


def _is_storable(value: str | float) -> bool:
    """Whether a column could hold it; a database says the rest with an error of its own."""
    if isinstance(value, str):
        return "\0" not in value and value.isprintable()
    if isinstance(value, int):
        return -_MAX_INTEGER <= value < _MAX_INTEGER
    return math.isfinite(value)
