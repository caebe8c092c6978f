"""Real series with an unclean history: 19 of half A.

Rows of their own faults, one sentinel, or a short fault among the rows that teach.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.detection.dirty import Place, contaminated, with_sentinel, with_short_fault
from benchmarks.detection.series import LabelledSeries
from benchmarks.detection.sets import indexed, skab
from benchmarks.detection.sets.base import DataSet, MissingDataError, Options
from benchmarks.detection.sets.simulated import SHARES

MSL_CHANNELS = 55


def load_contaminated(options: Options) -> Iterator[LabelledSeries]:
    """With 0, 2, 5, 10 % rows copied from a fault."""
    for series in _series(options):
        for share in SHARES:
            dirty = contaminated(series, share, largest=SHARES[-1], seed=options.seed)
            yield replace(dirty, set=f"real, {share:.0%} dirty")


def load_histories(options: Options) -> Iterator[LabelledSeries]:
    """Clean, with one -9999, with 20 bad rows in the last fifth of the history."""
    for series in _series(options):
        yield replace(series, set="real, clean history")
        yield replace(with_sentinel(series, Place.LAST), set="real, one -9999 in the last part")
        yield replace(
            with_short_fault(series, Place.LAST), set="real, 20 bad rows in the last part"
        )


def _series(options: Options) -> Iterator[LabelledSeries]:
    """Nine of SKAB, two of SMD, five of SMAP, three of MSL."""
    whole, found = replace(options, quick=False), 0
    for load in (_skab, _smd, _nasa):
        try:
            for series in load(whole):
                found += 1
                yield series
                if options.quick:
                    break
        except MissingDataError as missing:
            print(f"unclean histories: {missing}", file=sys.stderr)
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
    name="dirty-real",
    about="19 real series of half A, 0, 2, 5, 10 % of training from a fault",
    load=load_contaminated,
)
HISTORIES_REAL = DataSet(
    name="histories-real",
    about="the same 19, a sentinel or a short fault in the last fifth of training",
    load=load_histories,
)
