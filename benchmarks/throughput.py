"""How fast Vigie is, beside a plain loop and the ceilings: one machine, one go, one table.

Several rounds, contestants in turn within each, medians. A contestant reads a filled topic; its
outputs are stamped by the broker, read back and checked complete after each round (untimed).

  readings/s   from 5 % of the outputs to the last one, so without the start of Ray
  CPU us       of all processes but the broker and this one, over the same stretch, a reading
  peak MB      resident memory of the same processes, pages that they share counted once (PSS)
  RSS MB       the same with shared pages counted for each process
  start s      from the start of the process to the first output
  p50, p99 ms  from a reading's timestamp to its arrival at a read_committed reader, paced load
  stalled      rounds in which it did not finish in time; the figures are of the other rounds

Unless it says otherwise, Vigie runs exactly once, as by default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import plain, processes
from benchmarks.bench import Bench, Options, open_bench, read_options
from benchmarks.table import show, write_json
from schemas.settings import Guarantee

Figures = Mapping[str, float]

_LOOSE = Guarantee.AT_LEAST_ONCE
_EXACT = Guarantee.EXACTLY_ONCE

JSON, JSON_LOOSE = "vigie, JSON readings", "vigie at least once, JSON readings"
FULL = "vigie full detector, JSON readings"
NO_ALARMS = "vigie without alarms, JSON readings"
FRAMES, FRAMES_LOOSE = "vigie, frames of 100", "vigie at least once, frames of 100"
PACED, PACED_LOOSE = "vigie, 2,000 readings/s", "vigie at least once, 2,000 readings/s"
PLAIN, SCORE = "plain packed, 1 process", "score only, 2 cores"

CONTESTANTS: Mapping[str, Callable[[Bench], Figures]] = {
    JSON: lambda bench: bench.vigie("json", _EXACT),
    NO_ALARMS: lambda bench: bench.vigie("json", _EXACT, model=bench.model_without_alarms()),
    FULL: lambda bench: bench.vigie("json", _EXACT, model=bench.full_model()),
    JSON_LOOSE: lambda bench: bench.vigie("json", _LOOSE),
    PLAIN: lambda bench: bench.plain("json", plain.Output.PACKED),
    "plain packed, 2 processes": lambda bench: bench.plain("json", plain.Output.PACKED, members=2),
    "plain transactions, packed": lambda bench: bench.transactional("json"),
    "plain, a record a reading": lambda bench: bench.plain("json-short", plain.Output.SINGLE),
    FRAMES: lambda bench: bench.vigie("frames", _EXACT),
    FRAMES_LOOSE: lambda bench: bench.vigie("frames", _LOOSE),
    "consume only, 1 process": lambda bench: bench.consume("json", members=1),
    "consume only, 2 processes": lambda bench: bench.consume("json", members=2),
    "score only, 1 core": lambda bench: bench.score(members=1),
    SCORE: lambda bench: bench.score(members=2),
    PACED: lambda bench: bench.latency(_EXACT),
    PACED_LOOSE: lambda bench: bench.latency(_LOOSE),
    "plain transactions, 2,000 readings/s": lambda bench: bench.transactional_latency(),
}


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A figure of a contestant, or its ratio to the same figure of another, and what it should be.

    Attributes:
        of, over: contestants.
        figure: which.
        least, most: exactly one of them.
    """

    what: str
    of: str
    figure: str = "readings/s"
    over: str | None = None
    least: float | None = None
    most: float | None = None

    def judged(self, medians: Mapping[str, Figures]) -> dict[str, Any] | None:
        """The aim beside what was measured; None when its contestants were not asked for."""
        if self.of not in medians or (self.over is not None and self.over not in medians):
            return None
        value = medians[self.of].get(self.figure)
        if value is not None and self.over is not None:
            other = medians[self.over].get(self.figure)
            value = None if other is None else value / other
        limit = {"at least": self.least} if self.most is None else {"at most": self.most}
        met = value is not None and (self.least or 0.0) <= value <= (self.most or float("inf"))
        return {"aim": self.what, **limit, "measured": value, "met": met}


