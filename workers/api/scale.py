"""`POST /scale`: changing the number of workers over HTTP, from this machine alone.

A page in a browser on this machine is a loopback peer too. It cannot send JSON to another origin
without asking first (which is never answered), and where it has made a name of its own point here,
the `Host` header still says that name: so both are looked at.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from pydantic import ValidationError

from workers.supervision.status import ScaleRequest, ScalingStatus
from workers.supervision.supervisor import Supervisor
from workers.supervision.targets import ScaleRejectedError

MAX_BODY_BYTES: Final = 4096


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


def scale_application(
    supervisor: Supervisor,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Answer `POST /scale` for a supervisor."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            result = scaling_as_json(supervisor.scale(_request(environ)))
            status = HTTPStatus.OK
        except _Rejection as rejection:
            status, result = rejection.status, {"error": rejection.reason}
        except ScaleRejectedError as error:
            status, result = HTTPStatus.CONFLICT, {"error": str(error)}
        start_response(
            f"{status.value} {status.phrase}",
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
        )
        return [json.dumps(result).encode()]

    return application


def _request(environ: WSGIEnvironment) -> ScaleRequest:
    """What a request asks for; raises `_Rejection` if it may not ask, or not so."""
    if environ.get("REQUEST_METHOD") != "POST":
        raise _Rejection(HTTPStatus.METHOD_NOT_ALLOWED, "POST it")
    if not (_is_loopback(environ.get("REMOTE_ADDR", "")) and _is_local(environ)):
        raise _Rejection(
            HTTPStatus.FORBIDDEN,
            "the number of workers is changed from the machine of the run alone, by its own "
            "name (127.0.0.1, localhost)",
        )
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
        raise _Rejection(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it as application/json")
    try:
        length = int(environ.get("CONTENT_LENGTH") or "")
    except ValueError:
        raise _Rejection(HTTPStatus.LENGTH_REQUIRED, "say its length") from None
    if not 0 <= length <= MAX_BODY_BYTES:
        raise _Rejection(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes")
    try:
        return ScaleRequest.model_validate_json(environ["wsgi.input"].read(length))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][:1]) or 'the body'}: {one['msg']}"
            for one in found
        )
        raise _Rejection(
            HTTPStatus.BAD_REQUEST, f'{wrong} (such as {{"ingest": 3}} or "auto")'
        ) from error


def _is_loopback(address: str) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    return (mapped or peer).is_loopback


def _is_local(environ: WSGIEnvironment) -> bool:
    host = environ.get("HTTP_HOST", "")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name == "localhost" or _is_loopback(name)
