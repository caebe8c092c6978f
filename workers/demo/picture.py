"""The picture of the demo: the pump with the most to tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workers.backtest.plots import Picture, Span, draw
from workers.demo.ledger import Ledger
from workers.demo.verdict import Verdict
from workers.plant.physics import CHANNELS
from workers.plant.plant import PlantChunk


def telling_machine(verdict: Verdict, *, first_row: int) -> int:
    """The pump with the most kinds of faults in the rows kept, found ones first."""
    shown = [one for one in verdict.faults if one.fault.start_row >= first_row]

    def worth(machine: int) -> tuple[int, int, int]:
        own = [one for one in shown if one.fault.machine == machine]
        found = [one for one in own if one.delay_rows is not None]
        return len({one.fault.kind for one in found}), len(found), -machine

    return max({one.fault.machine for one in shown} or {0}, key=worth)


def draw_pump(
    truth: Sequence[PlantChunk], ledger: Ledger, verdict: Verdict, path: Path, *, title: str
) -> Path:
    """Draw what one pump measured, what came out, and what was true.

    Args:
        truth: consecutive chunks, rows of the show.
        ledger: the outputs.
        verdict: chooses the pump and names the faults.
        path: of the picture.
        title: with ``{pump}`` for the pump's name.

    Raises:
        PlotExtraError: matplotlib is missing.
    """
    rows = np.concatenate([chunk.first_row + np.arange(len(chunk)) for chunk in truth])
    ts_ns = np.concatenate([chunk.ts_ns for chunk in truth])
    machine = telling_machine(verdict, first_row=int(rows[0]))
    scores, clean = ledger.outputs(rows)
    own = [
        one.fault
        for one in verdict.faults
        if one.fault.machine == machine and one.fault.end_row > rows[0]
    ]
    channels = sorted({column for fault in own for column in fault.columns.tolist()})
    spans = [
        Span(
            start_ns=int(ts_ns[max(fault.start_row - rows[0], 0)]),
            end_ns=int(ts_ns[min(fault.end_row - 1 - rows[0], len(rows) - 1)]),
            label=f"{fault.kind.name.lower()}: {' & '.join(fault.channels)}".replace("_", " "),
        )
        for fault in own
    ]
    return draw(
        Picture(
            title=title.format(pump=ledger.machines[machine]),
            channels=ledger.channels,
            units=tuple(channel.unit for channel in CHANNELS),
            ts_ns=ts_ns,
            observed=np.concatenate([chunk.noisy[:, machine] for chunk in truth]),
            denoised=clean[:, machine],
            score=scores[:, machine],
            incidents=[
                Span(
                    start_ns=max(one.told.first_ns, int(ts_ns[0])),
                    end_ns=int(ts_ns[-1]) if one.told.end_ns is None else one.told.end_ns,
                    severity=one.told.severity.value,
                )
                for one in verdict.incidents
                if one.machine == machine and one.end_row > rows[0]
            ],
            faults=spans,
        ),
        path,
        panels=channels[:5] or None,
    )
