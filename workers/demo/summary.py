"""The end of the demo: the accounts, the verdict, the noise, and where the picture is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.wire.verdict import Fault as FaultWish
from schemas.wire.verdict import Wish
from workers.demo.accounts import Accounts
from workers.demo.learning import BUDGET_WORDS
from workers.demo.scenario import PLANT_INTERVAL_S
from workers.demo.screen import milliseconds, show_broken, titled
from workers.demo.told import Told
from workers.demo.verdict import FoundFault, SeenIncident, Verdict, in_words

_HOUR_S = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What the operator said of incidents, and how much of it the stream heeded."""

    faults: int
    false_alarms: int
    heeded: int

    @classmethod
    def of(cls, said: Iterable[Wish], heeded: Collection[UUID]) -> Self:
        """By the wishes, and the ids of those that hold."""
        wishes = list(said)
        faults = sum(isinstance(wish, FaultWish) for wish in wishes)
        return cls(
            faults=faults,
            false_alarms=len(wishes) - faults,
            heeded=sum(wish.id in heeded for wish in wishes),
        )


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the demo found out."""

    seconds: float  # of streaming
    accounts: Accounts
    verdict: Verdict
    spoken: Spoken
    told: Told  # by the gateway
    machines: tuple[str, ...]
    interval_s: float  # between two readings of a pump, in the show
    gain_db: Mapping[str, float]  # of each channel, on rows without a fault
    # p50 and p99, from event time to the record of the cleaned reading.
    latency_ms: Mapping[str, float | None]
    model: Mapping[str, Any]  # what was learned, and whether its history can certify the budget
    picture: Path | None  # None when it could not be drawn, and `picture_note` says why
    picture_note: str
    folder: Path  # of model, log and picture

    @property
    def balanced(self) -> bool:
        """Whether every record is accounted for, and everybody was told."""
        return self.accounts.balanced and self.told.balanced

    @property
    def healthy_h(self) -> float:
        """Pump-hours of the plant's time without a fault."""
        return self.verdict.healthy_rows * PLANT_INTERVAL_S / _HOUR_S

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
        "balanced": summary.balanced,
        "accounts": asdict(accounts) | {"checks": [check.as_dict() for check in accounts.checks]},
        "detection": {
            "faults": len(verdict.faults),
            "found": verdict.found,
            "recall": _finite(verdict.recall),
            "incidents": len(verdict.incidents),
            "false_incidents": verdict.false,
            "precision": _finite(verdict.precision),
            "median_delay_readings": _finite(verdict.median_delay_rows),
            "median_delay_plant_s": _finite(verdict.median_delay_rows * PLANT_INTERVAL_S),
            "median_delay_show_s": _finite(verdict.median_delay_rows * summary.interval_s),
            "healthy_pump_hours": _finite(summary.healthy_h),
            "healthy_alarm_share": _finite(verdict.healthy_alarm_share),
            "budget": {
                "words": f"{BUDGET_WORDS} of the plant's time",
                "certified": summary.model["budget_is_certified"],
                "allowed_false_incidents": _finite(verdict.allowed),
                "seen_false_incidents": verdict.false,
            },
            "held_back": verdict.held_back,
            "drifts": verdict.drifts,
            "operator": asdict(summary.spoken),
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
            "by_incident": [_incident(one) for one in verdict.incidents],
        },
        "noise_gain_db": {
            "mean": _finite(summary.mean_gain_db),
            **{channel: _finite(gain) for channel, gain in summary.gain_db.items()},
        },
        "latency_ms": dict(summary.latency_ms),
        **summary.told.as_dict(),
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
    summary.told.show(console)
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
        (
            "scored",
            accounts.scored,
            f"{accounts.anomalies:,} of them flagged, in {accounts.incidents:,} incidents",
        ),
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
    show_broken(accounts.checks, console)
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
    verdict, spoken = summary.verdict, summary.spoken
    console.print(
        f"[bold]Recall {_share(verdict.recall)}[/bold]: an incident opened for {verdict.found} of "
        f"{len(verdict.faults)} faults. [bold]Precision {_share(verdict.precision)}[/bold]: "
        f"{len(verdict.incidents) - verdict.false} of {len(verdict.incidents)} incidents touch a "
        "fault."
    )
    if math.isfinite(verdict.median_delay_rows):
        console.print(
            f"Median delay {verdict.median_delay_rows:.0f} readings, "
            f"{verdict.median_delay_rows * PLANT_INTERVAL_S:.0f} s of the plant's time."
        )
    basis = "long enough" if summary.model["budget_is_certified"] else "too short"
    console.print(
        f"[bold]False incidents[/bold]: asked for at most {verdict.allowed:.2f}, saw "
        f"{verdict.false}, in {summary.healthy_h:,.1f} pump-hours without a fault. The budget is "
        f"{BUDGET_WORDS}; the history is {basis} to certify that. "
        f"{verdict.healthy_alarm_share:.1%} of these hours lie in an incident."
    )
    for count, what in (
        (verdict.held_back, "held back: alike to a false alarm"),
        (verdict.drifts, "of kind drift: normal operation has changed"),
    ):
        if count:
            console.print(f"{count} more {what}.")
    console.print(
        f"The operator, who knows what was broken, called {spoken.faults} of them faults and "
        f"{spoken.false_alarms} false alarms, once they had ended; the stream heeded "
        f"{spoken.heeded} of these verdicts."
    )


def _gain_table(summary: Summary) -> Table:
    table = titled(f"Noise removed: {summary.mean_gain_db:+.1f} dB on average, on normal readings")
    for channel in summary.gain_db:
        table.add_column(channel.replace("_", " ").replace("temperature", "temp"), justify="right")
    table.add_row(*(f"{gain:+.1f}" for gain in summary.gain_db.values()))
    return table


def _incident(one: SeenIncident) -> dict[str, Any]:
    told = one.told
    return {
        "id": str(told.id),
        "sensor_id": told.sensor_id,
        "severity": told.severity.value,
        "channel": told.channels[0].channel if told.channels else None,
        "direction": told.direction.value,
        "opened_row": one.opened_row,
        "end_row": one.end_row,
        "fault": None if one.fault is None else in_words(one.fault),
    }


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"
