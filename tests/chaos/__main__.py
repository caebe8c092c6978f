"""Run it: ``python -m tests.chaos --seconds 600 --seed 7``."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from pathlib import Path

from schemas.settings import Guarantee
from tests.chaos.disk import mounted
from tests.chaos.experiment import Plan, run
from tests.chaos.nemesis import impossible
from tests.chaos.schedule import (
    SHORT,
    SHORT_OF_SEVERAL,
    FaultBatch,
    Kind,
    make_schedule,
    short_schedule,
)
from workers.kafka.kafka_python.options import quiet_client_logs


def main(argv: list[str] | None = None) -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of faults to plan (600)")
    parser.add_argument("--together", type=int, help="faults in each batch (1 to 3, by chance)")
    parser.add_argument("--short", action="store_true", help="the schedule of the test instead")
    parser.add_argument("--seed", type=int, default=None, help="of faults and readings")
    parser.add_argument("--placement", choices=("ingest", "actors"), default="actors")
    parser.add_argument("--rate", type=float, default=150.0, help="records a second (150)")
    parser.add_argument(
        "--guarantee",
        choices=[guarantee.value for guarantee in Guarantee],
        default=Guarantee.EXACTLY_ONCE.value,
    )
    parser.add_argument("--only", action="append", choices=[k.name for k in Kind], default=[])
    parser.add_argument("--recovery", type=float, default=120.0, help="seconds allowed (120)")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="brokers (1)")
    parser.add_argument(
        "--acks", choices=("all", "1"), default="all", help="1: a loss that the judges have to find"
    )
    parser.add_argument(
        "--unverified", action="store_true", help="brokers that do not verify transactions"
    )
    parser.add_argument("--keep", type=Path, help="folder for data and logs, kept at the end")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    quiet_client_logs()
    # What is running is ended, and what is mounted unmounted, however we are told to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(130))
    with tempfile.TemporaryDirectory(prefix="vigie-chaos-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        batches = _batches(options, seed, folder)
        plan = Plan(
            seed=seed,
            batches=batches,
            guarantee=Guarantee(options.guarantee),
            placement=options.placement,
            per_s=options.rate,
            recovery_s=options.recovery,
            command=_command(options, seed),
            nodes=options.nodes,
            properties=_properties(options),
            acks=1 if options.acks == "1" else "all",
        )
        sys.stderr.write(f"seed {seed}: {len(batches)} batches\n")
        report = run(plan, folder)
    sys.stdout.write("\n".join(report.lines()) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    return 0 if report.good else 1


def _batches(options: argparse.Namespace, seed: int, folder: Path) -> tuple[FaultBatch, ...]:
    with mounted(folder / "probe", size_mb=1) as disk:
        without = impossible(disk, options.placement, nodes=options.nodes)
    if options.only:
        without |= {kind for kind in Kind if kind.name not in options.only}
    if options.short:
        counts = SHORT if options.nodes == 1 else SHORT_OF_SEVERAL
        return short_schedule(seed, without=without, counts=counts)
    return make_schedule(seed, options.seconds, without=without, together=options.together)


def _properties(options: argparse.Namespace) -> dict[str, str]:
    return {"transaction.partition.verification.enable": "false"} if options.unverified else {}


def _command(options: argparse.Namespace, seed: int) -> str:
    words = ["python -m tests.chaos"]
    words += ["--short"] if options.short else [f"--seconds {options.seconds:g}"]
    words += [f"--together {options.together}"] if options.together else []
    words += [f"--seed {seed}", f"--placement {options.placement}", f"--rate {options.rate:g}"]
    words += [f"--guarantee {options.guarantee}", *(f"--only {name}" for name in options.only)]
    words += [f"--nodes {options.nodes}"] if options.nodes > 1 else []
    words += ["--unverified"] if options.unverified else []
    words += ["--acks 1"] if options.acks == "1" else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
