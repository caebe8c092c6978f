"""Detection on public, simulated and your own labelled data, beside baselines, in one run.

Every detector is causal, learns from the training rows alone, without labels, and sets its
threshold from the alarm budget of the set. Half A (every second series) is where choices are made,
half B confirms, both are reported. No point adjustment.

  ranking     VUS-PR (TSB-AD 1.5, its window per series), average precision, best F1 (oracle)
  rows        F1, false (FAR) and missed (MAR) alarm rate of rows in alarm, label-free threshold
  incidents   asked by the budget on normal time, false: opened on a normal row, 16 rows or more
              before an event; at most 2x: share of series with no more than twice the budget (one
              passes where less than half a one was asked); within x2: on both sides, of the series
              that may have 1.5 or more; found: events with a row in alarm; opened in: events in
              which an incident opened, which an alarm that never ends does not

  python -m benchmarks.detection DATA...                 all sets that are there, all detectors
  python -m benchmarks.detection                         the simulated sets, which need no files
  python -m benchmarks.detection DATA --sets skab smd-2 --detectors "vigie plain" 1-NN

DATA are folders that hold the sets (see benchmarks/detection/sets), or folders of such folders.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.detection.registry import DETECTORS, choose
from benchmarks.detection.report import markdown, plain, shown, tables, write_csv
from benchmarks.detection.runner import load, run, run_series
from benchmarks.detection.sets import SETS, Options
from benchmarks.detection.verdict import Failure, Verdict
from benchmarks.table import parser, show, write_json

MAX_WORKERS = 256


def main() -> None:
    arguments = _arguments()
    options = Options(paths=tuple(arguments.data), seed=arguments.seed, quick=arguments.quick)
    chosen = choose(arguments.detectors, known=DETECTORS)
    names = [one.name for one in chosen if arguments.detectors or one.quick or not arguments.quick]
    series = list(load(arguments.sets, options, keep=arguments.half))
    if arguments.budget_rows:
        series = [replace(one, budget_rows=arguments.budget_rows) for one in series]
    if not series:
        raise SystemExit("no set is there: give folders of data, or --sets faults sites")
    if arguments.pictures:
        if find_spec("matplotlib") is None:
            raise SystemExit("--pictures needs matplotlib: pip install 'vigie[plot]'")
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    task = partial(run_series, detectors=names, seed=arguments.seed, pictures=arguments.pictures)
    results = run(series, arguments.workers, task)
    verdicts = [one for one in results if isinstance(one, Verdict)]
    failures = [one for one in results if isinstance(one, Failure)]
    if verdicts:
        _report(verdicts, arguments)
    for one in failures:
        print(f"FAILED {one.detector} on {one.set}, {one.series}: {one.message}", file=sys.stderr)
    if failures:
        raise SystemExit(f"{len(failures)} of {len(results)} runs failed; the tables lack them")


def _report(verdicts: Sequence[Verdict], arguments: argparse.Namespace) -> None:
    made = tables(verdicts, against=arguments.against, seed=arguments.seed)
    for title, lines in made.items():
        show(title, [shown(line) for line in lines])
    if arguments.csv:
        write_csv(arguments.csv, verdicts)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(made))
    if arguments.json:
        write_json(
            arguments.json,
            benchmark="detection",
            figures={
                "command": sys.argv[1:],
                "seed": arguments.seed,
                "detectors": {name: one.about for name, one in DETECTORS.items()},
                "tables": made,
                "series": [plain(asdict(one)) for one in verdicts],
            },
        )


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    about = [(one.name, one.about) for one in SETS.values()]
    about += [(one.name, one.about) for one in DETECTORS.values()]
    listed = "\n".join(f"  {name:<19} {what}" for name, what in about)
    made.epilog = f"sets and detectors:\n{listed}"
    made.add_argument("data", nargs="*", type=Path, metavar="DATA", help="folders of data")
    made.add_argument(
        "--sets", nargs="+", default=[], choices=SETS, metavar="NAME", help="these sets alone"
    )
    made.add_argument("--detectors", nargs="+", default=[], metavar="NAME", help="these alone")
    made.add_argument("--half", choices=("A", "B", "both"), default="both")
    made.add_argument("--seed", type=int, default=0, help="of simulations, models, intervals")
    made.add_argument(
        "--budget-rows", type=int, metavar="N", help="one false incident in N rows, for all sets"
    )
    made.add_argument(
        "--against", default="vigie plain", metavar="NAME", help="paired differences from this one"
    )
    made.add_argument("--csv", type=Path, metavar="PATH", help="one line per set, detector, half")
    made.add_argument("--markdown", type=Path, metavar="PATH", help="the tables for a document")
    made.add_argument("--pictures", type=Path, metavar="FOLDER", help="a picture of each series")
    made.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; one thread each"
    )
    arguments = made.parse_args()
    if not 1 <= arguments.workers <= MAX_WORKERS:
        made.error(f"--workers must be in 1..{MAX_WORKERS}, got {arguments.workers}")
    if arguments.budget_rows is not None and arguments.budget_rows < 2:
        made.error(f"--budget-rows must be at least 2, got {arguments.budget_rows}")
    return arguments


if __name__ == "__main__":
    main()
