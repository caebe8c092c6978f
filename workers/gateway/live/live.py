"""What the sensors measure and how they score, now and for the last day, in bounded memory.

Fed by `workers.gateway.live.feed` (or by hand) in one thread, asked in others: a lock holds the two
apart. All times are event times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Readings
from schemas.wire.anomaly import Anomaly
from schemas.wire.denoised import DenoisedFrame
from workers.gateway.live.cells import Cells
from workers.gateway.live.numbers import half_widths, milliseconds, short
from workers.gateway.live.rows import Rows, RowsSince
from workers.gateway.live.summary import Following, LiveSensor
from workers.gateway.live.trails import Trails

__all__ = ["STEPS", "Following", "LiveFeed", "LiveSensor"]

_NS: Final = 1_000_000_000
STEPS: Final[Mapping[int, int]] = {10: 90, 60: 120, 300: 288}
"""Widths of the cells of scores in seconds, and how many are kept: 15 minutes, 2 hours, a day."""
_DAY_STEP_S: Final = 300
_ROWS_BYTES: Final = 192 * 2**20
_FEWEST_ROWS, _MOST_ROWS = 120, 1200
_FLAGGED_ROWS: Final = 64
_SILENT_NS: Final = 86_400 * _NS
_AHEAD_NS: Final = 60 * _NS

LabelsOf = Callable[[str], Mapping[str, str]]


def _no_labels(_sensor: str) -> Mapping[str, str]:
    return {}


class LiveFeed:
    """The last rows and the last day of every sensor.

    Args:
        max_sensors: how many are kept; a new one takes the place of one silent for a day, if any.
        labels_of: labels of a sensor.
    """

    def __init__(self, *, max_sensors: int, labels_of: LabelsOf = _no_labels) -> None:
        self._max_sensors, self._labels_of = max_sensors, labels_of
        self._lock = threading.Lock()
        self._revision = self._epoch = 0
        self.following = Following()
        self._begin(())

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the model, by the last cleaned frame; empty before the first."""
        return self._channels

    @property
    def epoch(self) -> int:
        """Changes when everything was forgotten, as the model has other channels."""
        return self._epoch

    @property
    def revision(self) -> int:
        """Number of the last change."""
        return self._revision

    @property
    def bytes_per_sensor(self) -> int:
        """Memory of one sensor with the channels of now."""
        return sum(part.bytes_per_sensor for part in self._parts)

    def _begin(self, channels: tuple[str, ...]) -> None:
        """Forget everything: the model has other channels."""
        n = len(channels)
        self._epoch += 1
        self._channels = channels
        self._index: dict[str, int] = {}
        self._in_batch = set[int]()
        self._names: list[str] = []
        self._labels: dict[int, Mapping[str, str]] = {}
        self._room = 0
        row_bytes = 8 + 4 * (n + 1) + 8 + 4 * n
        rows = min(max(_ROWS_BYTES // (self._max_sensors * row_bytes), _FEWEST_ROWS), _MOST_ROWS)
        self._cleaned = Rows(rows=rows, columns=n + 1)  # the score first
        self._measured = Rows(rows=rows, columns=n)
        self._flagged = Rows(rows=_FLAGGED_ROWS, columns=n)
        self._scores = {
            step: Cells(width_ns=step * _NS, cells=cells, columns=1, fields={"score": np.fmax})
            for step, cells in STEPS.items()
        }
        width_ns, cells = _DAY_STEP_S * _NS, STEPS[_DAY_STEP_S]
        self._low_high = Cells(
            width_ns=width_ns,
            cells=cells,
            columns=n,
            fields={"low": np.fmin, "high": np.fmax},
        )
        self._means = Cells(
            width_ns=width_ns, cells=cells, columns=n, fields={"sum": np.add, "count": np.add}
        )
        self._last = np.zeros(0, np.int64)
        self._trails = Trails()
        self._scored = np.zeros(0, np.int64)
        self._score = np.zeros(0)
        self._changed = np.zeros(0, np.int64)

    @property
    def _parts(self) -> tuple[Rows | Cells | Trails, ...]:
        rows = (self._cleaned, self._measured, self._flagged)
        return (*rows, *self._scores.values(), self._low_high, self._means, self._trails)

    # Feeding.

    def add_frames(self, frames: Sequence[DenoisedFrame]) -> None:
        """Take in cleaned frames: scores, and the cleaned channels."""
        if not frames:
            return
        with self._lock:
            self._in_batch.clear()
            channels = tuple(frames[-1].values)
            if channels != self._channels:
                self._begin(channels)
            known = [frame for frame in frames if tuple(frame.values) == channels]
            pieces = [(self._at(frame.sensor_id), frame) for frame in known]
            self._skip(sum(len(frame.ts_ns) for at, frame in pieces if at is None))
            kept = [(at, frame) for at, frame in pieces if at is not None]
            if kept:
                self._enter_frames(kept)

    def _enter_frames(self, kept: Sequence[tuple[int, DenoisedFrame]]) -> None:
        at = np.repeat([at for at, _ in kept], [len(frame.ts_ns) for _, frame in kept])
        ts = np.concatenate([np.asarray(frame.ts_ns, np.int64) for _, frame in kept])
        values = np.concatenate(
            [
                np.array([frame.score, *frame.values.values()], np.float64, ndmin=2).T
                for _, frame in kept
            ]
        )
        self._revision += 1
        self._cleaned.append(at, ts, values)
        fields = {"score": values[:, :1]}
        cells_at, cells_ts = at, ts
        for cells in self._scores.values():
            made = cells.add(cells_at, cells_ts, fields, revision=self._revision)
            cells_at, cells_ts, fields = made.at, made.ts_ns, dict(made.values)
        cleaned = values[:, 1:]
        known = np.isfinite(cleaned)
        means = {"sum": np.where(known, cleaned, 0.0), "count": known.astype(np.float64)}
        self._means.add(at, ts, means, revision=self._revision)
        np.maximum.at(self._last, at, ts)
        ends = np.cumsum([len(frame.ts_ns) for _, frame in kept]) - 1
        for sensor, row in zip(at[ends], ends, strict=True):
            if ts[row] >= self._scored[sensor]:
                self._scored[sensor], self._score[sensor] = ts[row], values[row, 0]
        self._changed[at] = self._revision
        self._trails.add_frames(kept)

    def add_readings(self, readings: Readings) -> None:
        """Take in readings in the order of `channels`."""
        if not len(readings) or readings.values.shape[1] != len(self._channels):
            return
        with self._lock:
            self._in_batch.clear()
            found = [self._at(name) for name in readings.sensors]
            at = np.repeat([-1 if at is None else at for at in found], readings.counts)
            kept = at >= 0
            self._skip(int(np.count_nonzero(~kept)))
            at, ts, values = at[kept], readings.ts_ns[kept], readings.values[kept]
            if not len(at):
                return
            self._revision += 1
            self._measured.append(at, ts, values)
            self._low_high.add(at, ts, {"low": values, "high": values}, revision=self._revision)
            np.maximum.at(self._last, at, ts)
            self._changed[at] = self._revision

    def add_anomalies(self, anomalies: Sequence[Anomaly]) -> None:
        """Take in flagged readings: the shares of the channels in their scores, and labels."""
        with self._lock:
            self._in_batch.clear()
            for anomaly in anomalies:
                at = self._at(anomaly.sensor_id)
                if at is None:
                    continue
                shares = [anomaly.contribution.get(name, np.nan) for name in self._channels]
                self._flagged.append(
                    np.array([at]), np.array([anomaly.ts_ns]), np.array([shares], np.float64)
                )
                if anomaly.labels:
                    self._labels[at] = dict(anomaly.labels)

    def _skip(self, readings: int) -> None:
        if readings:
            now = self.following
            self.following = replace(now, unfollowed=now.unfollowed + readings)

    def _at(self, sensor: str) -> int | None:
        """Index of a sensor; None if there is no room for it."""
        at = self._index.get(sensor)
        if at is None:
            at = self._place_for(sensor)
        if at is not None:
            self._in_batch.add(at)
        return at

    def _place_for(self, sensor: str) -> int | None:
        """Index for a new sensor; None if there is no room for it."""
        at = len(self._names)
        if at >= self._max_sensors:
            at = int(self._last.argmin())
            if at in self._in_batch or self._last[at] >= self._last.max() - _SILENT_NS:
                return None
            del self._index[self._names[at]]
            self._names[at] = sensor
            self._labels.pop(at, None)
            for part in self._parts:
                part.forget(at)
            self._last[at] = self._scored[at] = 0
            self._score[at] = np.nan
        else:
            self._names.append(sensor)
            self._grow(at + 1)
        self._index[sensor] = at
        return at

    def _grow(self, sensors: int) -> None:
        if sensors <= self._room:
            return
        self._room = min(max(64, 2 * self._room), self._max_sensors)
        for part in self._parts:
            part.grow(self._room)
        self._last, self._scored, self._changed = (
            np.concatenate((array, np.zeros(self._room - len(array), np.int64)))
            for array in (self._last, self._scored, self._changed)
        )
        self._score = np.concatenate((self._score, np.full(self._room - len(self._score), np.nan)))

    # Asking.

    def labels(self, sensor: str) -> Mapping[str, str]:
        """Labels of a sensor."""
        with self._lock:
            return self._labels_at(sensor, self._index.get(sensor))

    def _labels_at(self, sensor: str, at: int | None) -> Mapping[str, str]:
        given = self._labels_of(sensor)
        return given or (self._labels.get(at, {}) if at is not None else {})

    def newest_ns(self, now_ns: int) -> int:
        """Event time of the newest reading of all, leaving out sensors with a clock ahead."""
        last = self._last[: len(self._names)]
        usual = last[last <= now_ns + _AHEAD_NS]
        return int(usual.max() if len(usual) else last.max(initial=0))

    def sensors(self, now_ns: int) -> list[LiveSensor]:
        """All sensors, in no order."""
        with self._lock:
            cells = self._scores[60]
            end = self.newest_ns(now_ns) // cells.width_ns
            every = np.arange(len(self._names))
            table = cells.table(every, end=end, cells=cells.cells)["score"][..., 0]
            worst = np.fmax.reduce(table, axis=1, initial=np.nan)
            return [
                LiveSensor(
                    sensor_id=name,
                    labels=self._labels_at(name, at),
                    last_ns=int(self._last[at]),
                    score=float(self._score[at]),
                    worst=float(worst[at]),
                )
                for at, name in enumerate(self._names)
            ]

    def fleet(self, *, step_s: int, cells: int, now_ns: int) -> dict[str, Any]:
        """Scores of all sensors by time: a table that `fleet_since` goes on from."""
        with self._lock:
            ring = self._scores[step_s]
            cells = min(cells, ring.cells)
            end = self.newest_ns(now_ns) // ring.width_ns
            every = np.arange(len(self._names))
            table = ring.table(every, end=end, cells=cells)["score"][..., 0]
            rows = np.round(table.astype(np.float64), 3).tolist()
            return {
                "revision": self._revision,
                "step_s": step_s,
                "cells": cells,
                "end": end,
                "sensors": [
                    {**self._brief(at), "labels": self._labels_at(name, at), "scores": row}
                    for at, (name, row) in enumerate(zip(self._names, rows, strict=True))
                ],
            }

    def fleet_since(self, revision: int, *, step_s: int, now_ns: int) -> dict[str, Any]:
        """What changed in `fleet` after its revision; `changed` are cells, as [number, score]."""
        with self._lock:
            ring = self._scores[step_s]
            changed = np.flatnonzero(self._changed[: len(self._names)] > revision)
            found = []
            for at in changed.tolist():
                numbers, slots = ring.changed(at, since=revision)
                scores = np.round(ring.at(at, slots, "score")[:, 0].astype(np.float64), 3)
                found.append(
                    {
                        **self._brief(at),
                        "changed": list(zip(numbers.tolist(), scores.tolist(), strict=True)),
                    }
                )
            return {
                "revision": self._revision,
                "step_s": step_s,
                "end": self.newest_ns(now_ns) // ring.width_ns,
                "model": self._trails.model,
                "sensors": found,
            }

    def _brief(self, at: int) -> dict[str, Any]:
        return {
            "sensor_id": self._names[at],
            "last": int(self._last[at]) // 1_000_000,
            "score": round(float(self._score[at]), 3),
            "latent": self._trails.newest(at),
        }

    def map(self, may_see: Callable[[Mapping[str, str]], bool]) -> dict[str, Any]:
        """Where each sensor is on the model's map: a document that `fleet_since` goes on from.

        Args:
            may_see: whether somebody sees a sensor, by its labels.
        """
        with self._lock:
            found = []
            for at, name in enumerate(self._names):
                labels = self._labels_at(name, at)
                if may_see(labels):
                    found.append((at, {**self._brief(at), "labels": labels}))
            seen = np.array([at for at, _ in found], dtype=np.intp)
            return {
                "revision": self._revision,
                "model": self._trails.model,
                "sensors": [one for _, one in found],
                "normal": self._trails.normal(seen),
            }

    def trail(self, sensor: str) -> dict[str, Any] | None:
        """The way of a sensor over the map, the oldest place first; None if it is not known."""
        with self._lock:
            at = self._index.get(sensor)
            if at is None:
                return None
            labels = self._labels_at(sensor, at)
            return {**self._brief(at), "labels": labels, **self._trails.of(at)}

    def rows(self, sensor: str, since: Sequence[int] = (0, 0, 0)) -> dict[str, Any] | None:
        """The last rows of a sensor at full resolution; None if it is not known.

        Args:
            sensor: its name.
            since: `next` of the answer before, for what came after it.
        """
        with self._lock:
            at = self._index.get(sensor)
            if at is None:
                return None
            cleaned = self._cleaned.since(at, since[0])
            measured = self._measured.since(at, since[1])
            flagged = self._flagged.since(at, since[2])
            band = _band(self._cleaned.since(at), self._measured.since(at))
            labels, brief = self._labels_at(sensor, at), self._brief(at)
        return {
            **brief,
            "labels": labels,
            "channels": self._channels,
            "cleaned": {
                "ts": milliseconds(cleaned.ts_ns),
                "score": np.round(cleaned.values[:, 0].astype(np.float64), 4).tolist(),
                "values": _columns(cleaned.values[:, 1:]),
            },
            "measured": {
                "ts": milliseconds(measured.ts_ns),
                "values": _columns(measured.values),
            },
            "flagged": {
                "ts": milliseconds(flagged.ts_ns),
                "contribution": _columns(flagged.values),
            },
            "band": short(band).tolist(),
            "next": [cleaned.next, measured.next, flagged.next],
        }

    def day(self, sensor: str, now_ns: int) -> dict[str, Any] | None:
        """The last day of a sensor in cells; None if it is not known."""
        with self._lock:
            at = self._index.get(sensor)
            if at is None:
                return None
            cells = self._low_high.cells
            end = max(self.newest_ns(now_ns), int(self._last[at])) // self._low_high.width_ns
            score = self._scores[_DAY_STEP_S].of(at, end=end, cells=cells)["score"]
            extremes = self._low_high.of(at, end=end, cells=cells)
            means = self._means.of(at, end=end, cells=cells)
        with np.errstate(invalid="ignore", divide="ignore"):
            cleaned = means["sum"].astype(np.float64) / means["count"]
        begins = np.arange(end - cells + 1, end + 1) * _DAY_STEP_S * 1000
        return {
            "step_s": _DAY_STEP_S,
            "ts": begins.tolist(),
            "score": np.round(score[:, 0].astype(np.float64), 3).tolist(),
            "low": _columns(extremes["low"]),
            "high": _columns(extremes["high"]),
            "cleaned": _columns(cleaned),
        }


def _columns(values: NDArray[np.floating]) -> list[list[float]]:
    """[channels][k] of [k, channels]."""
    found: list[list[float]] = short(values).T.tolist()
    return found


def _band(cleaned: RowsSince, measured: RowsSince) -> NDArray[np.float64]:
    """See `half_widths`; of the rows that are in both rings."""
    _, ours, theirs = np.intersect1d(cleaned.ts_ns, measured.ts_ns, return_indices=True)
    scored = cleaned.values[ours]
    is_normal = ~(scored[:, 0] >= 1.0)
    return half_widths(measured.values[theirs], scored[:, 1:], is_normal)
