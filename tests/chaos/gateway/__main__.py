"""Run it: ``python -m tests.chaos.gateway --kills 200 --database postgres --gateways 2``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.gateway.experiment import Plan, run
from tests.chaos.gateway.plants import PLANTS
from workers.kafka.kafka_python.options import quiet_client_logs


def main(argv: list[str] | None = None) -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gateway", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of all kinds (200)")
    parser.add_argument("--seed", type=int, default=7, help="of kills, events, receivers (7)")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--gateways", type=int, choices=(1, 2), default=1)
    parser.add_argument("--rate", type=float, default=15.0, help="events a second (15)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a run without kills (10)")
    parser.add_argument("--plant", choices=tuple(PLANTS), default="", help="a bug to be found")
    parser.add_argument("--keep", type=Path, help="folder for data and logs, kept at the end")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args(argv)
    quiet_client_logs()
    # What is running is ended however we are told to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(130))
    plan = Plan(
        kills=options.kills,
        seed=options.seed,
        database=options.database,
        gateways=options.gateways,
        per_s=options.rate,
        seconds=options.seconds,
        plant=options.plant,
    )
    with tempfile.TemporaryDirectory(prefix="vigie-chaos-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = run(plan, folder)
    sys.stdout.write("\n".join(report.lines()) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2, default=str) + "\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
