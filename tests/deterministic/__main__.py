"""Play schedules of fresh seeds for some time: ``python -m tests.deterministic --hours 1``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

import structlog

from tests.deterministic.schedule import Schedule


def main(argv: list[str] | None = None) -> int:
    """Play them; 1 when one of them changed a score, which is named by its seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.deterministic", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--first-seed", type=int, default=10**6)
    options = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began_s, seed, failed = time.monotonic(), options.first_seed, []
    counts: Counter[str] = Counter()
    while (took_s := time.monotonic() - began_s) < options.hours * 3600:
        try:
            broker = Schedule.of_seed(seed).run_exactly_once().broker
            counts += Counter(
                {
                    "commits": len(broker.steps),
                    "aborted transactions": broker.aborted,
                    "generations": broker.group.generation,
                    "requests that came late": broker.came_late,
                }
            )
        except AssertionError as error:
            failed.append(seed)
            sys.stderr.write(f"seed {seed}: {error}\n")
        seed += 1
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    sys.stdout.write(
        f"{seed - options.first_seed:,} schedules in {took_s / 3600:.2f} h, {told}, "
        f"{len(failed)} failed {failed[:20]}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
