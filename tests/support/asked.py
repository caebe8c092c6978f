"""A gateway that the command line asks: served over HTTP, on SQLite, without a broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.api import opened_gateway
from tests.support.notifications import incident_event
from workers.api.app import create_app
from workers.api.serving import HttpServer, address_of, listening, serving_in_thread
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.gateway.gateway import Gateway
from workers.gateway.intake import take_in
from workers.gateway.principals import ANYONE, Scope
from workers.gateway.store import positions, tokens
from workers.kafka.client import Record

TOPIC: Final = "vigie.incidents"


def whole_event(what: str = "opened", **incident: Any) -> dict[str, Any]:
    """An event of an incident with all that the stream writes, and nothing is left out."""
    source = {"topic": "vigie.readings", "partition": 0, "first_offset": 1, "last_offset": 2}
    more = {"calibration": "1", "group": "pooled", "group_kind": "pooled", "source": source}
    return incident_event(what, **more, **incident)


class Ended(tuple[int, str, str]):
    """How a command ended: its exit code, what it printed, and what it complained of."""

    __slots__ = ()

    @property
    def code(self) -> int:
        return self[0]

    @property
    def out(self) -> str:
        return self[1]

    @property
    def err(self) -> str:
        return self[2]

    @property
    def json(self) -> Any:
        """What it printed for a script."""
        assert self.code == ExitCode.OK, self
        return json.loads(self.out)


@dataclass(frozen=True)
class Asked:
    """A gateway at an address, and the commands that ask it."""

    gateway: Gateway
    url: str
    now_ns: Callable[[], int]
    capsys: pytest.CaptureFixture[str]

    def vigie(self, *arguments: str) -> Ended:
        """Run a command that asks this gateway."""
        return self.run(*arguments, "--url", self.url)

    def run(self, *arguments: str) -> Ended:
        """Run a command."""
        self.capsys.readouterr()
        code = cli.main(arguments)
        return Ended((int(code), *self.capsys.readouterr()))

    def token(self, *scopes: Scope, tenant: str = "") -> str:
        """A new token."""
        with self.gateway.database.begin() as connection:
            return tokens.create(
                connection,
                ANYONE,
                name="tester",
                scopes=scopes,
                tenant=tenant,
                now_ns=self.now_ns(),
                expires_ns=None,
            )[1]

    def happens(self, *documents: Mapping[str, Any]) -> None:
        """Events come in, as from the topic."""
        with self.gateway.database.begin() as connection:
            at = positions.next_offsets(connection, TOPIC)
            begin, now_ns = at.get(0) or 0, self.now_ns()
            kept = take_in(
                connection,
                [
                    Record(TOPIC, 0, begin + i, now_ns // 10**6, b"", json.dumps(one).encode(), ())
                    for i, one in enumerate(documents)
                ],
                topic=TOPIC,
                before={0: at.get(0)},
                outbox=self.gateway.outbox,
                tenant_label="tenant",
                now_ns=now_ns,
            )
            assert not kept.unreadable


@contextmanager
def asked(
    folder: Path, capsys: pytest.CaptureFixture[str], now_ns: Callable[[], int], **gateway: Any
) -> Iterator[Asked]:
    """Serve a gateway on a new database while the block runs; nothing is delivered."""
    bound = listening("127.0.0.1", 0)
    with opened_gateway(folder, **gateway) as behind:
        app = create_app(behind)
        server = HttpServer(app, most_connections=20)
        with serving_in_thread(server, bound, name="asked"):
            yield Asked(behind, address_of(bound, "127.0.0.1"), now_ns, capsys)
