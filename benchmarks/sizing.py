"""What a reading costs: the constants of `vigie size`, and how well it predicts what is measured.

Each case is a fleet: one ingest worker works its topic off, and its processor time is taken stage
by stage. The constants of `workers/sizing/measured.json` are fitted to the first table's fleets;
the second's check them. Then the whole of `vigie run` works off a topic with 1, 2 and 4 workers.

  us            processor microseconds of the workers, a reading, once warm
  predicted     the same by the constants and by what was published, committed
  error         of the prediction, in per cent of what was measured

Processor time changes little when others use the same cores: by a tenth, not by a factor. On two
cores four workers share them: what scales on more cores than there are is not seen here.

  python -m benchmarks.sizing --json workers/sizing/measured.json     measure, fit, check, write
  python -m benchmarks.sizing --check                                 check what is shipped, only
  python -m benchmarks.sizing --quick                                 see that it runs
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import processes
from benchmarks.sizing_cases import Case, Laboratory, Seen
from benchmarks.sizing_fit import Besides, memory_of, predicted, processor_of, sizes_of
from benchmarks.sizing_workers import WorkersJob, run_network, run_workers
from benchmarks.table import parser, show
from workers.broker.embedded import BrokerConfig
from workers.sizing.measured import DetectorKind, Encoding, Gateway, Measured, our_figures
from workers.supervision.plan import cores

Row = dict[str, Any]

_SMALL_TURNS: Mapping[str, Mapping[str, Any]] = {
    "stream": {"max_poll_records": 250},
    "processing": {"commit_interval_s": 0.02},
}
_FULL = DetectorKind.FULL
CASES: Mapping[str, Case] = {
    "readings": Case(rows=1_000),
    "readings of 32 channels": Case(channels=32, rows=500),
    "many sensors": Case(sensors=10_000, rows=44),
    "small turns": Case(rows=400, sections=_SMALL_TURNS),
    "frames of 100": Case(encoding=Encoding.FRAME, rows=3_000),
    "frames of 100, 32 channels": Case(encoding=Encoding.FRAME, channels=32, rows=1_000),
    "frames of 10": Case(encoding=Encoding.FRAME, frame_readings=10, rows=1_000),
    "full detector": Case(detector=_FULL, rows=700),
    "full detector, 32 channels": Case(detector=_FULL, channels=32, sensors=100, rows=700),
}
CHECKS: Mapping[str, Case] = {
    "16 channels, 2,000 sensors": Case(channels=16, sensors=2_000, rows=120),
    "full detector, frames of 50, 16 channels": Case(
        detector=_FULL, encoding=Encoding.FRAME, frame_readings=50, channels=16, rows=700
    ),
}
WORKED: Mapping[str, Case] = {
    "readings": Case(sensors=1_000, rows=400),
    "frames of 100": Case(encoding=Encoding.FRAME, rows=4_000),
}
WORKERS = (1, 2, 4)
_ACTORS: Mapping[str, Mapping[str, Any]] = {"workers": {"placement": "actors", "scorers": 1}}
_RUN_S = 1_800.0
# Measured elsewhere: docs/benchmarks.md, "What a crash costs" and "Alerts"; `make bench`.
_START_S = 9.3
_DRIVER_MB = 700.0
_GATEWAY = Gateway(event_ms=1.9, delivery_ms=2.0)


def shrunk(case: Case) -> Case:
    """A case that takes seconds: enough to see that it runs, too little to measure."""
    rows = case.detector.receptive_field + 60
    return replace(case, sensors=min(case.sensors, 50), rows=rows)


def seen_in(lab: Laboratory, cases: Mapping[str, Case], prefix: str) -> dict[str, Seen]:
    """Run every case."""
    found = {}
    for number, (name, case) in enumerate(cases.items()):
        print(f"{name}: {case.readings:,} readings", file=sys.stderr)
        found[name] = lab.see(case, f"{prefix}-{number}")
        print(f"  {found[name].cost.total:.1f} us a reading", file=sys.stderr)
    return found


def with_workers(lab: Laboratory, case: Case, workers: int, name: str) -> Row:
    """The whole of `vigie run`: processor us a reading of its ingest workers, and commits."""
    job = WorkersJob(pipeline=lab.job(case, name, ingest=workers), warm=case.warm)
    ((first, last),) = processes.run((run_workers, job), within_s=_RUN_S).results
    readings = last.readings - first.readings
    return {
        "workers": workers,
        "us": (last.cpu_s - first.cpu_s) / readings * 1e6,
        "readings/s": readings / (last.at_s - first.at_s),
        "busy %": 100 * (last.busy_s - first.busy_s) / (last.at_s - first.at_s) / workers,
        "sensors": lab.records_of(f"{name}-denoised") / case.readings,
        "commits": (last.commits - first.commits) / readings,
    }


def measure(lab: Laboratory, seen: Mapping[str, Seen], case: Case) -> Measured:
    """All constants."""
    channels = {c.channels: c for c in (s.case for s in seen.values()) if c.sections == {}}
    models = {number: lab.model(one) for number, one in channels.items()}
    (network,) = processes.run((run_network, models)).results
    alone = with_workers(lab, case, 1, "placed-ingest")
    apart = with_workers(lab, replace(case, sections=_ACTORS), 1, "placed-actors")
    score = next(s.cost.score for s in seen.values() if s.case.detector is case.detector)
    ship = max(apart["us"] - (alone["us"] - score), 0.0)
    return Measured(
        at=datetime.now(UTC).date().isoformat(),
        machine=f"{cores()} cores ({platform.machine()}), broker on the same",
        protocol=f"python -m benchmarks.sizing: {len(seen)} cases of one worker, warm",
        processor=processor_of(list(seen.values()), Besides(network=network, ship=ship)),
        sizes=sizes_of(list(seen.values())),
        memory=memory_of(list(seen.values()), driver_mb=_DRIVER_MB),
        gateway=_GATEWAY,
        start_s=_START_S,
    )


def stages(seen: Mapping[str, Seen], measured: Measured) -> list[Row]:
    """A row a case: its stages, and the prediction beside their sum."""
    return [
        {
            "case": name,
            "read": s.cost.read,
            "score": s.cost.score,
            "publish": s.cost.publish,
            "client": s.cost.wire,
            "restore": s.restore,
            **beside(
                s.cost.total,
                s.case,
                measured,
                calls=s.cost.calls,
                sensors=s.cost.sensors,
                commits=s.cost.commits,
            ),
        }
        for name, s in seen.items()
    ]


def beside(us: float, case: Case, measured: Measured, **counted: float) -> Row:
    """What was measured, the prediction, and its error."""
    said = predicted(case, measured.processor, **counted)
    return {"us": us, "predicted": said, "error %": 100 * (said / us - 1)}


def worked(lab: Laboratory, cases: Mapping[str, Case], measured: Measured) -> list[Row]:
    """A row a number of workers: what `vigie run` took beside the prediction."""
    rows = []
    for number, (name, case) in enumerate(cases.items()):
        for workers in WORKERS:
            print(f"vigie run, {name}, {workers} workers", file=sys.stderr)
            found = with_workers(lab, case, workers, f"worked-{number}-{workers}")
            counted = {"sensors": found.pop("sensors"), "commits": found.pop("commits")}
            # A turn has a call, and with a backlog each commit some turns.
            rows.append(
                {
                    "case": name,
                    **found,
                    **beside(found["us"], case, measured, calls=counted["commits"], **counted),
                }
            )
    return rows


def rounded(document: Any) -> Any:
    """Numbers to four places: more is noise."""
    match document:
        case dict():
            return {name: rounded(value) for name, value in document.items()}
        case float():
            return round(document, 4)
        case _:
            return document


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--check", action="store_true", help="measure no constants, check ours")
    options = made.parse_args(argv)
    if options.check and options.json:
        made.error("--check measures no constants that --json could write")
    cases, checks, runs = (
        {name: shrunk(case) if options.quick else case for name, case in some.items()}
        for some in (CASES, CHECKS, WORKED)
    )
    with TemporaryDirectory(prefix="vigie-bench-") as folder, BrokerConfig().open() as broker:
        lab = Laboratory(broker, Path(folder))
        seen = {} if options.check else seen_in(lab, cases, "case")
        measured = our_figures() if options.check else measure(lab, seen, runs["readings"])
        held_out = seen_in(lab, checks, "check")
        rows = worked(lab, runs, measured)
    if seen:
        show("What a reading costs one worker", stages(seen, measured))
    show("Fleets that the constants were not fitted to", stages(held_out, measured))
    show(f"`vigie run`, 4 partitions, {cores()} cores, broker on the same", rows)
    if options.json:
        path = options.json / "measured.json" if options.json.is_dir() else options.json
        path.write_text(json.dumps(rounded(measured.model_dump(mode="json")), indent=2) + "\n")


if __name__ == "__main__":
    main()
