"""The pictures of a report, from rows to charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from detector.explanation import band
from detector.scoring import Detector
from schemas.wire.timestamp import short_ns
from workers.backtest.backtest import ScoredSensor
from workers.backtest.explained import ExplainedIncident
from workers.data.history import SensorRows
from workers.report.figures import Chart, Curve, Region

FloatArray = npt.NDArray[np.float64]

BEFORE, BEHIND = 120, 60
"""Rows around an incident that are drawn."""
MOST_ROWS = 1_200
"""Rows of an incident that are drawn; of a longer one its beginning."""
EXAMPLE_ROWS = 256
_LOWEST, _HIGHEST = 0.05, 100.0


def timeline(one: ScoredSensor, numbers: Mapping[int, int]) -> Markup:
    """The score of a sensor over time, with its threshold, its incidents and the labels.

    Args:
        one: the sensor, with a row at least.
        numbers: place on the page of each incident that has one, by its identity.
    """
    regions = []
    for incident in one.incidents:
        number, told = numbers.get(id(incident)), incident.told
        regions.append(
            Region(
                start=incident.first,
                end=incident.until,
                style=f"incident {told.severity}",
                target="" if number is None else f"incident-{number}",
                title=f"{told.severity}, {short_ns(told.first_ns)}",
            )
        )
    labels = np.zeros(len(one.ts_ns), np.bool_) if one.labels is None else one.labels
    regions += [
        Region(start=start, end=end - 1, style="truth", title="labelled anomalous")
        for start, end in _runs(labels)
    ]
    curves = [
        Curve(values=np.clip(one.bar, _LOWEST, _HIGHEST), style="bar"),
        Curve(values=np.clip(one.score, _LOWEST, _HIGHEST), style="score"),
    ]
    top = max(float(np.nanmax(one.score)) if one.scored.any() else 1.0, 3.0)
    return Chart(
        curves=curves,
        regions=regions,
        ticks=_times(one.ts_ns),
        label=f"score of {one.sensor} over time",
        limits=(_LOWEST, min(top * 1.3, _HIGHEST)),
        logarithmic=True,
    ).svg()


def incident_picture(told: ExplainedIncident, one: ScoredSensor, detector: Detector) -> Markup:
    """The main channel around an incident: measured, and what was expected with its band."""
    incident, main = told.incident, told.incident.told.channels[0]
    channel = detector.channels.index(main.channel)
    first = max(incident.first - BEFORE, 0)
    last = min(incident.until + BEHIND, first + MOST_ROWS, len(one.ts_ns) - 1)
    rows = slice(first, last + 1)
    expected = _expected(one, first, last, channel, detector)
    half = band(detector, detector.group_of(one.sensor))[channel]
    return Chart(
        curves=[
            Curve(values=expected, style="expected"),
            Curve(values=one.values[rows, channel], style="measured"),
        ],
        band=(expected - half, expected + half),
        regions=[
            Region(
                start=incident.first - first,
                end=min(incident.until, last) - first,
                style=f"incident {incident.told.severity}",
                title="the incident",
            )
        ],
        ticks=_times(one.ts_ns[rows]),
        label=f"{main.channel} of {one.sensor} around the incident",
        height=150.0,
    ).svg()


def example_pictures(
    told: ExplainedIncident,
    one: ScoredSensor,
    normal: Sequence[SensorRows],
    detector: Detector,
) -> Sequence[Markup]:
    """The window that scored highest and the normal one most like it, on one scale.

    Empty where the detector keeps no examples or the example's rows are not at hand.
    """
    near = None if told.why is None else told.why.nearest
    if near is None:
        return ()
    channel = detector.channels.index(told.incident.told.channels[0].channel)
    example = _rows_until(near.sensor, near.ts_ns, normal)
    if example is None:
        return ()
    top = told.incident.top
    own = one.values[max(top + 1 - EXAMPLE_ROWS, 0) : top + 1, channel]
    own_times = one.ts_ns[max(top + 1 - EXAMPLE_ROWS, 0) : top + 1]
    values, times = example[0][:, channel], example[1]
    known = np.concatenate([own[np.isfinite(own)], values[np.isfinite(values)]])
    if not len(known):
        return ()
    room = 0.06 * float(np.ptp(known)) or 0.1 * max(abs(float(known[0])), 1.0)
    limits = (float(known.min()) - room, float(known.max()) + room)
    return [
        Chart(
            curves=[Curve(values=curve, style=style)],
            ticks=(short_ns(int(when[0])), short_ns(int(when[-1]))),
            label=label,
            width=440.0,
            height=120.0,
            limits=limits,
        ).svg()
        for curve, when, style, label in (
            (own, own_times, "measured", "the readings that scored highest"),
            (values, times, "expected", "the most similar normal readings"),
        )
    ]


def _expected(
    one: ScoredSensor, first: int, last: int, channel: int, detector: Detector
) -> FloatArray:
    """What was expected of a channel, NaN where a row has no score."""
    expected = np.full(last + 1 - first, np.nan)
    scored = first + np.flatnonzero(one.scored[first : last + 1])
    field = detector.receptive_field
    scored = scored[scored >= field - 1]
    if len(scored):
        begin = int(scored[0]) - field + 1
        groups = np.full(len(scored), detector.group_of(one.sensor), dtype=np.int32)
        told = detector.score(one.values[begin : last + 1], scored - begin, groups)
        expected[scored - first] = told.expected[:, channel]
    return expected


def _rows_until(
    sensor: str, ts_ns: int, normal: Sequence[SensorRows]
) -> tuple[FloatArray, npt.NDArray[np.int64]] | None:
    """The rows of a sensor up to a time that one of them has."""
    for one in normal:
        place = int(np.searchsorted(one.ts_ns, ts_ns))
        if one.sensor == sensor and place < len(one) and one.ts_ns[place] == ts_ns:
            rows = slice(max(place + 1 - EXAMPLE_ROWS, 0), place + 1)
            return one.values[rows], one.ts_ns[rows]
    return None


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _times(ts_ns: npt.NDArray[np.int64]) -> list[str]:
    places = np.linspace(0, len(ts_ns) - 1, 4).astype(np.int64)
    return [short_ns(int(ts_ns[place])) for place in places]
