"""Sessions of the page: a token is shown once, and a cookie that no script can read stands for it.

The cookie is sent to this gateway alone (`SameSite=Strict`), over TLS alone where there is TLS.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from schemas.api.access import SessionRequest, SessionView
from workers.api.auth import COOKIE, Principal, Reader, unauthorized
from workers.api.problems import RESPONSES
from workers.gateway.store import sessions
from workers.gateway.store.times import as_time

router = APIRouter(prefix="/session", tags=["session"], responses=RESPONSES)


@router.post("", operation_id="begin_session", status_code=201)
def begin(
    asked: SessionRequest,
    request: Request,
    response: Response,
    cookie: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> SessionView:
    """Log in to the page; a session of before ends."""
    state = request.app.state
    token = asked.token.get_secret_value()
    if not token.isascii():
        raise unauthorized("The token is unknown, expired or revoked.")
    identity = state.credentials.of_token(token)
    now_ns = state.clock()
    with state.gateway.database.begin() as connection:
        sessions.prune(connection, now_ns=now_ns)
        if cookie:
            sessions.end(connection, cookie)
        made, principal, expires_ns = sessions.create(connection, identity, now_ns)
    response.set_cookie(
        COOKIE,
        made,
        max_age=max((expires_ns - now_ns) // 10**9, 0),
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return _view(principal).model_copy(update={"expires_at": as_time(expires_ns)})


@router.get("", operation_id="session")
async def show(request: Request, principal: Reader) -> SessionView:
    """Who is logged in, and what changes have to send."""
    return _view(principal, open_access=request.app.state.open_access)


@router.delete("", operation_id="end_session", status_code=204)
def end(
    request: Request,
    _principal: Reader,
    response: Response,
    cookie: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> None:
    """Log out."""
    if cookie:
        with request.app.state.gateway.database.begin() as connection:
            sessions.end(connection, cookie)
    response.delete_cookie(
        COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
    )


def _view(principal: Principal, *, open_access: bool = False) -> SessionView:
    return SessionView(
        name=principal.name,
        scopes=sorted(principal.scopes),
        tenant=principal.tenant,
        csrf=principal.csrf,
        open_access=open_access,
    )


def _is_secure(request: Request) -> bool:
    url = request.app.state.gateway.settings.gateway.url
    return request.url.scheme == "https" or url.startswith("https://")
