"""Whole windows of a history: all of them, or those that a person names.

A window is R rows in a row of one sensor without a gap, R being what the model's autoencoder looks
at. It is named by the time of its last row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.scoring import Detector
from schemas.wire.timestamp import short_ns, to_ns
from workers.data.errors import listed
from workers.data.history import History, SensorRows
from workers.latent.errors import LatentError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LABELLED = "label"
"""The word of a place that means the rows which the label column names."""
MAX_CHOSEN = 10_000
"""Windows that one place stands for at most; of more, so many are taken evenly."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which windows are meant; of `parse`.

    Attributes:
        sensor: None for the only one, or for all where rows are chosen by label.
        start_ns, end_ns: times of the last rows, both included; None: the labelled rows.
    """

    text: str
    sensor: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def by_label(self) -> bool:
        """Whether the label column chooses."""
        return self.end_ns is None

    @classmethod
    def parse(cls, text: str) -> Place:
        """A place as it is written: [SENSOR@]TIME, [SENSOR@]FROM/TO or [SENSOR@]label.

        Times are RFC 3339. TIME means one window, the one that ends with the last row up to it.

        Raises:
            ValueError: it is none of these.
        """
        sensor, _, when = text.strip().rpartition("@")
        if when == LABELLED:
            return cls(text=text, sensor=sensor or None)
        start, slash, end = when.partition("/")
        try:
            first, last = to_ns(start), to_ns(end) if slash else None
        except ValueError as error:
            raise ValueError(
                f"{text!r} names no windows: write [SENSOR@]TIME, [SENSOR@]FROM/TO or "
                f"[SENSOR@]{LABELLED}, such as pump-001@2026-01-01T00:10:00Z ({error})"
            ) from error
        if last is not None and last < first:
            raise ValueError(f"{text!r} ends before it begins")
        return cls(
            text=text,
            sensor=sensor or None,
            start_ns=first if last is not None else None,
            end_ns=first if last is None else last,
        )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Windows, and where they come from.

    Attributes:
        values: channel units, NaN = missing, [n, R, C].
        sensors: of each window.
        ts_ns: times of the rows, [n, R].
        groups: calibration group of each window's sensor, [n].
        labels: whether its last row is labelled, [n]; None without labels.
    """

    values: FloatArray
    sensors: tuple[str, ...]
    ts_ns: IntArray
    groups: IntArray
    labels: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def only(self, picks: IntArray) -> Chosen:
        """Some of them."""
        return Chosen(
            values=self.values[picks],
            sensors=tuple(self.sensors[pick] for pick in picks),
            ts_ns=self.ts_ns[picks],
            groups=self.groups[picks],
            labels=None if self.labels is None else self.labels[picks],
        )


def all_windows(history: History, detector: Detector, *, limit: int) -> Chosen:
    """Windows of all sensors, of more than `limit` so many, evenly picked in each sensor's time.

    Raises:
        LatentError: no sensor has a whole window.
    """
    ends = [_ends(one, detector) for one in history.sensors]
    total = sum(map(len, ends))
    if not total:
        size = detector.signal.receptive_field
        longest = max(map(len, history.sensors), default=0)
        raise LatentError(
            f"no sensor has {size} rows in a row without a gap of more than "
            f"{detector.max_gap_s:g} s; the longest has {longest:,} rows in all"
        )
    return _cut(list(zip(history.sensors, _thinned(ends, limit), strict=True)), detector)


def windows_at(history: History, detector: Detector, place: Place) -> Chosen:
    """The windows that a place names, complete ones only.

    Raises:
        LatentError: there is no such sensor, no row of that time, no label, or no whole window;
            the message says what there is.
    """
    sensors = _sensors(history, place)
    if place.by_label:
        return _labelled(sensors, detector, place)
    (one,) = sensors
    ends = _ends(one, detector)
    if place.start_ns is None:
        return _one(one, ends, detector, place)
    times = one.ts_ns[ends]
    picked = ends[(times >= place.start_ns) & (times <= (place.end_ns or 0))]
    if not len(picked):
        raise LatentError(
            f"{place.text}: no window of {one.sensor} ends in that time. {_span(one, detector)}"
        )
    return _complete([(one, picked)], detector, place)


def one_window(history: History, detector: Detector, place: Place) -> Chosen:
    """As `windows_at`, of a place that means a single window.

    Raises:
        LatentError: it means several.
    """
    found = windows_at(history, detector, place)
    if len(found) != 1:
        raise LatentError(f"{place.text} means {len(found):,} windows; name one by its time")
    return found


def _sensors(history: History, place: Place) -> Sequence[SensorRows]:
    if place.sensor is None:
        if place.by_label or len(history.sensors) == 1:
            return history.sensors
        names = listed([one.sensor for one in history.sensors])
        raise LatentError(f"{place.text}: of which sensor? SENSOR@TIME; there are {names}")
    found = [one for one in history.sensors if one.sensor == place.sensor]
    if not found:
        names = listed(sorted(one.sensor for one in history.sensors))
        raise LatentError(f"{place.text}: there is no sensor {place.sensor!r}; there are {names}")
    return found


