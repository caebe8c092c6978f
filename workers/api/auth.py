"""Who may ask for what: dependencies of routes.

`Reader`, `Operator` and `Administrator` are for the signatures of routes: the route runs only for a
principal that may, and gets it as an argument. The credentials themselves are looked at before
that, by `workers.api.gate`, as requests are counted by who makes them.

A request shows a token (`Authorization: Bearer`), or the cookie of the page; the cookie is sent by
a browser whoever made it ask, so a change needs the session's CSRF token in `X-CSRF-Token` too.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from workers.api.problems import ProblemError
from workers.gateway.principals import ANYONE, Principal, Scope

__all__ = [
    "ANYONE",
    "COOKIE",
    "CSRF_HEADER",
    "SAFE_METHODS",
    "Administrator",
    "Operator",
    "Principal",
    "Reader",
    "Scope",
    "principal_of",
    "require",
    "still_holds",
    "unauthorized",
]

COOKIE: Final = "vigie_session"
CSRF_HEADER: Final = "X-CSRF-Token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
STATE_KEY: Final = "vigie_principal"
"""Where the gate leaves a `Principal`, or the error that the lookup ended with."""
AGAIN_KEY: Final = "vigie_again"
"""Where it leaves the function that says whether the credentials still hold."""

_bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token of `vigie tokens create`, or a JWT."
)
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="session",
    description=f"Of the page, see POST /session; changes need {CSRF_HEADER} too.",
)


def unauthorized(detail: str = "Show a token: Authorization: Bearer vigie_...") -> ProblemError:
    """The error of a request without good credentials."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": 'Bearer realm="vigie"'}
    )


def principal_of(request: Request) -> Principal | None:
    """Who asks; None when the request shows no credentials.

    Raises:
        ProblemError: it shows wrong ones (401).
        DatabaseUnavailableError: nobody can tell.
    """
    found = request.scope.get("state", {}).get(STATE_KEY)
    if isinstance(found, Exception):
        raise found
    return found if isinstance(found, Principal) else None


def still_holds(request: Request) -> Callable[[], bool]:
    """Says, whenever it is asked, whether who asked then may still read; it blocks."""
    found: Callable[[], bool] = request.scope["state"][AGAIN_KEY]
    return found


def require(request: Request, scope: Scope) -> Principal:
    """Who asks, if they may.

    Raises:
        ProblemError: nobody known (401), or they may not (403).
        DatabaseUnavailableError: nobody can tell.
    """
    principal = principal_of(request)
    if principal is None:
        raise unauthorized()
    if not principal.may(scope):
        raise ProblemError(HTTPStatus.FORBIDDEN, f"This needs a token with the scope {scope}.")
    if principal.csrf is not None and request.method not in SAFE_METHODS:
        shown = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(shown.encode(), principal.csrf.encode()):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"A change with a session's cookie needs {CSRF_HEADER}."
            )
    return principal


def _needs(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    async def dependency(
        request: Request,
        _token: Annotated[object, Security(_bearer)],
        _session: Annotated[object, Security(_cookie)],
    ) -> Principal:
        return require(request, scope)

    return dependency


Reader = Annotated[Principal, Depends(_needs(Scope.READ))]
"""May look."""
Operator = Annotated[Principal, Depends(_needs(Scope.OPERATE))]
"""May act."""
Administrator = Annotated[Principal, Depends(_needs(Scope.ADMIN))]
"""May look behind the scenes."""
