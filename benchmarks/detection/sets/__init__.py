"""Every set that the benchmark knows, by name."""

from benchmarks.detection.sets import indexed, layouts, quiet, simulated, skab, unclean
from benchmarks.detection.sets.base import DataSet, MissingDataError, Options

SETS: dict[str, DataSet] = {
    one.name: one
    for one in (
        skab.SKAB,
        indexed.SMD_1,
        indexed.SMD_2,
        indexed.NASA_1,
        indexed.NASA_2,
        quiet.QUIET,
        unclean.DIRTY_REAL,
        unclean.HISTORIES_REAL,
        simulated.FAULTS,
        simulated.SITES_SET,
        simulated.CONTAMINATED,
        simulated.HISTORIES,
        layouts.SWAT,
        layouts.WADI,
        layouts.PSM,
        layouts.TSB_AD_U,
        layouts.TSB_AD_M,
    )
}

__all__ = ["SETS", "DataSet", "MissingDataError", "Options"]