def _one(one: SensorRows, ends: IntArray, detector: Detector, place: Place) -> Chosen:
    at_ns = place.end_ns or 0
    row = int(np.searchsorted(one.ts_ns, at_ns, side="right")) - 1
    gap_ns = round(detector.max_gap_s * 1e9)
    if row < 0 or at_ns - int(one.ts_ns[row]) > gap_ns:
        raise LatentError(
            f"{place.text}: {one.sensor} has no row at that time. {_span(one, detector)}"
        )
    if row not in ends:
        raise LatentError(
            f"{place.text}: fewer than {detector.signal.receptive_field} rows of {one.sensor} in a "
            f"row lead up to that time. {_span(one, detector)}"
        )
    return _complete([(one, np.array([row]))], detector, place)


def _labelled(sensors: Sequence[SensorRows], detector: Detector, place: Place) -> Chosen:
    if all(one.labels is None for one in sensors):
        raise LatentError(f"{place.text}: the files have no label; name its column with --label")
    size, found, rows = detector.signal.receptive_field, [], 0
    for one in sensors:
        labels = np.zeros(len(one), np.bool_) if one.labels is None else one.labels
        rows += int(labels.sum())
        before = np.concatenate([[0], np.cumsum(labels)])
        ends = _ends(one, detector)
        whole = before[ends + 1] - before[ends + 1 - size] == size
        found.append((one, ends[whole]))
    total = sum(len(ends) for _, ends in found)
    if not total:
        raise LatentError(
            f"{place.text}: {rows:,} rows are labelled, and nowhere {size} of them in a row, which "
            "is a window of this model"
        )
    return _complete(found, detector, place)


def _complete(
    picked: Sequence[tuple[SensorRows, IntArray]], detector: Detector, place: Place
) -> Chosen:
    ends = _thinned([ends for _, ends in picked], MAX_CHOSEN)
    chosen = _cut([(one, own) for (one, _), own in zip(picked, ends, strict=True)], detector)
    whole = np.isfinite(chosen.values).all(axis=(1, 2))
    if not whole.any():
        lost = np.flatnonzero(
            ~np.isfinite(chosen.values).reshape(-1, len(detector.channels)).all(axis=0)
        )
        names = listed([detector.channels[place] for place in lost])
        raise LatentError(
            f"{place.text}: values are missing in the window, of {names}; name another time, or "
            "fill the gaps first (--resample)"
        )
    return chosen.only(np.flatnonzero(whole))


def _ends(one: SensorRows, detector: Detector) -> IntArray:
    """Rows that end a window without a gap."""
    size = detector.signal.receptive_field
    if len(one) < size:
        return np.zeros(0, np.int64)
    gaps = np.diff(one.ts_ns) > max(round(detector.max_gap_s * 1e9), 1)
    before = np.concatenate([[0], np.cumsum(gaps)])
    ends = np.arange(size - 1, len(one))
    whole: IntArray = ends[before[ends] == before[ends - size + 1]]
    return whole


def _thinned(ends: Sequence[IntArray], limit: int) -> list[IntArray]:
    """Of all together at most so many, evenly picked."""
    total = sum(map(len, ends))
    step = max(1.0, total / max(limit, 1))
    picked = np.arange(0, total, step).astype(np.int64)[: max(limit, 1)]
    starts = np.cumsum([0] + [len(one) for one in ends])
    return [
        one[picked[(picked >= start) & (picked < start + len(one))] - start]
        for one, start in zip(ends, starts, strict=False)
    ]


def _cut(picked: Sequence[tuple[SensorRows, IntArray]], detector: Detector) -> Chosen:
    ages = np.arange(1 - detector.signal.receptive_field, 1)
    rows = [(one, ends[:, None] + ages) for one, ends in picked if len(ends)]
    labelled = any(one.labels is not None for one, _ in picked)
    return Chosen(
        values=np.concatenate([one.values[own] for one, own in rows]),
        sensors=tuple(one.sensor for one, own in rows for _ in own),
        ts_ns=np.concatenate([one.ts_ns[own] for one, own in rows]),
        groups=np.concatenate(
            [np.full(len(own), detector.group_of(one.sensor), np.int64) for one, own in rows]
        ),
        labels=np.concatenate(
            [
                np.zeros(len(own), np.bool_) if one.labels is None else one.labels[own[:, -1]]
                for one, own in rows
            ]
        )
        if labelled
        else None,
    )


def _span(one: SensorRows, detector: Detector) -> str:
    if not len(one):
        return "It has no rows"
    first = min(detector.signal.receptive_field, len(one)) - 1
    return (
        f"Its rows are from {short_ns(int(one.ts_ns[0]))} to {short_ns(int(one.ts_ns[-1]))}; the "
        f"first window ends at {short_ns(int(one.ts_ns[first]))}"
    )
