"""A labelled series, and the part of it that a detector may learn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]
Half = Literal["A", "B"]

HALVES: tuple[Half, Half] = ("A", "B")
DEFAULT_WINDOW = 125
MAX_WINDOW = 300
_LAGS = 400
_FIRST_LAG = 3
_MOST_ROWS = 20_000
# 2026-01-05T00:00:00Z, a Monday; what series without times begin with.
START_NS = 1_767_571_200_000_000_000


@dataclass(frozen=True, kw_only=True)
class RootCause:
    """The channels (from 0) that experts hold responsible for rows start..end (excluded)."""

    start: int
    end: int
    channels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class History:
    """All that a detector knows when it is trained. No labels.

    Attributes:
        name: of the series.
        rows: channel units, NaN = missing, [n, C].
        ts_ns: event time of each row, [n].
        channels: names of the columns.
        interval_s: between rows.
        rate: the alarm budget: false incidents for each normal row.
        seed: of all randomness.
    """

    name: str
    rows: Rows
    ts_ns: Times
    channels: tuple[str, ...]
    interval_s: float
    rate: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class LabelledSeries:
    """One stream with its truth.

    Attributes:
        name: unique in its set.
        set: the line of the tables it counts in.
        half: A, where choices are made, or B.
        rows: training rows first, channel units, NaN = missing, [T, C].
        n_train: so many first rows may be learned from.
        labels: True where anomalous, [T].
        judged: rows whose ranking counts; alarms are judged on those after training, [T].
        interval_s: between rows.
        budget_rows: the budget is one false incident in so many rows.
        ts_ns: event times; empty = regular, [T] or [0].
        root_causes: where they are known.

    Raises:
        ValueError: the parts do not fit.
    """

    name: str
    set: str
    half: Half
    rows: Rows
    n_train: int
    labels: Mask
    judged: Mask
    interval_s: float
    budget_rows: int
    ts_ns: Times = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    root_causes: tuple[RootCause, ...] = ()

    def __post_init__(self) -> None:
        """Reject what cannot be judged."""
        n = len(self.rows)
        if self.rows.ndim != 2 or self.labels.shape != (n,) or self.judged.shape != (n,):
            raise ValueError(
                f"{self.set}/{self.name}: rows [T, C], labels [T] and judged [T] do not fit: "
                f"{self.rows.shape}, {self.labels.shape}, {self.judged.shape}"
            )
        if len(self.ts_ns) not in {0, n}:
            raise ValueError(f"{self.set}/{self.name}: {len(self.ts_ns)} times for {n} rows")
        if not 0 < self.n_train < n or not self.alarm_judged.any():
            raise ValueError(f"{self.set}/{self.name}: nothing to learn from, or to judge")

    @property
    def times(self) -> Times:
        """Event time of each row; regular ones where none are known."""
        if len(self.ts_ns):
            return self.ts_ns
        return START_NS + np.arange(len(self.rows), dtype=np.int64) * round(self.interval_s * 1e9)

    @property
    def alarm_judged(self) -> Mask:
        """Judged rows after training: the time in which alarms count."""
        return self.judged & (np.arange(len(self.judged)) >= self.n_train)

    @property
    def window(self) -> int:
        """Largest width of VUS-PR."""
        return vus_window(self.rows[self.judged, 0])

    def history(self, *, seed: int) -> History:
        """What a detector may learn from."""
        return History(
            name=self.name,
            rows=self.rows[: self.n_train],
            ts_ns=self.times[: self.n_train],
            channels=tuple(f"c{i}" for i in range(self.rows.shape[1])),
            interval_s=self.interval_s,
            rate=1.0 / self.budget_rows,
            seed=seed,
        )


def half_of(index: int) -> Half:
    """Every second series, from the first on, is in half A."""
    return HALVES[index % 2]


def after_training(n_rows: int, n_train: int) -> Mask:
    """Judged are the rows after training."""
    judged: Mask = np.arange(n_rows) >= n_train
    return judged


def vus_window(column: Rows) -> int:
    """TSB-AD's window of a series: the lag of the highest peak of the autocorrelation.

    Of the first 20,000 values of column 0, lags 3 to 400; 125 where there is no peak or the peak
    lies outside of TSB-AD's bounds (they bound the lag less 3).
    """
    values = np.nan_to_num(column[:_MOST_ROWS])
    values = values - values.mean()
    power = float(values @ values)
    if power == 0.0:
        return DEFAULT_WINDOW
    spectrum = np.fft.rfft(values, 2 * len(values))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[_FIRST_LAG : _LAGS + 1] / power
    correlation = correlation[: max(len(values) - _FIRST_LAG, 0)]
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:]))
    if len(peaks) == 0:
        return DEFAULT_WINDOW
    highest = int(peaks[np.argmax(correlation[peaks])])
    return highest + _FIRST_LAG if _FIRST_LAG <= highest <= MAX_WINDOW else DEFAULT_WINDOW
