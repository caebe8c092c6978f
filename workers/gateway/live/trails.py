"""The ways of sensors over the model's map of its latent space: a few places of each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.wire.denoised import DenoisedFrame
from workers.gateway.live.numbers import milliseconds

__all__ = ["PLACES", "Trails"]

PLACES: Final = 64
"""Of each sensor."""
_CLOSEST_NS: Final = 10**9
_WIDEST_NS: Final = 64 * 10**9
"""At this distance a full trail, which then reaches back for an hour or more, is not thinned."""
_MOST_NORMAL: Final = 512
_DECIMALS: Final = 3


class Trails:
    """The last places of each of a number of sensors, thinned so that they reach far back.

    Two places of a sensor that are kept lie at least a distance in time apart, but for the newest.
    That distance is a second at first. When a trail is full every other place is dropped and the
    distance is twice what they were apart, until that is a minute or more; then the oldest goes.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self._newest: dict[int, list[float]] = {}
        self._count = np.zeros(0, np.int64)
        self._apart = np.zeros(0, np.int64)
        self._ts = np.zeros((0, PLACES), np.int64)
        self._values = np.zeros((0, PLACES, 3), np.float32)

    @property
    def bytes_per_sensor(self) -> int:
        """Memory of one sensor."""
        return PLACES * (8 + 3 * 4) + 16

    def grow(self, sensors: int) -> None:
        """Make room for so many sensors; those that are there keep their places."""
        more = sensors - len(self._count)
        if more <= 0:
            return

        def grown(array: NDArray[Any], fill: int) -> NDArray[Any]:
            room = np.full((more, *array.shape[1:]), fill, dtype=array.dtype)
            return np.concatenate((array, room))

        self._count = grown(self._count, 0)
        self._apart = grown(self._apart, _CLOSEST_NS)
        self._ts = grown(self._ts, 0)
        self._values = grown(self._values, 0)

    def forget(self, sensor: int) -> None:
        """Empty the trail of a sensor."""
        self._newest.pop(sensor, None)
        self._count[sensor], self._apart[sensor] = 0, _CLOSEST_NS

    def add_frames(self, frames: Sequence[tuple[int, DenoisedFrame]]) -> None:
        """Take in where sensors were at the ends of frames, as far as the frames say it."""
        for sensor, frame in frames:
            if frame.latent is None:
                continue
            if frame.model != self.model:
                # Another model has another map: the places of two have nothing to do with another.
                self.model = frame.model
                self._newest.clear()
                self._count[:], self._apart[:] = 0, _CLOSEST_NS
            x, y = frame.latent
            score = frame.score[-1]
            self.add(sensor, frame.ts_ns[-1], (x, y), np.nan if score is None else score)

    def add(self, sensor: int, ts_ns: int, place: tuple[float, float], score: float) -> None:
        """Take in where a sensor is; what is not newer than its newest place is left out."""
        count, times = int(self._count[sensor]), self._ts[sensor]
        if count and ts_ns <= times[count - 1]:
            return
        if count > 1 and times[count - 1] - times[count - 2] < self._apart[sensor]:
            count -= 1  # the newest place moves on until it is far enough from the one before
        elif count == PLACES:
            count = self._thinned(sensor)
        self._ts[sensor, count] = ts_ns
        self._values[sensor, count] = (*place, score)
        self._count[sensor] = count + 1
        self._newest[sensor] = [round(one, _DECIMALS) for one in place]

    def _thinned(self, sensor: int) -> int:
        """Make room in a full trail; how many places are left."""
        dropped = slice(1, None)
        times = self._ts[sensor]
        usual = max(int(times[-1] - times[0]) // (PLACES - 1), int(self._apart[sensor]))
        if usual < _WIDEST_NS:
            self._apart[sensor] = 2 * usual
            dropped = slice(1, None, 2)
        kept = self._ts[sensor, dropped]
        self._ts[sensor, : len(kept)] = kept
        self._values[sensor, : len(kept)] = self._values[sensor, dropped]
        return len(kept)

    def of(self, sensor: int) -> dict[str, Any]:
        """The places of a sensor as plain values, the oldest first."""
        count = int(self._count[sensor])
        values = self._values[sensor, :count]
        return {
            "ts": milliseconds(self._ts[sensor, :count]),
            "way": _rounded(values[:, :2]),
            "scores": _rounded(values[:, 2]),
        }

    def newest(self, sensor: int) -> list[float] | None:
        """Where a sensor is; None if nobody knows."""
        return self._newest.get(sensor)

    def normal(self, sensors: NDArray[np.intp]) -> list[list[float]]:
        """Places of these sensors at which the score was below 1, evenly picked: a background.

        They come from the readings themselves, as this process has no model.
        """
        kept = np.arange(PLACES) < self._count[sensors][:, None]
        values = self._values[sensors][kept]
        values = values[values[:, 2] < 1.0]
        most = min(_MOST_NORMAL, len(values))
        found: list[list[float]] = _rounded(
            values[np.linspace(0, len(values) - 1, most).astype(np.intp), :2]
        )
        return found


def _rounded(values: NDArray[np.float32]) -> Any:
    return np.round(values.astype(np.float64), _DECIMALS).tolist()
