"""A simulated stream beside its twin without faults."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.detection.series import Half, LabelledSeries, Mask, Rows, Times, after_training

BUDGET_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Rows with faults, the same rows without, and where they differ.

    Attributes:
        rows: NaN = missing, [T, C].
        clean: the twin, [T, C].
        labels: rows with a fault, [T].
        ts_ns: event times, [T].
        interval_s: between rows.
        n_train: first rows, without a fault.
    """

    rows: Rows
    clean: Rows
    labels: Mask
    ts_ns: Times
    interval_s: float
    n_train: int

    def series(
        self, *, name: str, set_name: str, half: Half, budget_rows: int = BUDGET_ROWS
    ) -> LabelledSeries:
        """As a series of a set; the rows after training are judged."""
        return LabelledSeries(
            name=name,
            set=set_name,
            half=half,
            rows=self.rows,
            n_train=self.n_train,
            labels=self.labels,
            judged=after_training(len(self.rows), self.n_train),
            interval_s=self.interval_s,
            budget_rows=budget_rows,
            ts_ns=self.ts_ns,
        )
