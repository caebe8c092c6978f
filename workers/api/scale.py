"""`POST /scale`: changing the number of workers over HTTP, from this machine alone.

A page in a browser on this machine is a loopback peer too. It cannot send JSON to another origin
without asking first (which is never answered), and where it has made a name of its own point here,
the `Host` header still says that name: so both are looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from workers.api.middleware import is_local_name, is_loopback
from workers.supervision.status import ScaleRequest, ScalingStatus
from workers.supervision.supervisor import Supervisor
from workers.supervision.targets import ScaleRejectedError

MAX_BODY_BYTES: Final = 4096
ALL_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""All but one are answered that they are not allowed."""


class _Rejection(Exception):  # noqa: N818 - an answer, not a failure of ours
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        self.status, self.reason = status, reason


def scaling_as_json(scaling: ScalingStatus) -> dict[str, Any]:
    """How many workers there are and should be, and what was done about it, for JSON."""
    return {
        "partitions": scaling.partitions,
        "ingest": asdict(scaling.ingest),
        "scorers": asdict(scaling.scorers),
        "replaced": [
            {"kind": kind, "reason": reason, "count": count}
            for (kind, reason), count in sorted(scaling.replaced.items())
        ],
        "restarts": sum(scaling.restarts.values()),
        "last_decision": None if scaling.last is None else asdict(scaling.last),
    }


def scale_route(
    supervisor_of: Callable[[], Supervisor | None],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer `POST /scale` for the supervisor that is there; None before there is one."""

    async def scale(request: Request) -> Response:
        try:
            asked, supervisor = await _asked(request), _running(supervisor_of())
            result = scaling_as_json(await run_in_threadpool(supervisor.scale, asked))
            status = HTTPStatus.OK
        except _Rejection as rejection:
            status, result = rejection.status, {"error": rejection.reason}
        except ScaleRejectedError as error:
            status, result = HTTPStatus.CONFLICT, {"error": str(error)}
        return JSONResponse(result, status, {"Cache-Control": "no-store"})

    return scale


def _running(supervisor: Supervisor | None) -> Supervisor:
    if supervisor is None:
        raise _Rejection(HTTPStatus.CONFLICT, "the pipeline starts: ask again when it runs")
    return supervisor


async def _asked(request: Request) -> ScaleRequest:
    """What a request asks for; raises `_Rejection` if it may not ask, or not so."""
    headers = request.headers
    if request.method != "POST":
        raise _Rejection(HTTPStatus.METHOD_NOT_ALLOWED, "POST it")
    peer = request.client.host if request.client is not None else ""
    if not (is_loopback(peer) and is_local_name(headers.get("host", ""))):
        raise _Rejection(
            HTTPStatus.FORBIDDEN,
            "the number of workers is changed from the machine of the run alone, by its own "
            "name (127.0.0.1, localhost)",
        )
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Rejection(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it as application/json")
    try:
        length = int(headers.get("content-length", ""))
    except ValueError:
        raise _Rejection(HTTPStatus.LENGTH_REQUIRED, "say its length") from None
    if not 0 <= length <= MAX_BODY_BYTES:
        raise _Rejection(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes")
    try:
        return ScaleRequest.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][:1]) or 'the body'}: {one['msg']}"
            for one in found
        )
        raise _Rejection(
            HTTPStatus.BAD_REQUEST, f'{wrong} (such as {{"ingest": 3}} or "auto")'
        ) from error
