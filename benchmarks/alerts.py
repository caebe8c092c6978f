"""From an incident's commit to those who subscribed: deliveries a second, how late, what it takes.

    python -m benchmarks.alerts [--database sqlite|postgres] [--hanging 0.01] [--streams 1000]

A real `vigie serve` beside an embedded broker and 10,000 subscriptions: most for one sensor each,
some by patterns, labels and severity, so that about two want an incident. A process opens incidents
at a rate, in a transaction every 50 ms; one receives the webhooks; one has the clients of the
stream. Late is counted from when the commit was answered. A share of the receivers never answers,
or a byte a second.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, Final

import psutil
from sqlalchemy import func, select

from benchmarks.alerts_peers import FOLLOWED, HOSTS, PER_SITE, SITES
from benchmarks.table import parser, show, write_json
from schemas.api.subscriptions import SubscriptionSpec
from tests.support.broker import QUICK_START
from tests.support.lives import fleet
from tests.support.postgres import postgres_running
from tests.support.wait import wait_until
from workers.broker.embedded import BrokerConfig
from workers.broker.ports import free_port
from workers.gateway.sealing import Sealer
from workers.gateway.store import subscriptions
from workers.gateway.store.database import Database, open_database
from workers.gateway.store.tables import deliveries, events
from workers.kafka.admin import TopicSpec
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of

ROOT: Final = Path(__file__).resolve().parents[1]
TOPIC: Final = "vigie.incidents"
KEY: Final = "a key of a benchmark that nobody keeps"
SECRET: Final = "whsec_" + "YmVuY2ggYmVuY2ggYmVuY2ggYmVuY2g="
WARM_UP_S: Final = 8.0
_DRAIN_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run."""

    database: str
    subscriptions: int
    rate: float
    streams: int
    seconds: float
    hanging: float


@dataclass
class Usage:
    """What the gateway used, looked at each half second."""

    process: psutil.Process
    most_mb: float = 0.0
    cpu_s: float = 0.0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look until it is told to stop."""
        began = self._cpu()
        while not self._stopping.wait(0.5):
            self.most_mb = max(self.most_mb, self.process.memory_info().rss / 2**20)
            self.cpu_s = self._cpu() - began

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look during the block."""
        thread = threading.Thread(target=self.watch, daemon=True)
        thread.start()
        yield
        self._stopping.set()
        thread.join()


def specs(number: int, port: int, hanging: float) -> Iterator[SubscriptionSpec]:
    """Subscriptions as a large site would have them."""
    sensors, rng = fleet(SITES, PER_SITE), Random(2)
    for nth in range(number):
        kind = rng.random()
        sensor = sensors[nth % len(sensors)]
        asks: dict[str, Any] = {"sensors": [sensor.id]}
        if kind > 0.999:
            asks = {"min_severity": "high", "matchers": [{"name": "line", "value": "1"}]}
        elif kind > 0.98:
            asks = {"matchers": [{"name": "site", "value": sensor.labels["site"]}],
                    "min_severity": "high"}  # fmt: skip
        elif kind > 0.965:
            asks = {"sensors": [sensor.id[:-1] + "*"]}
        elif kind > 0.9:
            asks = {"filters": [{"all": [{"exact": {"subject": sensor.id}},
                                         {"not": {"exact": {"severity": "low"}}}]}]}  # fmt: skip
        path = "hook"
        if rng.random() < hanging:
            path = "hang" if nth % 2 else "drip"
        sink = {"kind": "webhook", "url": f"http://{HOSTS[nth % len(HOSTS)]}:{port}/{path}/{nth}"}
        yield SubscriptionSpec.model_validate({"name": f"s{nth}", "sink": sink, **asks})


def subscribe(database: Database, made: Iterator[SubscriptionSpec]) -> None:
    """Keep the subscriptions, each with a secret."""
    sealer, now_ns = Sealer.of_key(KEY), time.time_ns()
    with database.begin() as connection:
        for spec in made:
            id_ = subscriptions.add_subscription(
                connection, spec, sealer=sealer, by="bench", now_ns=now_ns
            )
            subscriptions.add_secret(
                connection, id_, SECRET, sealer=sealer, overlap_s=0, now_ns=now_ns
            )


@contextmanager
def peer(role: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process beside the gateway; told to end with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.alerts_peers", role, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def gateway(folder: Path, settings: str) -> Iterator[tuple[psutil.Process, str]]:
    """A real `vigie serve`, and its address."""
    (folder / "vigie.toml").write_text(settings)
    log = folder / "serve.log"
    command = [sys.executable, "-m", "workers.cli.main", "serve", "--no-tokens", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output,
            env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
    try:
        wait_until(lambda: "Ctrl-C ends" in log.read_text(), within=60, what=log.read_text())
        address = log.read_text().split("interface: ")[1].split(" ")[0]
        yield psutil.Process(process.pid), address
    finally:
        process.terminate()
        process.wait(timeout=30)


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """One row."""
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerConfig(jvm_options=QUICK_START).open())
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=30)
        admin_of(connection).create_topics([TopicSpec(name=TOPIC, partitions=4)])
        url = f"sqlite:///{folder / 'vigie.db'}"
        if plan.database == "postgres":
            server = stack.enter_context(postgres_running())
            url = server.url(server.create_database())
        database = stack.enter_context(open_database(url))
        database.migrate()
        port = free_port()
        subscribe(database, specs(plan.subscriptions, port, plan.hanging))
        process, address = stack.enter_context(
            gateway(folder, _settings(broker.bootstrap, url, plan))
        )
        told, committed, streamed = (folder / name for name in ("told", "committed", "streamed"))
        usage = Usage(process)
        with peer("receiver", port, told), peer("streams", address, plan.streams, streamed) as sse:
            assert sse.stdout is not None
            sse.stdout.readline()
            seconds = WARM_UP_S + plan.seconds
            arguments = (broker.bootstrap, TOPIC, plan.rate, seconds, committed)
            with usage.watching(), peer("writer", *arguments) as writer:
                writer.wait(timeout=seconds + 120)
            _drain(database, len(json.loads(committed.read_text())))
            time.sleep(1.0)
            most_mb = process.memory_info().rss / 2**20
        usage.most_mb = max(most_mb, usage.most_mb)
        with database.read() as transaction:
            rows = transaction.execute(select(events.c.id, events.c.at_ns))
            kept = [(row.id, row.at_ns) for row in rows]
        return _row(plan, usage, told, committed, streamed) | {
            "taken in p50 ms": _late_ms(kept, json.loads(committed.read_text()))[0]
        }


