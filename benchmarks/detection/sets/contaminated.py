"""Real series that learned from rows of their own faults: 19 of half A, as recipe 2 measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.detection.dirty import contaminated
from benchmarks.detection.series import LabelledSeries
from benchmarks.detection.sets import indexed, skab
from benchmarks.detection.sets.base import DataSet, MissingDataError, Options
from benchmarks.detection.sets.simulated import SHARES

MSL_CHANNELS = 55


def load(options: Options) -> Iterator[LabelledSeries]:
    """Nine of SKAB, two of SMD, five of SMAP, three of MSL; with 0, 2, 5, 10 % dirty rows."""
    whole = replace(options, quick=False)
    found = 0
    for load_one in (_skab, _smd, _nasa):
        try:
            for series in load_one(whole):
                found += 1
                for share in SHARES:
                    dirty = contaminated(series, share, largest=SHARES[-1], seed=options.seed)
                    yield replace(dirty, set=f"real, {share:.0%} dirty")
                if options.quick:
                    break
        except MissingDataError as missing:
            print(f"dirty-real: {missing}")
    if not found:
        raise MissingDataError("none of SKAB, SMD and NASA is below the given paths")


def _skab(options: Options) -> Iterator[LabelledSeries]:
    yield from (one for i, one in enumerate(skab.load(options)) if i % 4 == 0)


def _smd(options: Options) -> Iterator[LabelledSeries]:
    yield from (one for one in indexed.load_smd_2(options) if one.half == "A")


def _nasa(options: Options) -> Iterator[LabelledSeries]:
    half = [one for one in indexed.load_nasa_2(options) if one.half == "A"]
    yield from [one for one in half if one.rows.shape[1] != MSL_CHANNELS][::3][:5]
    yield from [one for one in half if one.rows.shape[1] == MSL_CHANNELS][::2][:3]


DIRTY_REAL = DataSet(
    name="dirty-real", about="19 real series, 0, 2, 5, 10 % of training from a fault", load=load
)
