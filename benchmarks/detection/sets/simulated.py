"""The simulated suite, for CI too: faults, rhythm, drift, commands, unclean histories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.detection.dirty import Place, contaminated, with_sentinel, with_short_fault
from benchmarks.detection.series import LabelledSeries, half_of
from benchmarks.detection.sets.base import DataSet, Options
from benchmarks.detection.simulated.pump import pump
from benchmarks.detection.simulated.telemetry import (
    COMMAND_KINDS,
    COMMANDS,
    RHYTHM_KINDS,
    Site,
    telemetry,
)
from workers.plant.faults import FaultKind

FAULTS_OF_A_KIND = 10
HEALTHY_PUMPS = 8
HOUR_ROWS, WEEK_ROWS = 3_600, 604_800
SITES = {
    "rhythm": Site(rhythm=2.0, kinds=RHYTHM_KINDS),
    "no rhythm": Site(),
    "drift .5 sd/week": Site(drift=0.5),
    "commands": Site(commands=COMMANDS, kinds=COMMAND_KINDS),
}
SHARES = (0.0, 0.02, 0.05, 0.10)


def load_faults(options: Options) -> Iterator[LabelledSeries]:
    """Two pumps for each kind of fault, ten faults each; eight healthy pumps for an hour."""
    for index in range(2):
        for kind in FaultKind:
            count = 3 if options.quick else FAULTS_OF_A_KIND
            simulated = pump(options.seed * 100 + index, [kind] * count)
            yield simulated.series(
                name=f"{kind.label}-{index}", set_name=f"pump: {kind.label}", half=half_of(index)
            )
    for index in range(2 if options.quick else HEALTHY_PUMPS):
        simulated = pump(options.seed * 100 + 20 + index, [], quiet_rows=HOUR_ROWS)
        yield simulated.series(
            name=f"healthy-{index}",
            set_name="pump: healthy, 1 a week",
            half=half_of(index),
            budget_rows=WEEK_ROWS,
        )


def load_sites(options: Options) -> Iterator[LabelledSeries]:
    """Sites with a rhythm (four), without one, with drift, with commands (two each)."""
    for name, site in SITES.items():
        for index in range(4 if name == "rhythm" and not options.quick else 2):
            simulated = telemetry(options.seed * 100 + index, site)
            yield simulated.series(
                name=f"{name}-{index}", set_name=f"site: {name}", half=half_of(index)
            )


def load_contaminated(options: Options) -> Iterator[LabelledSeries]:
    """Pumps that learned from 0, 2, 5, 10 % rows of a fault."""
    for series in _mixed_pumps(options):
        for share in SHARES:
            dirty = contaminated(series, share, largest=SHARES[-1], seed=options.seed)
            yield replace(dirty, set=f"pump, {share:.0%} dirty")


def load_histories(options: Options) -> Iterator[LabelledSeries]:
    """Pumps with one -9999, or a fault of 20 rows, in their history; and their clean twins."""
    for series in _mixed_pumps(options):
        yield replace(series, set="pump, clean history")
        for place in Place:
            where = f"in the {place.name.lower()} part"
            yield replace(with_sentinel(series, place), set=f"pump, one -9999 {where}")
            yield replace(with_short_fault(series, place), set=f"pump, 20 bad rows {where}")


def _mixed_pumps(options: Options) -> Iterator[LabelledSeries]:
    kinds = [FaultKind.LEVEL_SHIFT, *FaultKind]  # the first one is copied from
    for index in range(2 if options.quick else 4):
        simulated = pump(options.seed * 100 + 50 + index, kinds)
        yield simulated.series(name=f"pump-{index}", set_name="", half=half_of(index))


FAULTS = DataSet(name="faults", about="simulated: each kind of fault of a pump", load=load_faults)
SITES_SET = DataSet(name="sites", about="simulated: rhythm, drift, commands", load=load_sites)
CONTAMINATED = DataSet(
    name="dirty", about="simulated: 0, 2, 5, 10 % of training from a fault", load=load_contaminated
)
HISTORIES = DataSet(
    name="histories", about="simulated: a sentinel, a short fault in training", load=load_histories
)
