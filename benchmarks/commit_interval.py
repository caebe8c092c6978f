"""What `processing.commit_interval_s` costs: latency at 2,000 readings/s, CPU, throughput.

Exactly once, 2 ingest workers. The interval is the longest; a worker that has nothing to read
commits sooner, so it matters with a backlog most.

  p50, p99 ms, CPU us   under the paced load, as in `benchmarks.throughput`
  readings/s            on a filled topic of JSON readings
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench import Bench, open_bench, read_options
from benchmarks.table import show, write_json
from benchmarks.throughput import measure
from schemas.settings import Guarantee

INTERVALS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_PACED = ("p50 ms", "p99 ms", "CPU us")


def at_interval(bench: Bench, interval_s: float) -> dict[str, float]:
    """All figures of one interval."""
    sections: Mapping[str, Mapping[str, Any]] = {"processing": {"commit_interval_s": interval_s}}
    paced = bench.latency(Guarantee.EXACTLY_ONCE, sections)
    filled = bench.vigie("json", Guarantee.EXACTLY_ONCE, sections)
    return {**{name: paced[name] for name in _PACED}, "readings/s": filled["readings/s"]}


CONTESTANTS = {
    f"{interval_s:g} s": lambda bench, interval_s=interval_s: at_interval(bench, interval_s)
    for interval_s in INTERVALS_S
}


def main(argv: Sequence[str] | None = None) -> None:
    options = read_options(__doc__, CONTESTANTS, argv)
    with open_bench(options.scale) as bench:
        bench.fill("json")
        medians = measure(bench, CONTESTANTS, options)
    rows = [{"commit interval": name, **figures} for name, figures in medians.items()]
    show(
        "Commit interval: exactly once, 2,000 readings/s paced, and a filled topic",
        rows,
        notes=[f"medians of {options.scale.rounds} round(s)"],
    )
    if options.json:
        write_json(options.json, benchmark="commit_interval", figures={"medians": medians})


if __name__ == "__main__":
    main()
