"""What every change does beside itself: it is noted, done once, and to what its author saw.

A route that changes something opens one transaction, and `audit` is called in it. With
`OnceOnly` a request that comes again under the same Idempotency-Key gets the answer of the first
time; with `check_if_match` a change of what somebody else changed since is rejected.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from workers.api.problems import ProblemError
from workers.gateway.gateway import Gateway
from workers.gateway.principals import Principal
from workers.gateway.store import idempotency
from workers.gateway.store.audit import record as audit

__all__ = ["Answer", "IfMatch", "OnceOnly", "audit", "check_if_match", "etag_of", "gateway_of"]

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=256, description="ETag of what is to be changed."),
]


def gateway_of(request: Request) -> Gateway:
    """The gateway that is asked."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def etag_of(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def check_if_match(if_match: str | None, version: int) -> None:
    """Let a change pass only if it is of this version.

    Raises:
        ProblemError: nothing is said (428), or another version (412).
    """
    if if_match is None:
        raise ProblemError(
            HTTPStatus.PRECONDITION_REQUIRED, "Say what you change: If-Match with its ETag."
        )
    if etag_of(version) not in [one.strip() for one in if_match.split(",")] and if_match != "*":
        raise ProblemError(
            HTTPStatus.PRECONDITION_FAILED,
            "Somebody changed it since: look at it again.",
            {"ETag": etag_of(version)},
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a change answers with."""

    status: int
    body: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """As it goes out."""
        if self.body is None:
            return Response(status_code=self.status, headers=dict(self.headers))
        return Response(
            self.body.model_dump_json(),
            status_code=self.status,
            headers=dict(self.headers),
            media_type="application/json",
        )


class _UnderWay:
    """Keys of requests that are being answered, by this process."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, key: tuple[str, str]) -> Iterator[None]:
        with self._lock:
            if key in self._keys:
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    "A request with this Idempotency-Key is being answered; ask again.",
                    {"Retry-After": "1"},
                )
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(key)


_UNDER_WAY: Final = _UnderWay()


@dataclass(frozen=True, kw_only=True)
class _Once:
    """A request that may say by a key that it is the same as one before."""

    request: Request
    key: str | None
    digest: str

    def run(self, principal: Principal, change: Callable[[Connection], Answer]) -> Response:
        """Make a change in one transaction, or give the answer of when it was made.

        1. The key is written down; another gateway that has it waits for us here, or we for it.
        2. The change. 3. Its answer, encrypted, beside the key. An error undoes all three, so a
        request that failed can be sent again under its key.

        Args:
            principal: who asks: keys of two are not the same.
            change: what to do in the transaction.

        Raises:
            ProblemError: the key was used for another request (422), or is being used now (409).
        """
        gateway = gateway_of(self.request)
        if self.key is None:
            with gateway.database.begin() as connection:
                return change(connection).response()
        with (
            _UNDER_WAY.holding((principal.id, self.key)),
            gateway.database.begin() as connection,
        ):
            place = idempotency.Place(by=principal.id, key=self.key, request=self.digest)
            if (stored := idempotency.claim(connection, place)) is not None:
                return self._again(stored, gateway.sealer.open)
            response = change(connection).response()
            kept = json.dumps(
                {"headers": dict(response.headers), "body": bytes(response.body).decode()}
            )
            idempotency.fulfil(
                connection, place, response.status_code, gateway.sealer.seal(kept.encode())
            )
            return response

    def _again(self, stored: idempotency.Stored, unseal: Callable[[bytes], bytes]) -> Response:
        if stored.request != self.digest:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "This Idempotency-Key was used for another request: take a new one.",
            )
        kept = json.loads(unseal(stored.body))
        return Response(kept["body"], status_code=stored.status, headers=kept["headers"])


async def _once(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="Makes a request that is sent again do nothing more; kept for a day.",
        ),
    ] = None,
) -> _Once:
    seen = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    seen.update(await request.body())
    return _Once(request=request, key=key, digest=seen.hexdigest())


OnceOnly = Annotated[_Once, Depends(_once)]
"""For routes that make something: `return once.run(principal, change)`."""
