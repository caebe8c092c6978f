"""The end of the demo: the accounts, the verdict, the noise, and where the picture is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.demo.accounts import Accounts
from workers.demo.learning import BUDGET_WORDS
from workers.demo.scenario import PLANT_INTERVAL_S
from workers.demo.screen import milliseconds, titled
from workers.demo.verdict import FoundFault, Verdict

_HOUR_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the demo found out."""

    seconds: float  # of streaming
    accounts: Accounts
    verdict: Verdict
    machines: tuple[str, ...]
    interval_s: float  # between two readings of a pump, in the show
    gain_db: Mapping[str, float]  # of each channel, on rows without a fault
    # p50 and p99, from event time to the record of the cleaned reading.
    latency_ms: Mapping[str, float | None]
    model: Mapping[str, Any]  # what was learned, and what its calibration can promise
    picture: Path | None  # None when it could not be drawn, and `picture_note` says why
    picture_note: str
    folder: Path  # of model, log and picture

    @property
    def mean_gain_db(self) -> float:
        """Over the channels."""
        known = [gain for gain in self.gain_db.values() if math.isfinite(gain)]
        return sum(known) / len(known) if known else float("nan")


def as_dict(summary: Summary) -> dict[str, Any]:
    """For scripts; NaN becomes null."""
    accounts, verdict = summary.accounts, summary.verdict
    return {
        "seconds": round(summary.seconds, 1),
        "balanced": accounts.balanced,
        "accounts": asdict(accounts)
        | {"checks": [check._asdict() | {"holds": check.holds} for check in accounts.checks]},
        "detection": {
            "faults": len(verdict.faults),
            "found": verdict.found,
            "recall": _finite(verdict.recall),
            "segments": verdict.segments,
            "false_segments": verdict.false,
            "precision": _finite(verdict.precision),
            "median_delay_readings": _finite(verdict.median_delay_rows),
            "median_delay_s": _finite(verdict.median_delay_rows * summary.interval_s),
            "by_fault": [
                {
                    "sensor_id": summary.machines[one.fault.machine],
                    "kind": one.fault.kind.label,
                    "channels": list(one.fault.channels),
                    "start_row": one.fault.start_row,
                    "end_row": one.fault.end_row,
                    "delay_readings": one.delay_rows,
                }
                for one in verdict.faults
            ],
        },
        "noise_gain_db": {
            "mean": _finite(summary.mean_gain_db),
            **{channel: _finite(gain) for channel, gain in summary.gain_db.items()},
        },
        "latency_ms": dict(summary.latency_ms),
        "model": dict(summary.model),
        "picture": None if summary.picture is None else str(summary.picture),
        "picture_note": summary.picture_note,
        "folder": str(summary.folder),
    }


def show(summary: Summary, console: Console) -> None:
    """For people."""
    console.print()
    console.print(_accounts_table(summary.accounts))
    _show_checks(summary.accounts, console)
    console.print()
    console.print(_faults_table(summary.verdict))
    _show_verdict(summary, console)
    console.print()
    console.print(_gain_table(summary))
    console.print()
    latency = summary.latency_ms
    console.print(
        f"[bold]Latency[/bold], from the moment of a reading to its result in Kafka: "
        f"p50 {milliseconds(latency['p50'])}, p99 {milliseconds(latency['p99'])}"
    )
    if summary.picture is not None:
        console.print("[bold]Picture[/bold]  ", Text(str(summary.picture), style="cyan"), sep="")
    else:
        console.print("[bold]Picture[/bold]  none:", Text(summary.picture_note))
    console.print("[bold]Folder[/bold]   ", Text(str(summary.folder)), " (model, log)", sep="")


def _accounts_table(accounts: Accounts) -> Table:
    table = titled("Where every record went", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    rows = (
        ("scored", accounts.scored, f"{accounts.anomalies:,} of them flagged"),
        ("warming up", accounts.warming_up, "the first readings of a pump fill its window"),
        ("dead letters", accounts.dead_lettered, "bad records, kept with the reason"),
        ("dropped: came twice", accounts.duplicate, "policy: one reading per pump and time"),
        ("dropped: came late", accounts.late, "policy: no reading behind a newer one"),
    )
    for name, count, why in rows:
        table.add_row(name, f"{count:,}", why)
    table.add_row("together", f"{accounts.together:,}", style="bold")
    table.add_row("sent", f"{accounts.sent:,}", style="bold")
    return table


def _show_checks(accounts: Accounts, console: Console) -> None:
    if accounts.balanced:
        console.print(
            f"[bold green]Every record is accounted for[/bold green] "
            f"({len(accounts.checks)} checks against the topics, the workers and the offsets)."
        )
    for check in accounts.checks:
        if not check.holds:
            console.print(
                f"[bold red]Does not add up:[/bold red] {check.claim}: "
                f"{check.expected:,} and {check.found:,}"
            )
    if accounts.note:
        console.print(accounts.note, style="yellow", markup=False)
    if accounts.repeats:
        console.print(f"{accounts.repeats:,} outputs came more than once, with the same id.")


def _faults_table(verdict: Verdict) -> Table:
    table = titled("Injected faults")
    table.add_column("kind")
    for name in ("injected", "found", "median delay"):
        table.add_column(name, justify="right")
    kinds: dict[str, list[FoundFault]] = defaultdict(list)
    for one in verdict.faults:
        kinds[one.fault.kind.label].append(one)
    for kind, ones in sorted(kinds.items()):
        delays = sorted(one.delay_rows for one in ones if one.delay_rows is not None)
        delay = f"{delays[len(delays) // 2]} readings" if delays else "-"
        style = "" if len(delays) == len(ones) else "yellow"
        table.add_row(kind, f"{len(ones)}", Text(f"{len(delays)}", style=style), delay)
    return table


def _show_verdict(summary: Summary, console: Console) -> None:
    verdict = summary.verdict
    hours = verdict.watched_rows * PLANT_INTERVAL_S / _HOUR_S
    console.print(
        f"[bold]Recall {_share(verdict.recall)}[/bold]: {verdict.found} of {len(verdict.faults)} "
        f"faults found. [bold]Precision {_share(verdict.precision)}[/bold]: "
        f"{verdict.segments - verdict.false} of {verdict.segments} flagged segments "
        "touch a fault."
    )
    if math.isfinite(verdict.median_delay_rows):
        console.print(
            f"Median delay {verdict.median_delay_rows * PLANT_INTERVAL_S:.0f} s of the plant's "
            "time, one reading a second."
        )
    console.print(
        f"False alarms: {verdict.false} in {hours:,.1f} pump-hours of plant time "
        f"(budget: {BUDGET_WORDS}).",
        style="dim",
    )


def _gain_table(summary: Summary) -> Table:
    table = titled(f"Noise removed: {summary.mean_gain_db:+.1f} dB on average, on normal readings")
    for channel in summary.gain_db:
        table.add_column(channel.replace("_", " ").replace("temperature", "temp"), justify="right")
    table.add_row(*(f"{gain:+.1f}" for gain in summary.gain_db.values()))
    return table


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"
