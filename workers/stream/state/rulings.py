"""What rules, calendars, conditions and wishes say of readings, for the alarm rule. Pure."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int64

from detector.calibration.alarm_rule import Ruling
from detector.rules import SensorRules
from detector.scoring import Scores
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.heeding import Heeding
from workers.stream.state.off import SensorOff, UntilNs
from workers.stream.state.piece import Piece


@dataclass(frozen=True, slots=True)
class Ruled:
    """What is said of k readings.

    Attributes:
        ruling: bits of `Ruling`; None where nothing is said.
        by: bit set of the rules beside the model that held or raised each.
    """

    ruling: Int8[np.ndarray, " k"] | None
    by: Int64[np.ndarray, " k"] | None

    def has(self, bit: Ruling) -> np.ndarray | None:
        """Which readings have a bit; None where nothing is said."""
        return None if self.ruling is None else (self.ruling & bit) != 0


def ruled(
    piece: Piece,
    groups: Int64[np.ndarray, " u"],
    scores: Scores,
    *,
    model: AlarmModel,
    heeding: Heeding,
    settling: MutableMapping[str, UntilNs],
) -> Ruled:
    """Rule on the readings of a piece.

    Args:
        piece: readings, of which no wish changes in between.
        groups: calibration group of each sensor.
        scores: of the request.
        model: bands, rules and conditions.
        heeding: wishes that hold.
        settling: by sensor, until when conditions put it off; moved on.
    """
    ruling = np.zeros(len(piece.at), np.int8)
    by: Int64[np.ndarray, " k"] | None = None
    starts = piece.starts.tolist()
    rules: dict[int, tuple[SensorRules, list[np.ndarray], list[np.ndarray]]] = {}
    any_said = bool(model.policy.off) and _off(piece, model, settling, ruling)
    for place, (sensor, start, size) in enumerate(
        zip(piece.sensors, starts, piece.sizes.tolist(), strict=True)
    ):
        rows = slice(start, start + size)
        any_said |= _periods(sensor, piece, rows, heeding, ruling)
        if (own := model.policy.rules.for_sensor(sensor)) is not None:
            scored = start + np.flatnonzero(piece.at[rows] >= 0)
            _, found, bands = rules.setdefault(id(own), (own, [], []))
            found.append(scored)
            band = model.bands[groups[place]]
            bands.append(np.broadcast_to(band, (len(scored), len(band))))
    for own, found, bands in rules.values():
        at = np.concatenate(found)
        if not len(at):
            continue
        samples = piece.at[at]
        judged = own.judge(
            piece.values[at],
            scores.expected[samples],
            np.concatenate(bands),
            scores.contribution[samples],
        )
        by = np.zeros(len(piece.at), np.int64) if by is None else by
        ruling[at] |= judged.ruling
        by[at] = judged.by
        any_said = True
    return Ruled(ruling if any_said else None, by)


def _periods(
    sensor: str, piece: Piece, rows: slice, heeding: Heeding, ruling: Int8[np.ndarray, " k"]
) -> bool:
    """Rule by the wishes about stretches of event time; whether there are any."""
    off, forget = heeding.periods(sensor)
    ts_ns = piece.ts_ns[rows]
    for wish in off:
        until_ns = np.iinfo(np.int64).max if wish.until_ns is None else wish.until_ns
        ruling[rows][ts_ns <= until_ns] |= Ruling.OFF
    for period in forget:
        inside = (ts_ns >= period.start_ns) & (ts_ns <= period.end_ns)
        ruling[rows][inside] |= Ruling.FORGOTTEN
    return bool(off or forget)


def _off(
    piece: Piece,
    model: AlarmModel,
    settling: MutableMapping[str, UntilNs],
    ruling: Int8[np.ndarray, " k"],
) -> bool:
    """Rule by conditions and calendars; whether any sensor is off.

    Most sensors run: what puts one off is looked for in the readings of all at once.
    """
    starts, sizes = piece.starts, piece.sizes
    alike: dict[int, tuple[SensorOff, list[int]]] = {}
    for place, sensor in enumerate(piece.sensors):
        if (own := model.policy.off.for_sensor(sensor)) is not None:
            alike.setdefault(id(own), (own, []))[1].append(place)
    any_off = False
    for own, places in alike.values():
        begins = np.cumsum(sizes[places]) - sizes[places]
        rows = np.repeat(starts[places] - begins, sizes[places])
        rows += np.arange(len(rows))
        hits = np.add.reduceat(own.may_be_off(piece.ts_ns[rows], piece.values[rows]), begins) > 0
        for place, is_hit in zip(places, hits.tolist(), strict=True):
            sensor = piece.sensors[place]
            if not is_hit and sensor not in settling:
                continue
            part = slice(int(starts[place]), int(starts[place] + sizes[place]))
            told = own.mask(piece.ts_ns[part], piece.values[part], settling.get(sensor, {}))
            ruling[part][told.off] |= Ruling.OFF
            any_off = True
            if told.until_ns:
                settling[sensor] = told.until_ns
            else:
                settling.pop(sensor, None)
    return any_off
