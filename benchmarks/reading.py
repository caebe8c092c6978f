"""What reading files costs: rows of a time, perhaps a sensor, and six channels, to a history.

Each file is read in a process of its own.

  rows/s      rows of the file by the time of reading; the best of the rounds
  cpu s       processor time of that round, of all threads
  peak MiB    memory of the process at its largest, less what it had before; of the worst round
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.table import parser, show, write_json
from workers.data.files import read_files
from workers.data.writer import open_readings

CHANNELS = tuple(f"channel_{number}" for number in range(6))
START_NS = 1_767_225_600 * 10**9
SECOND_NS = 10**9
ROUNDS = 3
_PIECE = 100_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file: its ending, rows, sensors."""

    ending: str
    rows: int
    sensors: int

    @property
    def name(self) -> str:
        """What people see."""
        return f"{self.ending[1:]}, {self.rows:,} rows, {self.sensors} sensors"


CASES = tuple(
    Case(ending=ending, rows=rows, sensors=sensors)
    for ending in (".csv", ".parquet")
    for rows in (1_000_000, 5_000_000)
    for sensors in (1, 100)
)
QUICK_CASES = (
    Case(ending=".csv", rows=20_000, sensors=10),
    Case(ending=".parquet", rows=20_000, sensors=10),
)


def write(folder: Path, case: Case) -> Path:
    """The file of a case: a row of each sensor every second, values to three digits."""
    path, rng = folder / f"{case.rows}-{case.sensors}{case.ending}", np.random.default_rng(0)
    names = [f"pump-{number:03d}" for number in range(case.sensors)]
    with open_readings(path, CHANNELS) as writer:
        for start in range(0, case.rows, _PIECE):
            rows = np.arange(start, min(start + _PIECE, case.rows))
            writer.write(
                sensors=[names[row % case.sensors] for row in rows.tolist()],
                ts_ns=START_NS + rows // case.sensors * SECOND_NS,
                values=rng.normal(40.0, 5.0, (len(rows), len(CHANNELS))).round(3),
                labels=np.zeros(len(rows), np.int8),
            )
    return path


def read_once(path: Path) -> tuple[int, float, float, float]:
    """Rows, seconds, seconds of the processor, and MiB that reading added to the process."""
    before = _peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    rows = len(read_files([path]))
    took, used = time.perf_counter() - wall, time.process_time() - cpu
    return rows, took, used, _peak_mib() - before


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(path: Path, case: Case, rounds: int) -> dict[str, Any]:
    """The figures of one file."""
    found = []
    for _ in range(rounds):
        with get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(read_once, (path,)))
    if {rows for rows, *_ in found} != {case.rows}:
        raise RuntimeError(f"{case.name}: {found[0][0]:,} rows were read")
    _, took, cpu, _ = min(found, key=lambda one: one[1])
    return {
        "file": case.name,
        "MiB": path.stat().st_size / 2**20,
        "rows/s": case.rows / took,
        "cpu s": cpu,
        "peak MiB": max(peak for *_, peak in found),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = parser(__doc__).parse_args(arguments)
    cases, rounds = (QUICK_CASES, 1) if options.quick else (CASES, ROUNDS)
    rows = []
    with TemporaryDirectory(prefix="vigie-bench-") as folder:
        for case in cases:
            path = write(Path(folder), case)
            rows.append(measure(path, case, rounds))
            path.unlink()
    show("Reading files", rows)
    if options.json is not None:
        write_json(options.json, benchmark="reading", figures={"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
