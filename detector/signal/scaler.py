"""Channel units to scaled units and back: zero is normal, one is the usual spread."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64

from detector.compiled import compiled
from detector.signal.series import LARGEST

CLIP = 20.0
"""Scaled values are cut at +-CLIP: a broken sensor's 1e30 must not overflow a float32 square."""

MAX_ROWS_FOR_QUANTILES = 50_000
MAX_SHARING = 4.0
"""A sensor's scale is the shared one unless its own is this many times larger or smaller."""


@dataclass(frozen=True, kw_only=True)
class ChannelScaler:
    """Centre and spread of each channel, one row per calibration group; row 0 is the pooled group.

    Attributes:
        center: [groups, channels], channel units.
        scale: [groups, channels], channel units, > 0.
    """

    center: Float64[np.ndarray, "groups channels"]
    scale: Float64[np.ndarray, "groups channels"]

    def __post_init__(self) -> None:
        if self.center.shape != self.scale.shape or self.center.ndim != 2:  # noqa: PLR2004
            raise ValueError(
                f"center and scale must share one [groups, channels] shape, "
                f"got {self.center.shape} and {self.scale.shape}"
            )
        if not (np.isfinite(self.center).all() and (self.scale > 0).all()):
            raise ValueError("center must be finite and scale greater than zero")

    def apply(
        self, rows: Float64[np.ndarray, "rows channels"], groups: Int[np.ndarray, "..."]
    ) -> Float64[np.ndarray, "rows channels"]:
        """Scale rows, in float64: a level of 1e6 with a spread of 1e-3 keeps its digits.

        Args:
            rows: channel units; NaN stays NaN.
            groups: the group of each row, [rows], or one group for all, [].
        """
        with np.errstate(over="ignore"):  # beyond the largest number is cut as well
            scaled: Float64[np.ndarray, "rows channels"] = rows - self.center[groups]
            scaled /= self.scale[groups]
        return np.clip(scaled, -CLIP, CLIP, out=scaled)

    def scaled(
        self,
        rows: Float64[np.ndarray, "rows channels"],
        groups: Int[np.ndarray, "..."],
        bound: float = CLIP,
    ) -> tuple[Float32[np.ndarray, "rows channels"], Bool[np.ndarray, "rows channels"] | None]:
        """As `apply`, in one pass: single precision, cut at +-bound, 0 where missing.

        Returns:
            The scaled rows, and whether a value is there (None when all are).
        """
        every = np.broadcast_to(groups, len(rows)).astype(np.int64)
        out = np.empty(rows.shape, dtype=np.float32)
        present = np.empty(rows.shape, dtype=np.bool_)
        whole = np.ascontiguousarray(rows)
        gone = _scaled(whole, every, self.center, self.scale, bound, out, present)
        return out, (present if gone else None)

    def invert(
        self, scaled: Float[np.ndarray, "*rows channels"], groups: Int[np.ndarray, "..."]
    ) -> Float64[np.ndarray, "*rows channels"]:
        """Scaled values in channel units; groups as in `apply`."""
        rows: Float64[np.ndarray, "*rows channels"] = scaled * self.scale.take(groups, axis=0)
        rows += self.center.take(groups, axis=0)
        return rows


@compiled
def _scaled(  # noqa: PLR0917 (a compiled function takes no keywords)
    rows: Float64[np.ndarray, "rows channels"],
    groups: Int64[np.ndarray, " rows"],
    center: Float64[np.ndarray, "groups channels"],
    scale: Float64[np.ndarray, "groups channels"],
    bound: float,
    out: Float32[np.ndarray, "rows channels"],
    present: Bool[np.ndarray, "rows channels"],
) -> int:
    """Fill `out` and `present`; how many values are missing."""
    gone = 0
    for row in range(len(rows)):
        group = groups[row]
        for channel in range(rows.shape[1]):
            value = rows[row, channel]
            known = np.isfinite(value)
            scaled = (value - center[group, channel]) / scale[group, channel]
            out[row, channel] = min(max(scaled, -bound), bound) if known else 0.0
            present[row, channel] = known
            gone += not known
    return gone


