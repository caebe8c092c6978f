"""How fast one process scores: `python benchmarks/scoring.py [--json PATH] [--quick]`.

Needs `detector`, numpy and torch, nothing else. Rounds of all rows are interleaved and the median
is printed, so that a busy machine troubles all of them alike. On a CPU one thread is used and its
own time is counted; on a GPU it is the time that passes. "network only" is the bare forward pass of
the signal autoencoder in the same tiles: what `score` adds to it is scaling, windows, features,
fusion, thresholds, p-values and the denoised values.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.pyramid import PyramidTraining
from detector.training.train import TrainingConfig, train

CHANNELS = tuple("abcdefgh")
SENSORS = 200
NEW_ROWS = 25


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of the table."""

    model: str
    device: str
    work: str
    windows_per_s: float
    us_per_window: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """A piece of work and how many windows it scores."""

    model: str
    device: str
    work: str
    windows: int
    run: Callable[[], object]


def signals(rows: int, seed: int) -> np.ndarray:
    """Eight channels that follow two loads, [rows, 8]."""
    rng = np.random.default_rng(seed)
    loads = np.sin(np.arange(rows)[:, None] / [17.0, 53.0] + rng.uniform(0, 6, 2))
    mixed = np.tanh(loads @ rng.standard_normal((2, 8)))
    return mixed + 0.1 * rng.standard_normal(mixed.shape)


def make_detector(kind: str) -> Detector:
    """A detector of the default sizes (dense: 256-128-32-128-256); speed needs no long training.

    "full" is what `vigie train` makes by default: the dense autoencoder and the pyramid.
    """
    series = [
        Series(sensor=f"s{i}", ts_ns=np.arange(600) * 10**9, values=signals(600, i))
        for i in range(SENSORS)
    ]
    full = kind == "full"
    config = TrainingConfig(
        channels=CHANNELS,
        kind="dense" if full else kind,
        max_steps=20,
        further_views=(PyramidTraining(max_steps=100),) if full else (),
        device="cpu",
    )
    return train(series, config)


def jobs_of(kind: str, detector: Detector, windows: int) -> list[Job]:
    """The bare network, one long series, and what a poll brings: 25 new rows of each sensor."""
    size, tile = detector.receptive_field, detector.signal.tile
    device = detector.device.type
    window = detector.signal.receptive_field
    block = torch.randn(tile, window, len(CHANNELS), device=detector.device)

    def network() -> None:
        with torch.inference_mode():
            for _ in range(0, windows, tile):
                last = detector.signal.model.reconstruct(block)
            last[0, 0, 0].item()  # waits for a GPU

    def scoring(rows: np.ndarray, ends: np.ndarray, groups: np.ndarray) -> Callable[[], object]:
        return lambda: detector.score(rows, ends, groups.astype(np.int32))

    long = signals(windows + size - 1, 1)
    ends = np.arange(size - 1, len(long))
    length = size - 1 + NEW_ROWS
    count = max(1, windows // NEW_ROWS)
    chunks = signals(count * length, 2)
    poll = (np.arange(count)[:, None] * length + np.arange(size - 1, length)).ravel()
    groups = np.repeat(np.arange(count) % SENSORS + 1, NEW_ROWS)
    holes = chunks.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.01] = np.nan
    work = [
        ("network only", windows, network),
        ("score, one long series", windows, scoring(long, ends, np.ones(windows))),
        (
            f"score, {NEW_ROWS} new rows of {SENSORS} sensors",
            len(poll),
            scoring(chunks, poll, groups),
        ),
        ("the same, 1 % of the values missing", len(poll), scoring(holes, poll, groups)),
    ]
    return [Job(model=kind, device=device, work=name, windows=n, run=run) for name, n, run in work]


def measure(jobs: list[Job], rounds: int) -> list[Result]:
    """Median over interleaved rounds, after one round of warming up."""
    taken: list[list[float]] = [[] for _ in jobs]
    for number in range(rounds + 1):
        for job, times in zip(jobs, taken, strict=True):
            clock = time.thread_time if job.device == "cpu" else time.perf_counter
            began = clock()
            job.run()
            if number:
                times.append(clock() - began)
    results = []
    for job, times in zip(jobs, taken, strict=True):
        median = statistics.median(times)
        results.append(
            Result(
                model=job.model,
                device=job.device,
                work=job.work,
                windows_per_s=round(job.windows / median),
                us_per_window=round(median / job.windows * 1e6, 3),
            )
        )
    return results


def main() -> None:
    """Measure every model on the CPU and, where there is one, on the GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--quick", action="store_true", help="a few seconds, for CI")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    windows, rounds = (4_000, 3) if arguments.quick else (20_000, 15)
    jobs = []
    for kind in ("dense", "full") if arguments.quick else ("dense", "conv", "pca", "full"):
        detector = make_detector(kind)
        jobs += jobs_of(kind, detector, windows)
        if torch.cuda.is_available():
            jobs += jobs_of(kind, detector.to("cuda"), 50 * windows)
    results = measure(jobs, rounds)
    print(f"{'model':6} {'device':6} {'work':40} {'windows/s':>12} {'us/window':>10}")
    for row in results:
        print(
            f"{row.model:6} {row.device:6} {row.work:40} {row.windows_per_s:>12,.0f} "
            f"{row.us_per_window:>10.2f}"
        )
    if arguments.json:
        figures = {
            "torch": torch.__version__,
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "results": [asdict(row) for row in results],
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
