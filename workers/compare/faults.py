"""Faults put into sound readings, where a file has no labels: what would a detector have seen?

The protocol: the held-out rows of a sensor are cut into slots of six fault lengths. In the middle
of each slot lies one fault of one channel; kinds and channels take turns. Sizes are in the
channel's usual spread u (the unit of `fit_row` on the training rows):

* spike: one reading moves by 3 u;
* shift: it moves by 1 u, for the length of a fault;
* drift: a ramp that ends at 1.5 u;
* stuck: the value before the fault again and again;
* exchange: the channel as it was at another time of the same sensor, plausible by itself and in
  contradiction to the other channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SLOT_LENGTHS = 6
_SPIKE, _SHIFT, _DRIFT = 3.0, 1.0, 1.5


class Kind(Enum):
    """What is put in."""

    SPIKE = "spike"
    SHIFT = "shift"
    DRIFT = "drift"
    STUCK = "stuck"
    EXCHANGE = "exchange"


@dataclass(frozen=True, kw_only=True)
class Injected:
    """Rows with faults.

    Attributes:
        rows: channel units, NaN = missing, [n, C].
        labels: rows with a fault, [n].
        kinds: of the faults, in order.
    """

    rows: FloatArray
    labels: BoolArray
    kinds: tuple[Kind, ...]


def inject(
    rows: FloatArray,
    *,
    spread: FloatArray,
    channels: Sequence[int],
    length: int,
    generator: np.random.Generator,
) -> Injected:
    """Put faults into a copy of the rows; see the protocol above.

    Args:
        rows: sound readings of one sensor, [n, C].
        spread: usual spread of each channel, [C].
        channels: those that faults may take, at least one.
        length: rows of a fault, at least 1; a spike has one.
        generator: of directions and of other times.

    Raises:
        ValueError: there is no channel to put a fault in.
    """
    if not len(channels):
        raise ValueError("no channel moves: there is nothing to put a fault into")
    faulty, labels, kinds = rows.copy(), np.zeros(len(rows), dtype=np.bool_), list[Kind]()
    slot = SLOT_LENGTHS * length
    every = tuple(Kind)
    for number, begin in enumerate(range(0, len(rows) - slot + 1, slot)):
        turn, place = divmod(number, len(every))
        kind, channel = every[place], channels[(turn + place) % len(channels)]
        first = begin + (slot - length) // 2
        span = slice(first, first + (1 if kind is Kind.SPIKE else length))
        sign = generator.choice([-1.0, 1.0])
        elsewhere = _other_time(len(rows), first, length, generator)
        size = sign * spread[channel]
        faulty[span, channel] = _changed(rows[:, channel], span, kind, size, elsewhere)
        labels[span] = True
        kinds.append(kind)
    return Injected(rows=faulty, labels=labels, kinds=tuple(kinds))


def _changed(
    column: FloatArray, span: slice, kind: Kind, size: float, elsewhere: int
) -> FloatArray:
    own = column[span]
    match kind:
        case Kind.SPIKE:
            return own + _SPIKE * size
        case Kind.SHIFT:
            return own + _SHIFT * size
        case Kind.DRIFT:
            return own + _DRIFT * size * np.arange(1, len(own) + 1) / len(own)
        case Kind.STUCK:
            return np.full(len(own), column[max(span.start - 1, 0)])
        case Kind.EXCHANGE:
            return column[elsewhere : elsewhere + len(own)].copy()


def _other_time(rows: int, first: int, length: int, generator: np.random.Generator) -> int:
    """Where a stretch of this length begins that is as far away as a third of the rows allows."""
    shift = int(generator.integers(rows // 3, max(2 * rows // 3, rows // 3 + 1)))
    return (first + shift) % max(rows - length, 1)