AIMS = (
    Aim(what="JSON, readings/s", of=JSON, least=60_000.0),
    Aim(what="full detector over the plain one, JSON", of=FULL, over=JSON, least=0.5),
    Aim(what="alarms, incidents, their state over none, JSON", of=JSON, over=NO_ALARMS, least=0.9),
    Aim(what="JSON over at least once", of=JSON, over=JSON_LOOSE, least=0.9),
    Aim(what="frames over at least once", of=FRAMES, over=FRAMES_LOOSE, least=0.9),
    Aim(what="p50 ms at 2,000/s", of=PACED, figure="p50 ms", most=50.0),
    Aim(what="p99 ms at 2,000/s", of=PACED, figure="p99 ms", most=200.0),
    Aim(what="at least once: JSON, readings/s", of=JSON_LOOSE, least=65_000.0),
    Aim(what="at least once: JSON over plain packed", of=JSON_LOOSE, over=PLAIN, least=1.5),
    Aim(what="at least once: frames over score only", of=FRAMES_LOOSE, over=SCORE, least=0.5),
    Aim(what="at least once: p50 ms at 2,000/s", of=PACED_LOOSE, figure="p50 ms", most=30.0),
    Aim(what="at least once: p99 ms at 2,000/s", of=PACED_LOOSE, figure="p99 ms", most=150.0),
    *(
        Aim(what=f"peak MB: {name}", of=name, figure="peak MB", most=2_500.0)
        for name in CONTESTANTS
        if name.startswith("vigie")
    ),
)


def measure(
    bench: Bench, contestants: Mapping[str, Callable[[Bench], Figures]], options: Options
) -> dict[str, Figures]:
    """Run all rounds of those asked for; the median of each figure of each contestant.

    One that did not finish in time in some rounds has the number of those as its figure "stalled".
    """
    wanted = {name: run for name, run in contestants.items() if options.wants(name)}
    seen: dict[str, list[Figures]] = {name: [] for name in wanted}
    rounds = bench.scale.rounds
    for number in range(rounds):
        for name, run in wanted.items():
            print(f"round {number + 1}/{rounds}: {name}", file=sys.stderr)
            try:
                seen[name].append(run(bench))
            except processes.StalledError as error:
                print(f"{name}: {error}", file=sys.stderr)
    return {name: _median(done, stalled=rounds - len(done)) for name, done in seen.items()}


def _median(done: Sequence[Figures], *, stalled: int) -> Figures:
    figures = {name: median(one[name] for one in done) for name in done[0]} if done else {}
    return {**figures, "stalled": stalled} if stalled else figures


def judge(medians: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """The aims of the contestants that ran."""
    return [found for aim in AIMS if (found := aim.judged(medians)) is not None]


def main(argv: Sequence[str] | None = None) -> None:
    options = read_options(__doc__, CONTESTANTS, argv)
    with open_bench(options.scale) as bench:
        bench.fill("json", "json-short", "frames")
        medians = measure(bench, CONTESTANTS, options)
    aims = judge(medians)
    rounds, library = options.scale.rounds, plain.JSON_LIBRARY
    show(
        "Throughput: 4 partitions, 200 sensors x 8 channels, window 32, dense 256-128-32-128-256",
        [{"contestant": name, **figures} for name, figures in medians.items()],
        notes=[f"medians of {rounds} round(s); the plain loop parses with {library}"],
    )
    show("Aims (2 cores, broker included)", aims)
    if options.json:
        write_json(options.json, benchmark="throughput", figures={"medians": medians, "aims": aims})
    if any("stalled" in figures for name, figures in medians.items() if name.startswith("vigie")):
        sys.exit("Vigie itself did not finish in time")


if __name__ == "__main__":
    main()
