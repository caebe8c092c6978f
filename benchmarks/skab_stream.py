"""Backtest equals live, on real data: the SKAB files through Kafka, Ray and back.

One model learns from the first 400 rows of each of the 34 experiments. Then the commands a user
would type: `vigie topics create`, `vigie replay` of all files into an embedded broker, `vigie run`
until every row is committed, SIGTERM. What came out is compared, row by row, with `backtest` over
the same files: every score, every denoised value, every anomaly, with `==`.

  python -m benchmarks.skab_stream PATH      the folder that holds valve1, valve2 and other
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.sets.base import MissingDataError
from benchmarks.detection.sets.skab import MAX_GAP_S, TRAIN_ROWS, find_files
from benchmarks.outputs import records_of
from benchmarks.table import parser, show, write_json
from detector.artifact import load, save
from detector.scoring import Detector
from detector.signal.series import Series
from detector.training.train import TrainingConfig, train
from schemas.codec import decode_denoised
from schemas.columns import Readings
from schemas.settings import TopicSettings
from schemas.wire.anomaly import Anomaly
from workers.backtest.backtest import backtest
from workers.broker.embedded import BrokerConfig
from workers.data.files import read_files
from workers.data.history import SensorRows
from workers.data.layout import LabelColumn, Layout
from workers.kafka.client import Connection

Row = tuple[str, int]
"""Sensor and event time in nanoseconds."""

Scored = tuple[float | None, tuple[float, ...]]
"""Score and denoised values."""

DEADLINE_S = 300.0


def is_flagged(scored: Scored) -> bool:
    """Whether the score reaches the threshold."""
    return scored[0] is not None and scored[0] >= 1.0


def learn(channels: tuple[str, ...], files: Sequence[SensorRows], *, steps: int) -> Detector:
    """One model for the fleet of experiments."""
    return train(
        [
            Series(sensor=f.sensor, ts_ns=f.ts_ns[:TRAIN_ROWS], values=f.values[:TRAIN_ROWS])
            for f in files
        ],
        TrainingConfig(channels=channels, max_steps=steps, max_gap_s=MAX_GAP_S, device="cpu"),
    )


def from_backtest(detector: Detector, files: Sequence[SensorRows]) -> dict[Row, Scored]:
    """What the live function gives for the files, without a broker."""
    scored: dict[Row, Scored] = {}
    chunks = (
        Readings(
            positions=np.arange(len(f.ts_ns)),
            sensors=[f.sensor] * len(f.ts_ns),
            counts=np.ones(len(f.ts_ns), np.int64),
            ts_ns=f.ts_ns,
            values=f.values,
        )
        for f in files
    )
    for answered, scores in backtest(detector, chunks):
        request = answered.request
        for run in request.samples.runs:
            for row in range(run.start, run.stop):
                scored[run.sensor, int(request.samples.ts_ns[row])] = (
                    float(answered.judged.score[row]),
                    tuple(scores.denoised[row].tolist()),
                )
    return scored


def from_topics(connection: Connection) -> tuple[dict[Row, Scored], set[Row]]:
    """What the stream published: denoised rows, and which of them are anomalies."""
    topics = TopicSettings()
    scored: dict[Row, Scored] = {}
    for record in records_of(connection, topics.denoised):
        frame = decode_denoised(record.value, dict(record.headers)["content-type"])
        columns = zip(*frame.values.values(), strict=True)
        for ts_ns, score, values in zip(frame.ts_ns, frame.score, columns, strict=True):
            scored[frame.sensor_id, ts_ns] = score, tuple(values)
    flagged = {
        (anomaly.sensor_id, anomaly.ts_ns)
        for anomaly in (
            Anomaly.model_validate_json(record.value)
            for record in records_of(connection, topics.anomalies)
        )
    }
    return scored, flagged


def vigie(*arguments: str) -> None:
    """One command of the product's, to its end."""
    subprocess.run(
        [sys.executable, "-m", "workers.cli.main", *arguments], check=True, stdout=sys.stderr
    )


@contextlib.contextmanager
def running(model: Path, bootstrap: str, log: Path) -> Iterator[str]:
    """`vigie run` until the block ends; yields the address of its status."""
    command = [sys.executable, "-m", "workers.cli.main", "run", "--model", str(model)]
    command += ["--bootstrap", bootstrap, "--metrics-port", "0"]
    environment = {**os.environ, "VIGIE_LOG__FORMAT": "json"}
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=sys.stderr, stderr=errors, env=environment)
        try:
            yield wait_for(lambda: _address(log), process)
        finally:
            process.send_signal(signal.SIGTERM)
            if code := process.wait(timeout=90):
                raise SystemExit(f"vigie run ended with {code}:\n{log.read_text()}")


def wait_for(condition: Any, process: Any = None) -> Any:
    """Ask until the answer is true."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s and (process is None or process.poll() is None):
        if found := condition():
            return found
        time.sleep(0.2)
    raise SystemExit("the pipeline does not get on: no progress within the time allowed")


def _address(log: Path) -> str:
    found = re.search(r"http://[^/]+/metrics", log.read_text())
    return found.group().replace("/metrics", "/status") if found else ""


def _records(address: str) -> int:
    with urllib.request.urlopen(address, timeout=5) as answer:
        return int(json.load(answer)["counts"]["records"])


def main() -> None:
    options = parser(__doc__)
    options.add_argument("path", type=Path, help="the SKAB folder")
    arguments = options.parse_args()
    try:
        paths = find_files(arguments.path)[:: 8 if arguments.quick else 1]
    except MissingDataError as missing:
        raise SystemExit(str(missing)) from missing
    with tempfile.TemporaryDirectory(prefix="vigie-skab-") as name, BrokerConfig().open() as broker:
        folder = Path(name)
        links = []
        for path in paths:  # the file's name becomes the sensor's
            links.append(folder / f"{path.parent.name}-{path.stem}.csv")
            links[-1].symlink_to(path.resolve())
        history = read_files(links, Layout(label=LabelColumn("anomaly"), ignore=("changepoint",)))
        channels, files = history.channels, history.sensors
        detector = learn(channels, files, steps=100 if arguments.quick else 1000)
        model = save(detector, folder / "model")
        rows = sum(len(f.ts_ns) for f in files)

        vigie("topics", "create", "--bootstrap", broker.bootstrap)
        replay = ["--bootstrap", broker.bootstrap, "--label", "anomaly", "--ignore", "changepoint"]
        vigie("replay", *map(str, links), *replay)
        with running(model, broker.bootstrap, folder / "run.log") as address:
            wait_for(lambda: _records(address) >= rows)
        live, flagged = from_topics(Connection(bootstrap=broker.bootstrap))
        expected = from_backtest(load(model, device="cpu"), files)

    figures = {
        "files": len(files),
        "rows": rows,
        "scored, backtest": len(expected),
        "scored, live": len(live),
        "rows that differ": sum(live.get(row) != scored for row, scored in expected.items()),
        "anomalies, backtest": sum(is_flagged(scored) for scored in expected.values()),
        "anomalies, live": len(flagged),
    }
    show("SKAB: live against backtest", [figures])
    if arguments.json:
        write_json(arguments.json, benchmark="skab_stream", figures=figures)
    same = live == expected and flagged == {row for row, s in expected.items() if is_flagged(s)}
    if not same:
        raise SystemExit("live and backtest differ")


if __name__ == "__main__":
    main()
