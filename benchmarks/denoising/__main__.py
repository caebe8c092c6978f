"""How much noise the cleaned signal is rid of, against filters that were tuned with the truth.

    python -m benchmarks.denoising [--quick] [--seeds 3] [--data FOLDER] [--json PATH] [--out PNG]

Signals: the simulated plant, one pump, a row a second and one every five, eight channels, 18,000
rows, 12,000 of which train; with `--data` (a folder with smd/, skab/, nasa/) real records of at
least 4,000 rows, 18,000 at most, 60 % of which train. The rule for a real channel, decided on its
training part: 100 different values, and were the power in the top quarter of its spectrum white
noise, it would be 30 dB below the variance. The other channels come along without added noise.
Of NASA only column 0, with the flags of the commands beside it.

Noise, sizes relative to a channel's deviation in the training part: white at 0, 5, 10, 20 dB; none
(of the plant: the rounding of its instruments); the plant's own noise; at 10 dB coloured (AR(1),
0.7), white with 1 % impulses of 8 deviations, white with 5 % of the values lost; rounding to steps
of half a deviation, with and without dither.

Ours sees the noisy training part alone. Every other filter is tuned per channel on the training
part with its clean truth: of its grid the parameters of least error. All are measured on the rows
after it. Gain: error of the input over error of the output, dB, mean of the channels (worst one);
a missing value is the last one before it in the input. Clean real signals: signal over error. The
Wiener bounds are those of a linear filter of one channel, from its true spectrum; ours, and PCA,
see the other channels too and may beat them.

Peaks: steps and spikes of 2 to 10 deviations, both signs, at 10 dB: what the output changes by over
what was added, in the best row.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.denoising.baselines import FAMILIES
from benchmarks.denoising.figures import OURS, SETTLED, figures, fit
from benchmarks.denoising.noises import kinds, trial
from benchmarks.denoising.peaks import retention
from benchmarks.denoising.picture import draw
from benchmarks.denoising.signals import Signal, plant, real
from benchmarks.table import parser, write_json

Figures = dict[str, Any]
_PEAKS_AT = "10 dB"


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="plants, and draws of each noise")
    options.add_argument("--data", type=Path, help="folder with smd/, skab/ and nasa/")
    options.add_argument("--out", type=Path, metavar="PNG", help="gain over signal-to-noise ratio")
    options.add_argument("--only", default="", help="signals whose name holds this")
    args = options.parse_args()
    torch.set_num_threads(1)
    seeds = range(1 if args.quick else args.seeds)
    if args.data is None:
        sys.stderr.write("no --data: the real signals are left out\n")
    found: list[Figures] = []
    peaks: list[Figures] = []
    example = None
    for seed in seeds:
        for signal in _signals(args.data, seed, quick=args.quick):
            if args.only not in signal.name:
                continue
            for kind in kinds(signal):
                fitted = fit(trial(signal, kind, seed), seed=seed)
                found.append({"signal": signal.name, "kind": kind, "seed": seed, **figures(fitted)})
                sys.stderr.write(f"{signal.name}, {kind}, seed {seed}\n")
                if kind == _PEAKS_AT and signal.measured is not None:
                    per_case = 1 if args.quick else 4
                    peaks += retention(fitted, per_case=per_case, seed=seed)
                    example = example or fitted
    for title, rows in tables(found, peaks).items():
        _print(title, rows)
    if args.json is not None:
        write_json(args.json, benchmark="denoising", figures={"trials": found, "peaks": peaks})
    if args.out is not None and example is not None:
        draw(args.out, found, example)
    return 0


def _signals(data: Path | None, seed: int, *, quick: bool) -> Iterator[Signal]:
    for interval_s in (1.0, 5.0):
        yield plant(interval_s=interval_s, rows=6_000 if quick else 18_000, seed=seed)
    if data is not None:
        # One real record is as it is: seeds draw only its noise.
        yield from real(data)


def tables(found: list[Figures], peaks: list[Figures]) -> dict[str, list[Figures]]:
    """The tables: medians over the seeds, mean (worst) of the channels."""
    places = list(dict.fromkeys((one["signal"], one["kind"]) for one in found))
    groups = {
        place: [one for one in found if (one["signal"], one["kind"]) == place] for place in places
    }
    shown = {
        "Gain, dB": [_row(place, trials) for place, trials in groups.items()],
        "Gain of each baseline, dB": [
            {
                "signal": place[0],
                "noise": place[1],
                **{name: _both(trials, name) for name in FAMILIES},
            }
            for place, trials in groups.items()
        ],
    }
    if peaks:
        shown["Height kept at 10 dB, median (5th percentile; worst)"] = _peak_rows(peaks)
    return shown


def _row(place: tuple[str, str], trials: list[Figures]) -> Figures:
    best = {
        ahead: max(
            (name for name, looks in FAMILIES.items() if looks <= ahead),
            key=lambda name: _mean(trials, name),
        )
        for ahead in (False, True)
    }
    row: Figures = {
        "signal": place[0],
        "noise": place[1],
        "ours": _both(trials, OURS),
        "best causal": f"{_both(trials, best[False])} {best[False]}",
        "settled": _both(trials, SETTLED),
        "lag": round(statistics.median(one["lag"] for one in trials)),
        "best with look-ahead": f"{_both(trials, best[True])} {best[True]}",
    }
    if "bound" in trials[0]:
        for name, arm in (("causal", OURS), ("smoother", SETTLED)):
            bound = statistics.median(float(np.mean(one["bound"][name])) for one in trials)
            row[f"to {name} bound"] = f"{_mean(trials, arm) - bound:+.1f}"
        told = [one["told"] for one in trials if "told" in one]
        for title, name in (
            ("told bounds", "bound_db"),
            ("told gains", "gain_db"),
        ):
            values = [
                statistics.median(float(np.mean(one[key])) for one in told)
                for key in (f"causal_{name}", f"settled_{name}")
                if told and all(key in one for one in told)
            ]
            row[title] = ", ".join(f"{value:.1f}" for value in values)
    return row


def _mean(trials: Sequence[Figures], name: str) -> float:
    return statistics.median(float(np.mean(one["gain"][name])) for one in trials)


def _both(trials: Sequence[Figures], name: str) -> str:
    worst = statistics.median(float(np.min(one["gain"][name])) for one in trials)
    return f"{_mean(trials, name):.1f} ({worst + 0.0:.1f})"


def _peak_rows(peaks: list[Figures]) -> list[Figures]:
    rows = []
    for event in dict.fromkeys(one["event"] for one in peaks):
        row: Figures = {"event": event}
        for arm in dict.fromkeys(one["arm"] for one in peaks):
            own = [one for one in peaks if one["arm"] == arm and one["event"] == event]
            median, low = (statistics.median(one[key] for one in own) for key in ("median", "p5"))
            worst = min(one["worst"] for one in own)
            row[arm] = f"{median:.2f} ({low:.2f}; {worst:.2f})"
        rows.append(row)
    return rows


def _print(title: str, rows: list[Figures]) -> None:
    """As markdown."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join(["---", *["---:"] * (len(columns) - 1)]) + " |")
    for row in rows:
        print("| " + " | ".join(str(row.get(column, "")) for column in columns) + " |")


if __name__ == "__main__":
    sys.exit(main())
