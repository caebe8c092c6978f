"""A gateway behind its interface, without a broker: what the tests of `workers.api` ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from schemas.settings import GatewaySettings, OidcSettings, Settings
from workers.api.app import create_app
from workers.gateway.principals import ANYONE, Scope
from workers.gateway.sealing import Sealer
from workers.gateway.store import tokens
from workers.gateway.store.database import Database, open_database

BASE_URL = "http://127.0.0.1:8080"
START_NS = 1_800_000_000 * 10**9


class Clock:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def go_on(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class PlainGateway:
    """What routes need of a gateway, and no more."""

    settings: Settings
    database: Database
    sealer: Sealer
    live: None = None
    said: dict[str, Any] = field(default_factory=lambda: {"intake": True})

    def health(self) -> Mapping[str, Any]:
        return self.said


@dataclass
class Api:
    """An interface to be asked, and what is behind it."""

    client: TestClient
    gateway: PlainGateway
    clock: Clock

    def token(
        self,
        *scopes: Scope,
        tenant: str = "",
        name: str = "tester",
        expires_ns: int | None = None,
    ) -> str:
        """A new token."""
        with self.gateway.database.begin() as connection:
            return tokens.create(
                connection,
                ANYONE,
                name=name,
                scopes=scopes,
                tenant=tenant,
                now_ns=self.clock(),
                expires_ns=expires_ns,
            )[1]

    def bearer(self, *scopes: Scope, tenant: str = "", name: str = "tester") -> dict[str, str]:
        """The header of a new token."""
        return {"Authorization": f"Bearer {self.token(*scopes, tenant=tenant, name=name)}"}

    def another_client(self) -> TestClient:
        """One without the cookies of the first."""
        return TestClient(self.client.app, base_url=BASE_URL, raise_server_exceptions=False)


@contextmanager
def opened_gateway(folder: Path, **gateway: Any) -> Iterator[PlainGateway]:
    """A gateway on a new database."""
    settings = Settings(
        gateway=GatewaySettings(database=f"sqlite:///{folder / 'vigie.db'}", **gateway)
    )
    with open_database(settings.gateway.database.get_secret_value()) as database:
        database.migrate()
        yield PlainGateway(settings, database, Sealer(b"k" * 32))


@contextmanager
def served(
    folder: Path, *, open_access: bool = False, oidc: OidcSettings | None = None, **gateway: Any
) -> Iterator[Api]:
    """The interface of a gateway on a new database."""
    clock = Clock()
    with opened_gateway(folder, **gateway) as behind:
        if oidc is not None:
            behind.settings = behind.settings.model_copy(update={"oidc": oidc})
        app = create_app(behind, open_access=open_access, clock=clock)
        with TestClient(app, base_url=BASE_URL, raise_server_exceptions=False) as client:
            yield Api(client, behind, clock)