def _settings(bootstrap: str, url: str, plan: Plan) -> str:
    return f"""
[kafka]
bootstrap = "{bootstrap}"
[gateway]
database = "{url}"
secret_key = "{KEY}"
allow_targets = ["127.0.0.0/8"]
live = "off"
unhealthy_after_s = 86400
rate_limit = "1000000/minute"
max_streams = {max(plan.streams, 1)}
"""


def _drain(database: Database, number: int) -> None:
    """Wait until all is taken in, and what can be delivered is."""
    until_s = time.monotonic() + _DRAIN_S
    while time.monotonic() < until_s:
        with database.read() as connection:
            kept = connection.execute(select(func.count()).select_from(events)).scalar()
            due = connection.execute(
                select(func.count()).where(
                    deliveries.c.state == "waiting", deliveries.c.attempts == 0
                )
            ).scalar()
        if kept == number and not due:
            return
        time.sleep(0.5)


def _row(plan: Plan, usage: Usage, told: Path, committed: Path, streamed: Path) -> dict[str, Any]:
    at: dict[str, int] = json.loads(committed.read_text())
    first_ns = min(at.values()) + round(WARM_UP_S * 1e9)
    steady = {id_: ns for id_, ns in at.items() if ns >= first_ns}
    received: Sequence[tuple[str, int]] = json.loads(told.read_text())
    firsts = [(id_, ns) for id_, ns in received if id_ in steady]
    window_s = (max(at.values()) - first_ns) / 1e9
    sse = json.loads(streamed.read_text())
    heard = [(id_, ns) for id_, ns in sse["seen"] if id_ in steady]
    deliveries_ms, streams_ms = _late_ms(firsts, steady), _late_ms(heard, steady)
    return {
        "database": plan.database,
        "hanging receivers": f"{plan.hanging:.0%}",
        "stream clients": plan.streams,
        "incidents/s": len(steady) / window_s,
        "deliveries/s": len(firsts) / window_s,
        "webhook p50 ms": deliveries_ms[0],
        "p99 ms": deliveries_ms[1],
        "stream p50 ms": streams_ms[0],
        "stream p99 ms": streams_ms[1],
        "stream events/s": sse["events"] / (window_s + WARM_UP_S),
        "heard": len(heard) / max(len(steady) * min(plan.streams, FOLLOWED), 1),
        "cut off": sse["ended"],
        "gateway MB": usage.most_mb,
        "gateway cores": usage.cpu_s / (window_s + WARM_UP_S),
    }


def _late_ms(
    seen: Sequence[tuple[str, int]], at: Mapping[str, int]
) -> tuple[float | None, float | None]:
    late = sorted((ns - at[id_]) / 1e6 for id_, ns in seen)
    if len(late) < 2:
        return None, None
    cuts = quantiles(late, n=100)
    return cuts[49], cuts[98]


def main() -> None:
    """Print the table."""
    options = _options()
    rows = []
    for database in options.database or ("sqlite", "postgres"):
        for streams in options.streams or (0, 1000):
            for hanging in options.hanging or (0.0, 0.01):
                plan = Plan(
                    database=database,
                    subscriptions=options.subscriptions,
                    rate=options.rate,
                    streams=streams,
                    seconds=options.seconds,
                    hanging=hanging,
                )
                with tempfile.TemporaryDirectory(prefix="vigie-alerts-") as folder:
                    rows.append(run(plan, Path(folder)))
                sys.stderr.write(f"{rows[-1]}\n")
    memory = psutil.virtual_memory().total / 2**30
    show(
        f"{options.subscriptions:,} subscriptions, {options.rate:g} incidents a second for "
        f"{options.seconds:g} s; {psutil.cpu_count()} cores, {memory:.0f} GiB",
        rows,
    )
    if options.json:
        write_json(options.json, benchmark="alerts", figures={"rows": rows})


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--subscriptions", type=int, default=10_000)
    made.add_argument("--rate", type=float, default=100.0, help="incidents a second (100)")
    made.add_argument("--seconds", type=float, default=60.0, help="measured (60)")
    made.add_argument("--streams", type=int, action="append", help="clients (0, then 1000)")
    made.add_argument("--hanging", type=float, action="append", help="share (0, then 0.01)")
    made.add_argument("--database", choices=("sqlite", "postgres"), action="append")
    return made.parse_args()


if __name__ == "__main__":
    main()
