"""Scaling by lag, end to end: the load doubles, workers come; it goes, workers leave.

A real broker, a real `vigie run` with `workers.ingest = "auto"`, and a producer. First one worker
works off a backlog: how much it can do. Then the load goes up and down by steps of that. What
`/status` says is noted each second.

Each worker gets a share of a core (control groups), so that several of them, the broker and the
producer fit on a small machine without taking each other's time; --share 0 leaves that out. The
times of scaling are a few times shorter than by default (15, 300 and 60 s), so that it fits on a
picture; nothing else differs.

  load         of one worker's most
  workers      present at the end of the step, and the most there were
  first s      from the beginning of the step to the first change of their number
  lag          most in the step, and at its end
  late s       from the beginning of the step until nothing waited any more
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import processes
from benchmarks.quota import Quota, quotas
from benchmarks.runner import Runner, running
from benchmarks.scaling_load import LoadJob, run_load
from benchmarks.scaling_picture import Sample, draw
from benchmarks.table import parser, show, write_json
from benchmarks.workload import Shape, train_model
from schemas.settings import TopicSettings
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection
from workers.kafka.factory import admin_of, topic_specs

PARTITIONS = 12
MOST_WORKERS = 4
SCALING = {"scale_out_after_s": 8, "scaling_pause_s": 15, "scale_in_after_s": 40}
_SHAPE = Shape(hidden=(512,), latent=32, sensors=20)
_START_S = 240.0
_LIMIT_S = 3_000.0
_FLOOD, _BACKLOG = 20_000.0, 2_000
_CAUGHT_UP_S = 1.0
"""Of the load: less than that waits always."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """For so long, so much of what one worker can do."""

    load: float
    seconds: float


STEPS = (
    Step(load=0.7, seconds=50),
    Step(load=1.4, seconds=100),
    Step(load=2.8, seconds=140),
    Step(load=0.3, seconds=220),
)
QUICK = (Step(load=0.6, seconds=15), Step(load=1.5, seconds=60), Step(load=0.2, seconds=90))


class Pipeline:
    """A running `vigie run` and what it says of itself."""

    def __init__(self, runner: Runner, quota: Quota | None) -> None:
        self._runner, self._quota = runner, quota
        self._address = ""

    def status(self) -> dict[str, Any]:
        """Its `/status`; new workers get their share of a core once they are at work.

        Raises:
            RuntimeError: the run has ended.
        """
        while True:
            self._runner.check()
            served = self._runner.last("metrics_served")
            if served is not None:
                self._address = str(served.values["address"]).removesuffix("/metrics")
                try:
                    with urllib.request.urlopen(f"{self._address}/status", timeout=5) as answer:
                        found: dict[str, Any] = json.load(answer)
                except (urllib.error.URLError, TimeoutError):
                    pass
                else:
                    self._share_out(found)
                    return found
            time.sleep(0.2)

    def _share_out(self, found: Mapping[str, Any]) -> None:
        if self._quota is None:
            return
        counts = found["scaling"]["ingest"]
        if counts["actual"] == counts["target"]:  # a start costs ten seconds of a whole core
            for pid in self._runner.pids("IngestActor"):
                self._quota.limit(pid)


class Watch:
    """Samples of one pipeline under one load."""

    def __init__(self, pipeline: Pipeline, rate: Any, sent: Any) -> None:
        self.samples: list[Sample] = []
        self._pipeline, self._rate, self._sent = pipeline, rate, sent
        self._began_s = time.monotonic()

    def begin(self) -> None:
        """The first step begins now."""
        self._began_s, self.samples = time.monotonic(), []

    def look(self, step: int) -> Sample:
        """One look, at most one a second."""
        time.sleep(1.0)
        found = self._pipeline.status()
        ingest = found["scaling"]["ingest"]
        sample = Sample(
            at_s=time.monotonic() - self._began_s,
            step=step,
            rate=max(self._rate.value, 0.0),
            sent=self._sent.value,
            done=found["counts"]["readings"],
            lag=found["lag_records"],
            wanted=ingest["target"],
            present=ingest["actual"],
        )
        self.samples.append(sample)
        return sample

    def until(self, condition: Callable[[Sample], bool], what: str) -> Sample:
        """Look until it holds.

        Raises:
            RuntimeError: it does not within the time of a start.
        """
        until_s = time.monotonic() + _START_S
        while not condition(sample := self.look(-1)):
            if time.monotonic() > until_s:
                raise RuntimeError(f"{what} took longer than {_START_S:g} s: {sample}")
        return sample


def most_of_one(watch: Watch, rate: Any, *, seconds: float) -> float:
    """Readings a second that one worker gets done of a flood.

    It is measured until the next one, which the flood calls, is there; that one has to leave again
    before the first step.
    """
    watch.until(lambda sample: sample.wanted == sample.present == 1, "one worker, as nothing comes")
    rate.value = _FLOOD
    first = last = watch.until(lambda sample: sample.lag > _BACKLOG, "a backlog")
    while last.present == 1 and last.at_s - first.at_s < seconds:
        last = watch.look(-1)
    rate.value = 0.0
    watch.until(lambda sample: sample.lag == 0, "the end of the backlog")
    watch.until(lambda sample: sample.wanted == sample.present == 1, "one worker again")
    if last is first:
        raise RuntimeError(f"a second worker came before one was at its limit: {first}")
    return (last.done - first.done) / (last.at_s - first.at_s)


def follow(watch: Watch, rate: Any, steps: Sequence[Step], most: float) -> list[dict[str, Any]]:
    """Go through the steps; a row each."""
    watch.begin()
    rows = []
    for number, step in enumerate(steps):
        rate.value = step.load * most
        until_s = time.monotonic() + step.seconds
        while time.monotonic() < until_s:
            watch.look(number)
        rows.append(row_of(step, [s for s in watch.samples if s.step == number]))
        print(rows[-1], file=sys.stderr)
    return rows


def row_of(step: Step, samples: Sequence[Sample]) -> dict[str, Any]:
    """What became of a step."""
    first, last = samples[0], samples[-1]
    changed = next((s.at_s for s in samples if s.wanted != first.wanted), None)
    behind = [s.at_s for s in samples if s.lag > max(s.rate, 1.0) * _CAUGHT_UP_S]
    return {
        "load": f"{step.load:g}",
        "readings/s": last.rate,
        "workers": last.present,
        "most": max(s.present for s in samples),
        "first s": None if changed is None else changed - first.at_s,
        "lag, most": max(s.lag for s in samples),
        "lag, end": last.lag,
        "late s": behind[-1] - first.at_s if behind else 0.0,
    }


@contextmanager
def loaded(connection: Connection, topic: str) -> Iterator[tuple[Any, Any]]:
    """A producer beside; its rate, and what it has sent."""
    context = get_context("spawn")
    rate, sent = context.Value("d", 0.0), context.Value("q", 0)
    job = LoadJob(connection=connection, topic=topic, rate=rate, sent=sent)
    failed: list[BaseException] = []

    def produce() -> None:
        try:
            processes.run((run_load, job), within_s=_LIMIT_S)
        except processes.ContestantError as error:
            failed.append(error)

    thread = threading.Thread(target=produce, name="load")
    thread.start()
    try:
        yield rate, sent
    finally:
        rate.value = -1.0
        thread.join()
    if failed:
        raise failed[0]


def measure(folder: Path, *, share: float, steps: Sequence[Step]) -> tuple[Watch, list[Any], float]:
    """The whole of it: samples, a row a step, readings/s of one worker."""
    topics = TopicSettings(partitions=PARTITIONS)
    model = train_model(folder / "model", _SHAPE)
    with BrokerConfig().open() as broker:
        connection = Connection(bootstrap=broker.bootstrap)
        admin_of(connection).create_topics(topic_specs(topics))
        assignments = {
            "kafka.bootstrap": broker.bootstrap,
            "model.path": model,
            "model.device": "cpu",
            "metrics.port": 0,
            "workers.ingest": "auto",
            "workers.max_ingest": MOST_WORKERS,
            **{f"workers.{name}": value for name, value in SCALING.items()},
        }
        with (
            quotas(share) if share else nullcontext() as quota,
            loaded(connection, topics.readings) as (rate, sent),
            running(assignments, folder) as runner,
        ):
            watch = Watch(Pipeline(runner, quota), rate, sent)
            most = most_of_one(watch, rate, seconds=15)
            print(f"one worker: {most:,.0f} readings/s", file=sys.stderr)
            rows = follow(watch, rate, steps, most)
            rate.value = 0.0
            # What is read is no lag any more, and done when it is committed.
            watch.until(lambda s: s.lag == 0 and s.done == s.sent, "the last reading sent")
    return watch, rows, most


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--share", type=float, default=0.15, help="of a core, for each worker")
    made.add_argument("--picture", type=Path, metavar="PATH", help="draw it, as PNG or SVG")
    options = made.parse_args(argv)
    steps = QUICK if options.quick else STEPS
    with TemporaryDirectory(prefix="vigie-bench-") as folder:
        watch, rows, most = measure(Path(folder), share=options.share, steps=steps)
    notes = [
        f"1 worker: {most:,.0f} readings/s, with {options.share or 1:g} of a core",
        f"all {watch.samples[-1].sent:,} readings done; {PARTITIONS} partitions",
    ]
    show("Scaling by lag", rows, notes=notes)
    if options.picture:
        draw(watch.samples, options.picture)
    if options.json:
        samples = [asdict(sample) for sample in watch.samples]
        figures = {"readings/s of one": most, "steps": rows, "samples": samples}
        write_json(options.json, benchmark="scaling", figures=figures)


if __name__ == "__main__":
    main()
