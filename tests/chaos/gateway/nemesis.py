"""What harms a run: kills of gateways, of connections to the database, of the servers behind."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.chaos.gateway.serving import Serving
from tests.support.postgres import Postgres
from workers.broker.embedded import EmbeddedBroker

COMMITS: Final = ("_keep", "_keep", "_lease", "_settle_once", "_settle_once", "_step", "")
"""Below which function the commit is, around which a gateway dies; empty is any."""
_OBEYED_S: Final = 10.0
_READY_S: Final = 60.0
_PAST_LEASE_S: Final = (11.0, 25.0)


@dataclass(kw_only=True)
class Nemesis:
    """Harms one thing after another, by chance.

    Attributes:
        postgres: None on SQLite.
        database: its name.
        struck: how often each kind of harm was done.
        at_ns: when.
    """

    rng: Random
    gateways: Sequence[Serving]
    broker: EmbeddedBroker
    postgres: Postgres | None = None
    database: str = ""
    struck: Counter[str] = field(default_factory=Counter)
    at_ns: list[int] = field(default_factory=list)

    def kills(self) -> int:
        """How many kills there were: of gateways, connections, servers."""
        return sum(number for kind, number in self.struck.items() if "stopped" not in kind)

    def strike(self) -> None:
        """Harm something, and see to it that all run again."""
        several = len(self.gateways) > 1
        choices: list[tuple[float, Callable[[], None]]] = [
            (55.0, self._at_a_commit),
            (20.0, self._at_any_moment),
            (8.0, self._while_starting),
            (3.0, self._broker),
            (1.5 if several else 0.5, self._stopped),
            (2.5 if several else 0.0, self._stopped_at_a_commit),
            (4.0 if several else 0.0, self._all),
            (12.0 if self.postgres else 0.0, self._connections),
            (3.0 if self.postgres else 0.0, self._database),
        ]
        weights = [weight for weight, _ in choices]
        self.rng.choices([do for _, do in choices], weights)[0]()
        for one in self.gateways:
            if not one.is_running():
                one.start()
        assert any(one.wait_ready(within_s=_READY_S) for one in self.gateways)

    def _note(self, kind: str) -> None:
        self.struck[kind] += 1
        self.at_ns.append(time.time_ns())

    def _one(self) -> Serving:
        return self.rng.choice(self.gateways)

    def _at_a_commit(self) -> None:
        one, within = self._one(), self.rng.choice(COMMITS)
        when = self.rng.choice(("before", "after"))
        # A commit of what is rare comes late enough.
        skip = 0 if within in {"_keep", "_step"} else self.rng.randint(0, 3)
        one.order(within=within, when=when, skip=skip, number=signal.SIGKILL)
        if one.wait_gone(within_s=_OBEYED_S):
            named = within.strip("_") or "any"
            self._note(f"gateway killed {when} a commit ({named})")
        else:
            one.revoke()
            self._kill(one, "gateway killed")

    def _at_any_moment(self) -> None:
        time.sleep(self.rng.uniform(0, 1.5))
        self._kill(self._one(), "gateway killed")

    def _while_starting(self) -> None:
        one = self._one()
        one.kill()
        self.at_ns.append(time.time_ns())
        one.start()
        time.sleep(self.rng.uniform(0.5, 3.0))
        self._kill(one, "gateway killed while it starts")

    def _all(self) -> None:
        for one in self.gateways:
            one.kill()
        self._note("all gateways killed")

    def _kill(self, one: Serving, kind: str) -> None:
        one.kill()
        self._note(kind)

    def _stopped(self) -> None:
        """Still for longer than a lease lasts, whatever it was at."""
        one = self._one()
        one.signal(signal.SIGSTOP)
        self._note("gateway stopped past its lease")
        self._go_on(one)

    def _stopped_at_a_commit(self) -> None:
        """Still in the middle of a transaction, whose locks others need."""
        one = self._one()
        within = self.rng.choice(("_keep", "_settle_once"))
        one.order(within=within, when="before", skip=0, number=signal.SIGSTOP)
        until_s = time.monotonic() + _OBEYED_S
        while one.is_ordered and time.monotonic() < until_s:
            time.sleep(0.05)
        one.revoke()
        self._note("gateway stopped in a transaction")
        self._go_on(one)

    def _go_on(self, one: Serving) -> None:
        time.sleep(self.rng.uniform(*_PAST_LEASE_S))
        one.signal(signal.SIGCONT)
        self.at_ns.append(time.time_ns())

    def _broker(self) -> None:
        self._note("broker killed")
        self.broker.kill()
        time.sleep(self.rng.uniform(0, 3))
        self.broker.start()
        self.at_ns.append(time.time_ns())

    def _connections(self) -> None:
        assert self.postgres is not None
        time.sleep(self.rng.uniform(0, 1.0))
        self._note("connections to the database ended")
        self.postgres.end_connections(self.database)

    def _database(self) -> None:
        assert self.postgres is not None
        how = self.rng.choice((signal.SIGQUIT, signal.SIGKILL, signal.SIGINT))
        self._note(f"database ended by {how.name}")
        self.postgres.stop(how)
        time.sleep(self.rng.uniform(0, 3))
        self.postgres.start()
        self.at_ns.append(time.time_ns())
