"""The windows of labelled rows: each inside one class, one sensor, and without a gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from detector.augmentation import labels_of
from detector.scoring import Detector
from detector.signal.series import runs
from schemas.wire.timestamp import TimestampError, short_ns, to_ns
from workers.augment.labelled import NO_CLASS, SEVERAL, IntArray, Labelled
from workers.data.errors import FileFormatError, listed
from workers.data.history import FloatArray


class Left(StrEnum):
    """Why rows are in no window."""

    SHORT = "in stretches of one label shorter than a window"
    REST = "at the end of a stretch, too few for another window"
    NO_LABEL = "without a label"
    SEVERAL = "made of rows of several labels (--resample)"


LeftOut = Counter[tuple[str | None, Left]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a window is: the place of its sensor, its first row, and its class."""

    sensor: int
    first: int
    code: int


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The windows of a set.

    Attributes:
        places: of the windows, sensor by sensor, in time.
        left: how many rows are in none, by class (None where they have none) and reason.
    """

    places: tuple[Place, ...]
    left: LeftOut

    def of_class(self, code: int) -> tuple[Place, ...]:
        """The windows of one class."""
        return tuple(one for one in self.places if one.code == code)


def cut(labelled: Labelled, *, rows: int, step: int, max_gap_ns: int) -> Cut:
    """Cut every stretch of one label without a gap into windows.

    Args:
        labelled: what was read.
        rows: of a window.
        step: rows from the beginning of a window to that of the next one.
        max_gap_ns: a longer time between two rows ends a stretch.
    """
    places: list[Place] = []
    left: LeftOut = Counter()
    for sensor, (one, codes) in enumerate(
        zip(labelled.history.sensors, labelled.codes, strict=True)
    ):
        for start, end, code in _stretches(one.ts_ns, codes, max_gap_ns):
            if code < 0:
                left[None, Left.NO_LABEL if code == NO_CLASS else Left.SEVERAL] += end - start
                continue
            firsts = range(start, end - rows + 1, step)
            places += [Place(sensor=sensor, first=first, code=code) for first in firsts]
            rest = end - (firsts[-1] + rows) if firsts else end - start
            if rest:
                left[labelled.classes[code], Left.REST if firsts else Left.SHORT] += rest
    return Cut(places=tuple(places), left=left)


def named_sources(
    labelled: Labelled, names: Sequence[str], *, rows: int, max_gap_ns: int
) -> tuple[Place, ...]:
    """Windows that a person named, SENSOR@TIME of their last row, as `vigie latent` names them.

    Raises:
        FileFormatError: there is no such sensor or row, or the window has a gap.
        ValueError: a window spans two labels, or has none.
    """
    places = [_named(labelled, name, rows=rows, max_gap_ns=max_gap_ns) for name in names]
    words = [
        [_word(labelled, int(code)) for code in labelled.codes[s][first : first + rows]]
        for s, first in places
    ]
    labels = labels_of(words)
    for name, label in zip(names, labels, strict=True):
        if label not in labelled.classes:
            raise ValueError(f"the window {name} has no label")
    return tuple(
        Place(sensor=sensor, first=first, code=labelled.classes.index(label))
        for (sensor, first), label in zip(places, labels, strict=True)
    )


def name_of(labelled: Labelled, place: Place, *, rows: int) -> str:
    """A window's name: its sensor and the time of its last row, as in `vigie latent`."""
    one = labelled.history.sensors[place.sensor]
    return f"{one.sensor}@{short_ns(int(one.ts_ns[place.first + rows - 1]))}"


def values_of(labelled: Labelled, places: Sequence[Place], detector: Detector) -> FloatArray:
    """The windows in channel units, [n, R, C]."""
    rows = detector.signal.receptive_field
    sensors = labelled.history.sensors
    found = [sensors[one.sensor].values[one.first : one.first + rows] for one in places]
    shape = (len(places), rows, len(detector.channels))
    return np.stack(found) if found else np.zeros(shape)


def groups_of(labelled: Labelled, places: Sequence[Place], detector: Detector) -> IntArray:
    """The calibration group of each window's sensor, [n]."""
    sensors = labelled.history.sensors
    groups = [detector.group_of(sensors[one.sensor].sensor) for one in places]
    return np.array(groups, dtype=np.int64)


def _stretches(ts_ns: IntArray, codes: IntArray, max_gap_ns: int) -> Iterator[tuple[int, int, int]]:
    """First row, end (excluded) and class of each stretch of one class without a gap."""
    for start, end in runs(ts_ns, max_gap_ns):
        changes = np.flatnonzero(np.diff(codes[start:end])) + start + 1
        for first, until in pairwise([start, *changes.tolist(), end]):
            yield first, until, int(codes[first])


def _named(labelled: Labelled, name: str, *, rows: int, max_gap_ns: int) -> tuple[int, int]:
    wanted, _, time = name.rpartition("@")
    known = [one.sensor for one in labelled.history.sensors]
    if wanted not in known:
        raise FileFormatError(
            f"--source {name}: there is no sensor {wanted!r}; a window is named SENSOR@TIME of its "
            f"last row, and there are {listed(known)}"
        )
    sensor = known.index(wanted)
    times = labelled.history.sensors[sensor].ts_ns
    try:
        at = to_ns(time)
    except TimestampError as error:
        raise FileFormatError(f"--source {name}: {error}") from error
    last = int(np.searchsorted(times, at))
    if last == len(times) or int(times[last]) != at:
        raise FileFormatError(
            f"--source {name}: sensor {wanted!r} has no row at this time; its first one is at "
            f"{short_ns(int(times[0]))}"
        )
    first = last - rows + 1
    if first < 0 or (np.diff(times[first : last + 1]) > max_gap_ns).any():
        raise FileFormatError(
            f"--source {name}: fewer than {rows} rows lead up to this time without a gap"
        )
    return sensor, first


def _word(labelled: Labelled, code: int) -> str:
    if code == SEVERAL:
        return "several at once"
    return "no label" if code == NO_CLASS else labelled.classes[code]
