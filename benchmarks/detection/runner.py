"""Every detector on every series, in a pool of processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.detection.picture import draw
from benchmarks.detection.registry import DETECTORS
from benchmarks.detection.series import LabelledSeries
from benchmarks.detection.sets import SETS, MissingDataError, Options
from benchmarks.detection.verdict import Failure, Verdict, judge_all

Result = Verdict | Failure


def run_series(
    series: LabelledSeries, *, detectors: Sequence[str], seed: int, pictures: Path | None
) -> list[Result]:
    """All detectors on one series, in a process of its own with one thread."""
    import torch

    torch.set_num_threads(1)
    chosen = [DETECTORS[name] for name in detectors]
    scored, results = judge_all(series, chosen, seed=seed)
    if pictures is not None:
        draw(series, scored, pictures)
    return results


def load(names: Sequence[str], options: Options, *, keep: str) -> Iterator[LabelledSeries]:
    """The series of the named sets, of one half or both; a set that is not there is said."""
    for name in names or SETS:
        try:
            yield from (one for one in SETS[name].load(options) if keep in {"both", one.half})
        except MissingDataError as missing:
            print(f"SKIPPED {name}: {missing}", file=sys.stderr)


def run(series: Sequence[LabelledSeries], workers: int, task: Callable[..., Any]) -> list[Result]:
    """Every series through a pool of processes, in order, with a line of progress for each."""
    # Before the processes are born: their linear algebra would otherwise take all cores each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    results: list[Result] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(task, series)
        for number, (one, given) in enumerate(zip(series, done, strict=True), 1):
            results += given
            print(f"[{number}/{len(series)}] {one.set}: {one.name}", file=sys.stderr, flush=True)
    return results
