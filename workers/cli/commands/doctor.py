"""`vigie doctor`: what this machine lacks, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import BootstrapOption, ConfigOption, JsonOption, SetOption, settings_from

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.settings import Settings
    from workers.doctor.checks import Check, Diagnosis

_MARKS = {"fine": "[green]✓[/green]", "note": "[yellow]![/yellow]", "broken": "[red]✗[/red]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    assignments: SetOption = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Leave out a check by its name, such as ray. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine this machine: Python, packages, Java, Kafka, topics, model, GPU, Ray, disk, limits.

    Changes nothing. Says of each thing whether it is fine, and of what is not how to mend it. Ends
    with 1 when something is broken; a note (!) is no more than that.

    Example: vigie doctor --bootstrap broker-1:9092
    """
    from rich.console import Console

    from workers.doctor import checks

    settings, first = _settings(config, assignments, bootstrap)
    chosen = _chosen(checks.all_checks(settings), skip or [])
    console = Console(quiet=as_json)
    findings: list[Diagnosis] = [first]
    _show(first, console)
    for check in chosen:
        with console.status(f"looking at {check.name}"):
            findings.append(check.run())
        _show(findings[-1], console)
    broken = [one for one in findings if one.state == "broken"]
    if as_json:
        from workers.cli.views.report import print_json

        print_json({"broken": len(broken), "checks": [asdict(one) for one in findings]})
    console.print(f"\n{len(broken)} broken" if broken else "\nNothing is broken.", style="bold")
    if broken:
        raise typer.Exit(1)


def _settings(
    config: Path | None, assignments: Sequence[str] | None, bootstrap: str | None
) -> tuple[Settings, Diagnosis]:
    """The settings, or the default ones and what is wrong with the user's."""
    from schemas.settings import InvalidSettingsError, Settings
    from workers.doctor.checks import Diagnosis

    try:
        settings = settings_from(config, assignments, {"kafka.bootstrap": bootstrap})
    except InvalidSettingsError as error:
        return Settings(), Diagnosis(
            name="settings", state="broken", found=str(error), mend="correct them as it says"
        )
    return settings, Diagnosis(name="settings", state="fine", found="read and understood")


def _chosen(checks: Sequence[Check], skip: Sequence[str]) -> list[Check]:
    names = [check.name for check in checks]
    unknown = [name for name in skip if name not in names]
    if unknown:
        raise typer.BadParameter(
            f"no check is called {unknown[0]!r}; there are {', '.join(names)}", param_hint="--skip"
        )
    return [check for check in checks if check.name not in skip]


def _show(finding: Diagnosis, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    line.add_column(width=1)
    line.add_column(width=10)
    line.add_column(overflow="fold")
    told = Text(finding.found)
    if finding.mend:
        told.append(f"\n→ {finding.mend}", style="bold")
    line.add_row(_MARKS[finding.state], finding.name, told)
    console.print(line)