def fit_row(
    rows: Float64[np.ndarray, "rows channels"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """Centre and spread of one group of rows, whatever a few of them hold.

    The centre is the median. The spread is the quartile range of a normal distribution's
    deviation, but at least a tenth of the central 99 % range, so a machine that stands still
    most of the time keeps a sensible unit for the rest. A channel that never moves gets a tenth
    of its magnitude (or 0.1): any movement will stand out, rounding noise will not.

    Args:
        rows: channel units, NaN = missing; more than 50,000 rows are thinned evenly.

    Returns:
        Centre [channels] and spread [channels] > 0; 0 and 1 for a channel without any value.
    """
    step = max(1, -(-len(rows) // MAX_ROWS_FOR_QUANTILES))
    center = np.zeros(rows.shape[1])
    scale = np.ones(rows.shape[1])
    for channel, column in enumerate(rows[::step].T):
        values = column[np.isfinite(column)]
        if len(values) == 0:
            continue
        low, q25, median, q75, high = np.quantile(values, [0.005, 0.25, 0.5, 0.75, 0.995])
        spread = max((q75 - q25) / 1.349, 0.1 * (high - low))
        floor = max(1e-6 * max(abs(low), abs(high)), 1 / LARGEST)
        center[channel] = median
        scale[channel] = spread if spread > floor else 0.1 * max(abs(median), 1.0)
    return center, scale


def shared_scale(
    own: Float64[np.ndarray, "sensors channels"],
) -> Float64[np.ndarray, "sensors channels"]:
    """One unit for sensors of one kind: the median of their scales, near enough to each own.

    How much a machine moved while it was watched says little about the machine. In one unit all
    of them follow the same laws, and where one has been, the others may go without an alarm.
    Measured on 8 simulated pumps: a third of the false alarms, and half a decibel.

    Args:
        own: scale of each sensor, channel units, > 0.
    """
    median = np.median(own, axis=0)
    shared: Float64[np.ndarray, "sensors channels"] = np.clip(
        median, own / MAX_SHARING, own * MAX_SHARING
    )
    return shared


GROSS = 10.0
"""A value so many usual ranges beyond the usual range is no measurement: -9999 in a pressure."""
_PARTS = 10
_MOST_REPEATED = 0.1
_MOST_VARIED = 0.02
_FEWEST_NUMBERS = 32
_STRETCH = 6_000
"""Rows whose range makes the unit: it must not grow with the length of the history."""


def fit_moments(
    rows: Float64[np.ndarray, "rows channels"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """Mean, and the larger of standard deviation and a tenth of the range.

    What a channel does now and then (a spike of load, a command) belongs to its unit; measured on
    server machines, units from quartiles rank faults worse. The range is the usual one of 6,000
    rows: the median over stretches of a longer history, beyond which values are cut.

    Args:
        rows: channel units, oldest first, NaN = missing.

    Returns:
        Centre [channels] and spread [channels] > 0; 0 and 1 for a channel without any value.
    """
    center, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for channel, column in enumerate(rows.T):
        values = column[np.isfinite(column)]
        if len(values) == 0:
            continue
        stretches = np.array_split(values, max(1, round(len(values) / _STRETCH)))
        low = np.median([stretch.min() for stretch in stretches])
        high = np.median([stretch.max() for stretch in stretches])
        values = np.clip(values, low, high)
        center[channel] = values.mean()
        spread = max(float(values.std()), 0.1 * float(values.max() - values.min()))
        floor = max(1e-6 * float(np.abs(values).max()), 1 / LARGEST)
        scale[channel] = spread if spread > floor else 0.1 * max(abs(center[channel]), 1.0)
    return center, scale


def gross(values: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Values so far beyond the usual range that they are no measurement.

    The usual range is that of ten parts in time but for the two most extreme: one sentinel or one
    broken hour does not widen it. Nor does a sentinel that comes back all the time: one number,
    the same to the last digit, beyond all that the channel measures.

    Args:
        values: of one channel, oldest first, finite; at least one.
    """
    parts = [part for part in np.array_split(values, _PARTS) if len(part)]
    second = min(1, len(parts) - 1)
    low = float(np.sort([part.min() for part in parts])[second])
    high = float(np.sort([part.max() for part in parts])[-1 - second])
    usual = high - low if high > low else 0.1 * max(abs(float(np.median(values))), 1.0)
    outside: Bool[np.ndarray, " n"] = (values > high + GROSS * usual) | (
        values < low - GROSS * usual
    )
    most = max(2.0, _MOST_VARIED * len(values))
    if outside.sum() > most and not _is_one_number(values, outside):
        outside[:] = False  # another set point, a mode of its own: no sentinel varies
    outside |= _repeated(values)
    return outside


def _is_one_number(values: Float64[np.ndarray, " n"], outside: Bool[np.ndarray, " n"]) -> bool:
    """Whether one number alone lies outside, and the rest is no channel of a few numbers."""
    one = len(np.unique(values[outside])) == 1
    return one and len(np.unique(values[~outside])) >= _FEWEST_NUMBERS


def _repeated(values: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The least and the largest number where they are rare and far beyond all others."""
    ends = (values == values.min()) | (values == values.max())
    rest = values[~ends]
    if len(rest) < (1 - _MOST_REPEATED) * len(values):
        return np.zeros(len(values), dtype=bool)
    low, high = float(rest.min()), float(rest.max())
    far = GROSS * (high - low)
    outside: Bool[np.ndarray, " n"] = (values > high + far) | (values < low - far)
    # A channel of a few numbers is one of commands: a rare one is no sentinel.
    if not outside.any() or len(np.unique(rest)) < _FEWEST_NUMBERS:
        outside[:] = False
    return outside
