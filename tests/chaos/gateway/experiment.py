"""A run: everybody at work, kills, an end in peace, and the judges."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
from sqlalchemy import func, select, update

from tests.chaos.gateway.judges import Evidence, Kept, Request, judge
from tests.chaos.gateway.nemesis import Nemesis
from tests.chaos.gateway.nursery import ROOT, Nursery
from tests.chaos.gateway.serving import Serving
from tests.chaos.gateway.subscribers import SUBSCRIBERS
from tests.chaos.gateway.writer import Writer
from tests.chaos.violations import Violation, found
from tests.support.broker import QUICK_START, read_settled
from tests.support.postgres import postgres_running
from workers.broker.embedded import BrokerConfig, EmbeddedBroker
from workers.broker.ports import free_port
from workers.gateway.sealing import Sealer
from workers.gateway.store import positions, subscriptions
from workers.gateway.store.database import Database, DatabaseUnavailableError, open_database
from workers.gateway.store.tables import attempts, deliveries, events, groups, incidents
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

TOPIC: Final = "vigie.incidents"
KEY: Final = "a key of a run that nobody keeps"
SECRET: Final = "whsec_" + "Y2hhb3MgY2hhb3MgY2hhb3MgY2hhb3M="
_PARTITIONS: Final = 3
_SETTLE_S: Final = 240.0
_LONG_NS: Final = 8 * 10**9
"""A delivery that waits longer than this when all is over is made due: it failed more than once."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        kills: until there were so many; 0 is a run in peace, of `seconds`.
        per_s: events a second.
        plant: a bug in the gateways; see `tests.chaos.gateway.plants`.
    """

    kills: int
    seed: int
    database: str = "sqlite"
    gateways: int = 1
    per_s: float = 15.0
    seconds: float = 10.0
    plant: str = ""

    @property
    def command(self) -> str:
        """Does it again."""
        plant = f" --plant {self.plant}" if self.plant else ""
        return (
            f"python -m tests.chaos.gateway --kills {self.kills} --seed {self.seed} --database "
            f"{self.database} --gateways {self.gateways} --rate {self.per_s:g}{plant}"
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of it."""

    plan: Plan
    machine: str
    seconds: float
    settled_s: float | None
    struck: Mapping[str, int]
    kills: int
    counts: Mapping[str, int]
    violations: Sequence[Violation]

    @property
    def good(self) -> bool:
        """Whether every promise was kept, and all was told in time."""
        return not self.violations

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.plan.command}"
        yield f"{self.machine}; {self.seconds:.0f} s, {self.kills} kills"
        yield from (f"  {number:5} {kind}" for kind, number in sorted(self.struck.items()))
        yield from (f"{number:8} {what}" for what, number in self.counts.items())
        yield "all kept" if self.good else "VIOLATED:"
        yield from (f"  {one}" for one in self.violations)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


@contextmanager
def _receiver(folder: Path) -> Iterator[tuple[str, Path]]:
    port, file = free_port(), folder / "requests.jsonl"
    file.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.gateway.receiver", str(port), str(file)], cwd=ROOT
    )
    try:
        yield f"http://127.0.0.1:{port}", file
    finally:
        process.kill()
        process.wait()


@contextmanager
def _gateways(
    plan: Plan, folder: Path, broker: EmbeddedBroker, url: str
) -> Iterator[list[Serving]]:
    settings = f"""
[kafka]
bootstrap = "{broker.bootstrap}"
[topics]
incidents = "{TOPIC}"
[gateway]
database = "{url}"
secret_key = "{KEY}"
allow_targets = ["127.0.0.0/8"]
live = "off"
deliver_timeout_s = 2.0
unhealthy_after_s = 86400
"""
    nursery = Nursery()
    serving = [
        Serving(nursery, folder / f"gateway-{number}", settings, plant=plan.plant)
        for number in range(plan.gateways)
    ]
    try:
        for one in serving:
            one.start()
        yield serving
    finally:
        nursery.close()


def run(plan: Plan, folder: Path) -> Report:
    """Do it."""
    began_s = time.monotonic()
    with ExitStack() as stack:
        config = BrokerConfig(port=free_port(), data=folder / "broker", jvm_options=QUICK_START)
        broker = stack.enter_context(config.open())
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=60.0)
        admin_of(connection).create_topics([TopicSpec(name=TOPIC, partitions=_PARTITIONS)])
        postgres, name, url = None, "", f"sqlite:///{folder / 'vigie.db'}"
        if plan.database == "postgres":
            postgres = stack.enter_context(postgres_running())
            name = postgres.create_database()
            url = postgres.url(name)
        database = stack.enter_context(open_database(url))
        database.migrate()
        receiver, requests = stack.enter_context(_receiver(folder))
        names = _subscribe(database, receiver)
        gateways = stack.enter_context(_gateways(plan, folder, broker, url))
        writer = Writer(connection, TOPIC, seed=plan.seed, per_s=plan.per_s)
        writer.start()
        nemesis = Nemesis(
            rng=Random(plan.seed + 1),
            gateways=gateways,
            broker=broker,
            postgres=postgres,
            database=name,
        )
        _harm(plan, nemesis)
        assert writer.is_alive(), "the writer has ended"
        writer.stop()
        log = read_settled(connection, TOPIC, within=60.0)
        settled_s = _settle(database, _ends(log), gateways)
        codes = [one.stop(within_s=30.0) for one in gateways]
        evidence = _evidence(log, database, names, requests, nemesis.at_ns)
    violations = [
        *judge(evidence),
        *found("gateways that did not end in order", [code for code in codes if code != 0]),
        *found(
            "gateways that ended by themselves",
            [code for one in gateways for code in one.unexpected()],
        ),
        *found("runs that came to no end", [] if settled_s is not None else [_SETTLE_S]),
    ]
    return Report(
        plan=plan,
        machine=_machine(),
        seconds=time.monotonic() - began_s,
        settled_s=settled_s,
        struck=dict(nemesis.struck),
        kills=nemesis.kills(),
        counts=_counts(evidence, writer, gateways),
        violations=violations,
    )


