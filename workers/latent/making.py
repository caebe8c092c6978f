"""Windows that are made in the latent space, with what they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from detector.latent import (
    LatentSpace,
    arithmetic,
    average,
    decode,
    encode,
    generate_near,
    interpolate,
)
from detector.scoring import Detector
from workers.data.history import History
from workers.latent.errors import LatentError
from workers.latent.windows import Chosen, Place, all_windows, one_window, windows_at

FloatArray = npt.NDArray[np.float64]
Operation = Literal["near", "average", "arithmetic", "interpolation"]

SPACE_WINDOWS = 4_000
"""Windows of the files that say what a standard deviation is, at most."""
_LEAST_WINDOWS = 2
_FAR = 3.0
"""Usual differences between a reading and its reconstruction, over a window."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Windows that went in: one, or the mean of several.

    Attributes:
        name: role and place, as a person wrote it.
        values: mean of their readings, [R, C].
        count: how many.
        unlike: how far the model's reconstruction is from them, in usual differences, of the
            channels where it is far: what is decoded from there is another window.
    """

    name: str
    values: FloatArray
    count: int = 1
    unlike: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, role: str, place: Place, chosen: Chosen, detector: Detector) -> Source:
        """Of the windows of a place."""
        count = f" ({len(chosen):,} windows)" if len(chosen) > 1 else ""
        name = f"{role}: {place.text}{count}"
        far = _difference(chosen, detector)
        return cls(
            name=name,
            values=chosen.values.mean(axis=0),
            count=len(chosen),
            unlike={
                channel: round(float(one), 1)
                for channel, one in zip(detector.channels, far, strict=True)
                if one > _FAR
            },
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """Windows made in the latent space.

    Attributes:
        operation: how.
        windows: channel units of `sensor`, [n, R, C].
        sensor: whose centre and spread they have.
        sources: what they were made of.
        parameter: name of the number that tells the windows apart or says how they were made:
            radius in standard deviations, share of the way; empty without.
        numbers: it, for each window, [n].
        seed: of what was drawn; None where nothing was.
    """

    operation: Operation
    windows: FloatArray
    sensor: str
    sources: Sequence[Source]
    parameter: str = ""
    numbers: FloatArray | None = None
    seed: int | None = None


def near(
    history: History, detector: Detector, place: Place, *, radius: float, count: int, seed: int
) -> Made:
    """New windows near one; the history says what a standard deviation is."""
    source = one_window(history, detector, place)
    known = all_windows(history, detector, limit=SPACE_WINDOWS)
    if len(known) < _LEAST_WINDOWS:
        raise LatentError("the files hold a single window: give more rows, to say what usual is")
    windows = generate_near(
        detector,
        source.values[0],
        int(source.groups[0]),
        space=LatentSpace.of(encode(detector, known.values, known.groups)),
        radius=radius,
        count=count,
        generator=np.random.default_rng(seed),
    )
    return Made(
        operation="near",
        windows=windows,
        sensor=source.sensors[0],
        sources=[Source.of("near", place, source, detector)],
        parameter="radius",
        numbers=np.full(count, radius),
        seed=seed,
    )


def averaged(
    history: History, detector: Detector, places: Sequence[Place], *, sensor: str | None = None
) -> Made:
    """The window in the middle of those of some places, in the units of a sensor."""
    chosen = [windows_at(history, detector, place) for place in places]
    whose = _whose(chosen, sensor, history)
    window = average(
        detector,
        np.concatenate([one.values for one in chosen]),
        detector.group_of(whose),
        groups=np.concatenate([one.groups for one in chosen]),
    )
    return Made(
        operation="average",
        windows=window[None],
        sensor=whose,
        sources=[Source.of("of", *pair, detector) for pair in zip(places, chosen, strict=True)],
    )


def changed(history: History, detector: Detector, a: Place, b: Place, c: Place) -> Made:
    """The change from B to A applied to C, in the units of C's sensor."""
    of_a, of_b, of_c = (windows_at(history, detector, place) for place in (a, b, c))
    whose = _whose([of_c], None, history)
    window = arithmetic(
        detector,
        of_a.values,
        of_b.values,
        of_c.values,
        detector.group_of(whose),
        groups=(of_a.groups, of_b.groups, of_c.groups),
    )
    return Made(
        operation="arithmetic",
        windows=window[None],
        sensor=whose,
        sources=[
            Source.of("A", a, of_a, detector),
            Source.of("B", b, of_b, detector),
            Source.of("C", c, of_c, detector),
        ],
    )


def between(history: History, detector: Detector, start: Place, end: Place, *, steps: int) -> Made:
    """The path from one window to another of the same sensor."""
    first, last = (one_window(history, detector, place) for place in (start, end))
    if first.sensors != last.sensors:
        raise LatentError(
            f"a path leads between two windows of one sensor; {start.text} is of "
            f"{first.sensors[0]!r}, {end.text} of {last.sensors[0]!r}. For two sensors: "
            "vigie latent arithmetic"
        )
    windows = interpolate(
        detector, first.values[0], last.values[0], int(first.groups[0]), steps=steps
    )
    return Made(
        operation="interpolation",
        windows=windows,
        sensor=first.sensors[0],
        sources=[
            Source.of("start", start, first, detector),
            Source.of("end", end, last, detector),
        ],
        parameter="share",
        numbers=np.linspace(0.0, 1.0, steps),
    )


def _difference(chosen: Chosen, detector: Detector) -> FloatArray:
    """Between windows and what is decoded of them, root mean square over all, in usual ones."""
    back = decode(detector, encode(detector, chosen.values, chosen.groups), chosen.groups)
    usual = detector.head.residual[chosen.groups]
    scale = np.where(usual > 0, usual, np.inf)[:, None]
    far: FloatArray = np.sqrt(np.square((chosen.values - back) / scale).mean(axis=(0, 1)))
    return far


def _whose(chosen: Sequence[Chosen], sensor: str | None, history: History) -> str:
    """The sensor whose units the result has."""
    known = [one.sensor for one in history.sensors]
    if sensor is not None:
        if sensor not in known:
            raise LatentError(f"--as: there is no sensor {sensor!r}; there are {', '.join(known)}")
        return sensor
    found = list(dict.fromkeys(name for one in chosen for name in one.sensors))
    if len(found) > 1:
        raise LatentError(
            f"the windows are of {len(found)} sensors ({', '.join(found[:6])}): say whose level "
            "and spread the result is to have, or name the sensor, SENSOR@..."
        )
    return found[0]
