"""Errors as answers: problem details (RFC 9457), the same form for all.

What a client did wrong is said, without what it sent: that may hold a secret. What went wrong here
is logged, and the answer says no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi import Response as HttpResponse
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from schemas.api.base import Response
from workers.errors import BrokerUnavailableError
from workers.gateway.store.database import DatabaseUnavailableError

__all__ = ["RESPONSES", "Problem", "ProblemError", "install", "problem_response"]

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = "5"
_MAX_ERRORS: Final = 20


class FieldProblem(Response):
    """One thing that is wrong with a request."""

    pointer: str
    """Where: in, then the path, with slashes between."""
    detail: str
    """What."""


class Problem(Response):
    """Problem details (RFC 9457)."""

    type: str = "about:blank"
    """The status says what kind it is."""
    title: str
    """The status in words."""
    status: int
    """The status."""
    detail: str = ""
    """What went wrong, for people."""
    errors: list[FieldProblem] = Field(default_factory=list)
    """What is wrong with the request, field by field."""


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "What went wrong.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}
"""For every router: `APIRouter(responses=RESPONSES)`."""


class ProblemError(HTTPException):
    """Ends a request with problem details; the detail is for people, and holds no secret."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def problem_response(
    status: int,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> HttpResponse:
    """The answer with problem details."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    problem = Problem(title=title, status=status, detail=detail, errors=errors or [])
    return JSONResponse(
        problem.model_dump(exclude_defaults=True) | {"type": problem.type},
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Make every error of an application problem details."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for unavailable in (DatabaseUnavailableError, PoolTimeoutError):
        app.add_exception_handler(unavailable, _no_database)
    app.add_exception_handler(BrokerUnavailableError, _no_broker)


def _http(_request: Request, error: Exception) -> HttpResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail if isinstance(error.detail, str) else ""
    return problem_response(error.status_code, detail, error.headers)


def _invalid(_request: Request, error: Exception) -> HttpResponse:
    assert isinstance(error, RequestValidationError)
    found = [
        FieldProblem(pointer="/".join(str(part) for part in one["loc"]), detail=one["msg"])
        for one in error.errors()[:_MAX_ERRORS]
    ]
    return problem_response(
        HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not as the API wants it.", errors=found
    )


def _no_database(_request: Request, _error: Exception) -> HttpResponse:
    return problem_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database does not answer; ask again.",
        {"Retry-After": _RETRY_AFTER_S},
    )


def _no_broker(_request: Request, _error: Exception) -> HttpResponse:
    return problem_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The Kafka broker does not answer; ask again.",
        {"Retry-After": _RETRY_AFTER_S},
    )
