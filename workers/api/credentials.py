"""From what a request shows to who asks: tokens of ours, of an identity provider, cookies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from workers.api.auth import unauthorized
from workers.api.oidc import IdentityProvider
from workers.gateway.principals import Principal
from workers.gateway.store import sessions, tokens
from workers.gateway.store.database import Database, DatabaseUnavailableError
from workers.gateway.store.tokens import Identity

__all__ = ["Credentials"]

_WRONG: Final = "The token is unknown, expired or revoked."


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Looks up who asks; each call may block.

    Every request is looked up anew, so that a revocation holds at once.

    Attributes:
        database: with the tokens and sessions.
        provider: issues tokens beside ours; None if there is none.
        clock: nanoseconds since 1970.
    """

    database: Database
    provider: IdentityProvider | None
    clock: Callable[[], int]

    def of_token(self, token: str) -> Identity:
        """Who shows a token.

        Raises:
            ProblemError: it is not good (401).
            DatabaseUnavailableError: nobody can tell.
        """
        if not token.startswith(tokens.PREFIX):
            if self.provider is None:
                raise unauthorized(_WRONG)
            return self.provider.identity_of(token)
        now_ns = self.clock()
        with self.database.read() as connection:
            row = tokens.find(connection, token, now_ns)
        if row is None:
            raise unauthorized(_WRONG)
        if tokens.is_stale(row, now_ns):
            self._touch(row.id, now_ns)
        return tokens.identity_of(row)

    def of_cookie(self, cookie: str) -> Principal:
        """Who shows the cookie of a session.

        Raises:
            ProblemError: it is over (401).
            DatabaseUnavailableError: nobody can tell.
        """
        now_ns = self.clock()
        with self.database.read() as connection:
            session = sessions.find(connection, cookie, now_ns)
        if session is None:
            raise unauthorized("The session is over: log in again.")
        if session.is_stale and session.identity.token_id is not None:
            self._touch(session.identity.token_id, now_ns)
        return session.identity.principal

    def _touch(self, token_id: str, now_ns: int) -> None:
        try:
            with self.database.begin() as connection:
                tokens.touch(connection, token_id, now_ns)
        except DatabaseUnavailableError:  # who may look is not kept from it by who writes
            structlog.get_logger("vigie.api").warning("token_use_not_noted", token=token_id)
