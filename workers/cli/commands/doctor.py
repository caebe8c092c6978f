"""`vigie doctor`: what this machine lacks, and how to fix it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import JsonOption, SettingsOptions, unbundled
from workers.cli.views.report import print_json
from workers.printable import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from workers.doctor.checks import Finding

_MARKS = {"fine": "[green]✓[/green]", "note": "[yellow]![/yellow]", "broken": "[red]✗[/red]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(unbundled(doctor))


def doctor(
    *,
    options: SettingsOptions,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Leave out a check by its name, such as ray. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine this machine: Python, packages, Java, Kafka, topics, model, GPU, Ray, disk, limits.

    Changes nothing. Says of each thing whether it is fine, and how to fix what is not. Ends
    with 1 when something is broken; a note (!) is no more than that.

    Example: vigie doctor --bootstrap broker-1:9092
    """
    from schemas.settings import InvalidSettingsError, Settings
    from workers.cli.views.plain import PlainConsole
    from workers.doctor import checks

    settings, first = Settings(), checks.Finding("fine", "read and understood")
    try:
        settings = options.load({})
    except InvalidSettingsError as error:
        first = checks.Finding("broken", str(error), "correct them as it says")
    known = checks.all_checks(settings)
    skipped = set(skip or ())
    if unknown := skipped - known.keys():
        raise typer.BadParameter(
            f"no check is called {min(unknown)!r}; there are {', '.join(known)}",
            param_hint="--skip",
        )
    console = PlainConsole(quiet=as_json)
    findings = {"settings": first}
    _show("settings", first, console)
    for name in [name for name in known if name not in skipped]:
        with console.status(f"looking at {name}"):
            findings[name] = checks.run(known[name])
        _show(name, findings[name], console)
    broken = [one for one in findings.values() if one.state == "broken"]
    if as_json:
        documents = [{"name": name, **asdict(one)} for name, one in findings.items()]
        print_json({"broken": len(broken), "checks": documents})
    console.print(f"\n{len(broken)} broken" if broken else "\nNothing is broken.", style="bold")
    if broken:
        raise typer.Exit(1)


def _show(name: str, finding: Finding, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2))
    line.add_column(width=1)
    line.add_column(width=10)
    line.add_column(overflow="fold")
    words = Text(printable_lines(finding.found))
    if finding.fix:
        words.append(f"\n→ {printable_lines(finding.fix)}", style="bold")
    line.add_row(_MARKS[finding.state], name, words)
    console.print(line)