def _harm(plan: Plan, nemesis: Nemesis) -> None:
    for one in nemesis.gateways:
        assert one.wait_ready(within_s=60.0), one.log.read_text()[-3000:]
    if not plan.kills:
        time.sleep(plan.seconds)
    while nemesis.kills() < plan.kills:
        nemesis.strike()
        sys.stderr.write(f"\r{nemesis.kills()} of {plan.kills} ")
        sys.stderr.flush()


def _subscribe(database: Database, receiver: str) -> dict[str, str]:
    """The subscriptions of the run; their names by id."""
    sealer, now_ns = Sealer.of_key(KEY), time.time_ns()
    found = {}
    with database.begin() as connection:
        for one in SUBSCRIBERS:
            id_ = subscriptions.add_subscription(
                connection, one.spec(receiver), sealer=sealer, by="chaos", now_ns=now_ns
            )
            subscriptions.add_secret(
                connection, id_, SECRET, sealer=sealer, overlap_s=0, now_ns=now_ns
            )
            found[id_] = one.name
    return found


def _ends(log: Sequence[Any]) -> dict[int, int]:
    """Behind the last record of each partition."""
    return {record.partition: record.offset + 1 for record in log}


def _settle(
    database: Database, ends: Mapping[int, int], gateways: Sequence[Serving]
) -> float | None:
    """How long it took until all was taken in and told; None if it was not in time."""
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < _SETTLE_S:
        for one in gateways:
            if not one.is_running():
                one.start()
        with suppress(DatabaseUnavailableError), database.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.state == "waiting",
                    deliveries.c.due_ns > time.time_ns() + _LONG_NS,
                )
                .values(due_ns=time.time_ns())
            )
            waiting = connection.execute(
                select(func.count()).where(deliveries.c.state == "waiting")
            ).scalar()
            at = positions.next_offsets(connection, TOPIC)
            grouped = connection.execute(
                select(func.count()).where(groups.c.due_ns.is_not(None))
            ).scalar()
            if at == ends and not waiting and not grouped:
                return passed_s
        time.sleep(0.5)
    return None


def _evidence(
    log: Sequence[Any],
    database: Database,
    names: Mapping[str, str],
    requests: Path,
    strikes: Sequence[int],
) -> Evidence:
    readable = [json.loads(record.value) for record in log if record.key != b"none"]
    with requests.open(encoding="utf-8") as lines:
        noted = [Request(**json.loads(line)) for line in lines]
    with database.read() as connection:
        kept = Kept(
            positions=positions.next_offsets(connection, TOPIC),
            incidents={
                row.id: (row.sequence, row.state, json.loads(row.data))
                for row in connection.execute(select(incidents))
            },
            events=[
                (row.seq, row.id, row.at_ns)
                for row in connection.execute(select(events.c.seq, events.c.id, events.c.at_ns))
            ],
            deliveries={
                (names[row.subscription_id], row.event_id): row.state
                for row in connection.execute(select(deliveries))
            },
            waiting_groups=connection.execute(
                select(func.count()).where(groups.c.due_ns.is_not(None))
            ).scalar()
            or 0,
            swept={
                name: [
                    row.created_ns
                    for row in connection.execute(
                        select(deliveries.c.created_ns).where(
                            deliveries.c.subscription_id == id_,
                            deliveries.c.order_key.startswith("group:"),
                        )
                    )
                ]
                for id_, name in names.items()
            },
            unheard=frozenset(
                (names[row.subscription_id], row.event_id)
                for row in connection.execute(
                    select(deliveries.c.subscription_id, deliveries.c.event_id)
                    .join(attempts, attempts.c.delivery_id == deliveries.c.id)
                    .where(attempts.c.error != "", attempts.c.status.is_(None))
                )
            ),
        )
    return Evidence(
        events=readable,
        ends=_ends(log),
        requests=noted,
        kept=kept,
        subscribers=SUBSCRIBERS,
        secrets={one.name: SECRET for one in SUBSCRIBERS},
        strikes=strikes,
    )


def _counts(evidence: Evidence, writer: Writer, gateways: Sequence[Serving]) -> dict[str, int]:
    taken = [len(requests) for told in evidence.taken.values() for requests in told.values()]
    answers = Counter(request.answer for request in evidence.requests)
    states = Counter(evidence.kept.deliveries.values())
    return {
        "events committed": len({event["id"] for event in evidence.events}),
        "of these written again": len(evidence.events)
        - len({event["id"] for event in evidence.events}),
        "transactions committed": writer.counts["committed"],
        "transactions aborted": writer.counts["aborted"],
        "commits without an answer, written again": writer.counts["unanswered"],
        "starts of a gateway": sum(one.starts for one in gateways),
        "notifications told": len(taken),
        "of these told again": sum(taken) - len(taken),
        "requests": len(evidence.requests),
        "requests that the receiver did not take": sum(
            number for answer, number in answers.items() if answer not in {"take", "slow"}
        ),
        "told in groups": states["grouped"] + states["dropped"],
    }


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
