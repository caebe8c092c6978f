"""Principal components against a linear and a non-linear autoencoder, at equal bottlenecks.

Protocol. Windows of 8 readings. Each method has the same training readings, the same bottleneck and
the same aim: to give back the window that was read, with least squared error (`vigie compare`). PCA
is exact; both autoencoders take 1,000 steps of 256 windows, and the non-linear one (a hidden layer
of 128) keeps the weights that did best on the last tenth before calibration. All figures are of
time behind the training.

* Plant: one simulated pump a seed, a reading each 5 s, 8,400 readings to learn from, 3,600 to
  judge. Error of the reconstruction against the noisy readings and against the simulation's truth
  without noise, both in per cent of the variance of the noisy readings. Detection: the same 3,600
  readings with seven faults (one of each kind) in them.
* Real sets (`--data`): SKAB's run without faults (the first 70 % teach), SKAB's 34 experiments (the
  first 400 rows of each teach), SMD's machines (the train file teaches). The truth is not known.

Numbers are medians over seeds or series, with the least and the largest; "better than PCA" counts
the seeds or series in which the error is smaller than PCA's of the same bottleneck (against the
truth, where it is known). Average precision is of rows, without a threshold.

    python -m benchmarks.comparison --seeds 5
    python -m benchmarks.comparison --only skab smd --data DATA
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.detection.series import LabelledSeries
from benchmarks.detection.sets.base import MissingDataError, Options, find_folder
from benchmarks.detection.sets.indexed import SMD_1
from benchmarks.detection.sets.skab import FROM, MAX_GAP_S, SKAB, read_rows
from benchmarks.table import parser, write_json
from workers.compare.detection import detection_of
from workers.compare.errors import Errors, Part, errors_of
from workers.compare.methods import Fitted, Method, Plan, fit
from workers.compare.time_split import TimeSplit, cut, parts_of
from workers.data.history import History, SensorRows
from workers.plant.faults import SLOT_ROWS, FaultKind, FixedSchedule, draw_fault
from workers.plant.plant import Plant, PlantConfig

FloatArray = npt.NDArray[np.float64]

RECEPTIVE_FIELD = 8
TRAIN_ROWS, TEST_ROWS = 8_400, 3_600
INTERVAL_S = 5.0
SETS = ("plant", "skab-sound", "skab", "smd")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A history, and what is known of it.

    Attributes:
        set, name: the lines it counts in, and which it is.
        sound: what errors are measured on.
        faulty: what detection is judged on; None without labels.
        truth: the held-out rows of `sound` without noise; None where nobody knows.
        max_gap_s: no window reaches over a longer gap; 0 = ten intervals.
    """

    set: str
    name: str
    sound: TimeSplit
    faulty: TimeSplit | None
    truth: FloatArray | None = None
    max_gap_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one method at one bottleneck on one case; NaN where unknown."""

    case: Case
    method: Method
    bottleneck: int
    left: float  # error against the readings, share of their variance
    truth: float  # error against the truth, likewise
    precision: float  # average precision
    found: float  # share of the faults above 99 % of the sound readings
    fit_s: float

    @property
    def judged(self) -> float:
        """The error that is compared with PCA's."""
        return self.truth if np.isfinite(self.truth) else self.left


def plant_cases(seeds: int) -> Iterator[Case]:
    """One pump a seed, sound and with faults."""
    for seed in range(seeds):
        config = PlantConfig(machines=1, seed=100 + seed, interval_s=INTERVAL_S)
        rng = np.random.default_rng([seed, 14])
        faults = [
            draw_fault(rng, kind=kind, machine=0, first_row=TRAIN_ROWS + slot * SLOT_ROWS)
            for slot, kind in enumerate(FaultKind)
        ]
        sound, truth = _pump(Plant(config))
        faulty, _ = _pump(Plant(config, FixedSchedule(faults)))
        share = TEST_ROWS / (TRAIN_ROWS + TEST_ROWS)
        yield Case(
            set="plant",
            name=str(seed),
            sound=cut(sound, share),
            faulty=cut(faulty, share),
            truth=truth[TRAIN_ROWS:],
        )


def skab_sound_case(options: Options) -> Iterator[Case]:
    """SKAB's run without faults."""
    root = find_folder(options, holds=["anomaly-free/*.csv"], what=FROM)
    one = read_rows(root / "anomaly-free" / "anomaly-free.csv")
    split = cut(_history(one), 0.3)
    yield Case(set="skab-sound", name=one.sensor, sound=split, faulty=None, max_gap_s=MAX_GAP_S)


def labelled_cases(name: str, series: Iterator[LabelledSeries], max_gap_s: float) -> Iterator[Case]:
    """Series whose first rows teach."""
    for one in series:
        times = one.ts_ns
        if not len(times):
            times = (np.arange(len(one.rows)) * round(one.interval_s * 1e9)).astype(np.int64)
        rows = SensorRows(
            sensor=one.name, ts_ns=times, values=one.rows, labels=one.labels.astype(np.bool_)
        )
        split = cut(_history(rows), 1.0 - one.n_train / len(one.rows))
        yield Case(set=name, name=one.name, sound=split, faulty=split, max_gap_s=max_gap_s)


