"""A gateway behind its interface, without a broker: what the tests of `workers.api` ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi.testclient import TestClient

from schemas.settings import GatewaySettings, OidcSettings, Settings
from workers.api.app import create_app
from workers.gateway.gateway import Gateway
from workers.gateway.principals import ANYONE, Scope
from workers.gateway.store import tokens
from workers.gateway.store.database import open_database

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
class Api:
    """An interface to be asked, and what is behind it."""

    client: TestClient
    gateway: Gateway
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


@cache
def _new_database() -> bytes:
    """With all tables: made once, as that takes a while."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        with open_database(f"sqlite:///{path}") as database:
            database.migrate()
            with database.engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


@contextmanager
def opened_gateway(
    folder: Path, *, oidc: OidcSettings | None = None, **gateway: Any
) -> Iterator[Gateway]:
    """A gateway on a new database; nothing runs."""
    path = folder / "vigie.db"
    if not path.exists():
        path.write_bytes(_new_database())
    url = f"sqlite:///{path}"
    settings = Settings(
        gateway=GatewaySettings(**{"database": url, "secret_key": "k" * 32, **gateway}),
        oidc=oidc or OidcSettings(),
    )
    with Gateway.open(settings) as opened:
        yield opened


@contextmanager
def served(folder: Path, *, open_access: bool = False, **gateway: Any) -> Iterator[Api]:
    """The interface of a gateway on a new database."""
    clock = Clock()
    with opened_gateway(folder, **gateway) as behind:
        app = create_app(behind, open_access=open_access, clock=clock)
        with TestClient(app, base_url=BASE_URL, raise_server_exceptions=False) as client:
            yield Api(client, behind, clock)
