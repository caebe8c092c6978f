"""Who asks, and what they may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["ANYONE", "Principal", "Scope"]


class Scope(StrEnum):
    """What a token is good for; each holds those before it."""

    READ = "read"
    """See incidents, sensors, subscriptions without their secrets."""
    OPERATE = "operate"
    """Acknowledge, silence, give verdicts, change subscriptions."""
    ADMIN = "admin"
    """See the audit log and what only those who run Vigie need."""

    def __init__(self, _value: str) -> None:
        """Number the scopes in the order above."""
        self.rank = len(type(self).__members__)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks.

    Attributes:
        name: for people: in the audit log, beside an acknowledgement.
        scopes: what they may.
        tenant: whose rows they see; empty sees all.
        id: what tells them from all others, whatever their name: requests are counted by it.
        csrf: what the page has to send with each change; None when no cookie is involved.
    """

    name: str
    scopes: frozenset[Scope]
    tenant: str = ""
    id: str
    csrf: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether one of the scopes holds this one."""
        return any(own.rank >= scope.rank for own in self.scopes)


ANYONE: Final = Principal(name="anyone", scopes=frozenset({Scope.ADMIN}), id="anyone")
"""Of a gateway without tokens."""