def cases(wanted: Sequence[str], options: Options, seeds: int) -> Iterator[Case]:
    """All that are asked for; a set whose files are missing is left out, loudly."""
    if "plant" in wanted:
        yield from plant_cases(seeds)
    real = {
        "skab-sound": lambda: skab_sound_case(options),
        "skab": lambda: labelled_cases("skab", iter(SKAB.load(options)), MAX_GAP_S),
        "smd": lambda: labelled_cases("smd", iter(SMD_1.load(options)), 0.0),
    }
    for name in (one for one in wanted if one in real):
        try:
            yield from real[name]()
        except MissingDataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)


def measure(case: Case, method: Method, plan: Plan) -> Figures:
    """Fit on the case's training readings, judge by what comes after."""
    known = case.sound.training
    config = replace(plan.training(method, known.channels), max_gap_s=case.max_gap_s)
    fitted = fit(case.sound.series(), config)
    held = case.sound.held_out.without_labelled()
    parts = parts_of(held.sensors, known.sensors, fitted.group_of)
    against_truth = float("nan")
    if case.truth is not None:
        known_truth = [replace(parts[0], truth=case.truth)]
        against_truth = _errors(fitted, known_truth).unexplained
    precision = found = float("nan")
    if case.faulty is not None:
        told = detection_of(fitted.detector(), case.faulty, plan)
        precision, found = told.faults.average_precision, told.at_equal_rate
    return Figures(
        case=case,
        method=method,
        bottleneck=plan.bottleneck,
        left=_errors(fitted, parts).unexplained,
        truth=against_truth,
        precision=precision,
        found=found,
        fit_s=fitted.fit_s,
    )


def summary(found: Sequence[Figures]) -> list[str]:
    """Lines of a markdown table, one for each set, bottleneck and method."""
    lines = [
        (
            "| set | bottleneck | method | error against readings % | against the truth % "
            "| better than PCA | average precision | found at 1 % false | fitted in s |"
        ),
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups = dict.fromkeys((one.case.set, one.bottleneck, one.method) for one in found)
    for group in groups:
        own = [one for one in found if (one.case.set, one.bottleneck, one.method) == group]
        rivals = {
            one.case.name: one.judged
            for one in found
            if (one.case.set, one.bottleneck, one.method) == (*group[:2], Method.PCA)
        }
        won = sum(one.judged < rivals[one.case.name] for one in own)
        better = "" if group[2] is Method.PCA else f"{won} of {len(own)}"
        cells = [
            group[0],
            str(group[1]),
            group[2].value,
            _spread([100 * one.left for one in own]),
            _spread([100 * one.truth for one in own]),
            better,
            _spread([one.precision for one in own]),
            _spread([one.found for one in own]),
            _spread([one.fit_s for one in own], alone=True),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _errors(fitted: Fitted, parts: Sequence[Part]) -> Errors:
    return errors_of(fitted.view, parts, max_gap_s=fitted.data.max_gap_s)


def _pump(plant: Plant) -> tuple[History, FloatArray]:
    chunks = list(plant.chunks(TRAIN_ROWS + TEST_ROWS))
    rows = SensorRows(
        sensor=plant.machines[0],
        ts_ns=np.concatenate([chunk.ts_ns for chunk in chunks]),
        values=np.concatenate([chunk.noisy[:, 0] for chunk in chunks]),
        labels=np.concatenate([chunk.label[:, 0] for chunk in chunks]) > 0,
    )
    return _history(rows), np.concatenate([chunk.clean[:, 0] for chunk in chunks])


def _history(one: SensorRows) -> History:
    return History(
        channels=tuple(f"c{number}" for number in range(one.values.shape[1])),
        sensors=(one,),
        read=len(one),
        left_out=Counter(),
        units={},
        told_missing=Counter(),
        unordered=Counter(),
    )


def _spread(values: Sequence[float], *, alone: bool = False) -> str:
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return ""
    middle = f"{np.median(known):.2f}"
    return (
        middle if alone or len(known) == 1 else f"{middle} ({known.min():.2f}..{known.max():.2f})"
    )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=5, help="pumps of the plant")
    options.add_argument("--bottlenecks", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    options.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument("--data", type=Path, nargs="+", default=[], help="folders of real sets")
    options.add_argument("--max-steps", type=int, default=1_000)
    told = options.parse_args()
    torch.set_num_threads(1)
    seeds, steps = (1, 100) if told.quick else (told.seeds, told.max_steps)
    sizes = told.bottlenecks[:2] if told.quick else told.bottlenecks
    found = []
    for case in cases(told.only, Options(paths=tuple(told.data), quick=told.quick), seeds):
        for size in sizes:
            plan = Plan(bottleneck=size, receptive_field=RECEPTIVE_FIELD, max_steps=steps)
            found += [measure(case, method, plan) for method in Method]
        print(f"{case.set} {case.name}", file=sys.stderr)
        if told.json is not None:  # a long run that is cut off is not lost
            _write(told.json, found)
    print("\n".join(summary(found)))


def _write(path: Path, found: Sequence[Figures]) -> None:
    names = ("bottleneck", "left", "truth", "precision", "found", "fit_s")
    rows = [
        {
            "set": one.case.set,
            "case": one.case.name,
            "method": one.method.value,
            **{name: getattr(one, name) for name in names},
        }
        for one in found
    ]
    write_json(path, benchmark="comparison", figures={"figures": rows})


if __name__ == "__main__":
    main()
