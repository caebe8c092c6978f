"""What a crash costs: how fast histories are read again, and how long outputs stay away.

Replay: ingest loops, without Ray, on a filled topic whose committed offset is its end and whose
history is all of it. Time to recover: `vigie run` with 2 ingest workers, exactly once, under a load
of 500 readings/s; from the SIGKILL of a worker, or of the driver with a restart at once, to the
arrival at a read_committed reader of something that the broker took after it.

  replayed     records read again by the worker, or the workers, that came back
  noticed s    the supervisor knows
  started s    it starts another worker
  joined s     that one has loaded its model and has its partitions
  first s      something new of the first of its partitions
  last s       and of the last one: the history is read
  longest s    the longest of all kills; the others are medians
  at most s    10 s, and the records replayed at 120,000/s
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import processes, replaying
from benchmarks.bench import Bench, open_bench, read_options, stretched
from benchmarks.crash import Case, measure_case, summed_up
from benchmarks.pipeline import PipelineJob
from benchmarks.table import show, write_json
from benchmarks.throughput import Aim, measure
from benchmarks.workload import FRAME_READINGS, PARTITIONS, WINDOW, make_topics

RATE = 120_000.0
CASES = (
    Case(sensors=200, window=32),
    Case(sensors=2_000, window=32),
    Case(sensors=10_000, window=32),
    Case(sensors=10_000, window=256, kills=2),
)
QUICK_CASES = (Case(sensors=200, window=32, kills=1),)
_BOTH = "replay, JSON readings, 2 processes"
AIM = Aim(what="replay, JSON readings/s", of=_BOTH, least=RATE)


def replay(bench: Bench, topic: str, *, members: int) -> dict[str, float]:
    """Replay a filled topic."""
    topics = make_topics(bench.connection, bench.name("replay"), readings=topic)
    job = PipelineJob(bootstrap=bench.connection.bootstrap, topics=topics, model=bench.model)
    settings, ends = job.settings(), replaying.ends_of(bench.connection, topic)
    replaying.commit_ends(
        bench.connection,
        topic=topic,
        group=settings.kafka.group,
        ends=ends,
        receptive_field=WINDOW,
    )
    jobs = [
        replaying.ReplayJob(
            settings=settings,
            slot=slot,
            ends=ends,
            held=PARTITIONS // members,
            readings=FRAME_READINGS if topic == "frames" else 1,
        )
        for slot in range(members)
    ]
    return stretched(processes.run(*((replaying.run_replay, job) for job in jobs)))


REPLAYS = {
    "replay, JSON readings, 1 process": lambda bench: replay(bench, "json", members=1),
    _BOTH: lambda bench: replay(bench, "json", members=2),
    "replay, frames of 100, 1 process": lambda bench: replay(bench, "frames", members=1),
    "replay, frames of 100, 2 processes": lambda bench: replay(bench, "frames", members=2),
}


def name_of(case: Case) -> str:
    """How a case is asked for."""
    return f"crash, {case.sensors:,} sensors, R = {case.window}"


def crash(bench: Bench, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Kill workers and drivers; the rows of the table."""
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="vigie-crash-") as folder:
        for case in cases:
            print(name_of(case), file=sys.stderr)
            found = measure_case(bench.connection, case, Path(folder))
            rows += summed_up(case, found, rate=RATE)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    options = read_options(__doc__, [*REPLAYS, *map(name_of, CASES)], argv)
    cases = [
        case for case in (QUICK_CASES if options.quick else CASES) if options.wants(name_of(case))
    ]
    figures: dict[str, Any] = {}
    with open_bench(options.scale) as bench:
        if any(map(options.wants, REPLAYS)):
            bench.fill("json", "frames")
            found = measure(bench, REPLAYS, options)
            rows = [{"readings of a history": name, **row} for name, row in found.items()]
            show("Replay: readings of a history, read again", rows)
            figures["replay"] = found
            if (aim := AIM.judged(found)) is not None:
                figures["aims"] = [aim]
                show("Aim (2 cores, broker included)", [aim])
        if cases:
            figures["crash"] = crash(bench, cases)
            title = "Time to recover: from SIGKILL to the first new committed output"
            show(title, figures["crash"])
    if options.json:
        write_json(options.json, benchmark="recovery", figures=figures)


if __name__ == "__main__":
    main()
