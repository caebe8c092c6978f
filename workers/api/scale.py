"""`POST /scale`: changing the number of workers over HTTP, from this machine alone.

A page in a browser on this machine is a loopback peer too. It cannot send JSON to another origin
without asking first (which is never answered), and where it has made a name of its own point here,
the `Host` header still says that name: so both are looked at.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal
from wsgiref.types import StartResponse, WSGIEnvironment

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError, model_validator

from workers.supervision.status import Staffing
from workers.supervision.supervisor import Supervisor
from workers.supervision.targets import ScaleRefusedError

MAX_BODY_BYTES: Final = 4096


class ScaleRequest(BaseModel):
    """What may be asked for; a kind that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ingest: StrictInt | Literal["auto"] | None = None
    scorers: StrictInt | Literal["auto"] | None = None

    @model_validator(mode="after")
    def _something(self) -> ScaleRequest:
        if self.ingest is None and self.scorers is None:
            raise ValueError('name "ingest", "scorers" or both')
        return self


@dataclass(frozen=True, kw_only=True)
class _Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    status: HTTPStatus
    told: str


def staffing_as_json(staffing: Staffing) -> dict[str, Any]:
    """How many workers there are and should be, and what was done about it, for JSON."""
    last = staffing.last
    return {
        "partitions": staffing.partitions,
        **{
            kind: {
                "mode": count.mode.value,
                "target": count.target,
                "actual": count.actual,
                "least": count.least,
                "most": count.most,
            }
            for kind, count in (("ingest", staffing.ingest), ("scorers", staffing.scorers))
        },
        "replaced": [
            {"kind": kind, "reason": reason, "count": count}
            for (kind, reason), count in sorted(staffing.replaced.items())
        ],
        "restarts": sum(staffing.restarts.values()),
        "last_decision": None
        if last is None
        else {
            "at": last.at,
            "kind": last.kind,
            "before": last.before,
            "target": last.target,
            "text": last.text,
        },
    }


def scale_application(
    supervisor: Supervisor,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Answer `POST /scale` for a supervisor."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            asked = _request(environ)
            result = staffing_as_json(supervisor.scale(ingest=asked.ingest, scorers=asked.scorers))
            status = HTTPStatus.OK
        except _Refusal as refusal:
            status, result = refusal.status, {"error": refusal.told}
        except ScaleRefusedError as error:
            status, result = HTTPStatus.CONFLICT, {"error": str(error)}
        start_response(
            f"{status.value} {status.phrase}",
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
        )
        return [json.dumps(result).encode()]

    return application


def _request(environ: WSGIEnvironment) -> ScaleRequest:
    """What a request asks for.

    Raises:
        _Refusal: it may not ask, or not so.
    """
    if environ.get("REQUEST_METHOD") != "POST":
        raise _Refusal(status=HTTPStatus.METHOD_NOT_ALLOWED, told="POST it")
    if not (_is_loopback(environ.get("REMOTE_ADDR", "")) and _is_local(environ)):
        raise _Refusal(
            status=HTTPStatus.FORBIDDEN,
            told="the number of workers is changed from the machine of the run alone, by its own "
            "name (127.0.0.1, localhost)",
        )
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
        raise _Refusal(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, told="send it as application/json")
    try:
        length = int(environ.get("CONTENT_LENGTH") or "")
    except ValueError:
        raise _Refusal(status=HTTPStatus.LENGTH_REQUIRED, told="say its length") from None
    if not 0 <= length <= MAX_BODY_BYTES:
        raise _Refusal(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told=f"at most {MAX_BODY_BYTES} bytes"
        )
    try:
        return ScaleRequest.model_validate_json(environ["wsgi.input"].read(length))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'][:1]) or 'the body'}: {one['msg']}"
            for one in found
        )
        raise _Refusal(
            status=HTTPStatus.BAD_REQUEST, told=f'{told} (such as {{"ingest": 3}} or "auto")'
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
