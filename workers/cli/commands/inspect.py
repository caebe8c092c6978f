"""`vigie inspect`: what Vigie understands of files, and the layout that it proposes."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    StrictOption,
    unbundled,
)
from workers.cli.views.report import print_json
from workers.errors import VigieError

if TYPE_CHECKING:
    from rich.console import Console

    from workers.data.proposal import Proposal

_NAMED = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(unbundled(inspect))


def inspect(
    files: FilesArgument,
    *,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", "-w", help="Write the proposed layout there. Default: it is printed."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with a picture of each channel, to be opened anywhere."),
    ] = None,
    columns: FileOptions,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what Vigie understands of files, before you train on them.

    Time, sensors, channels, what was left out and why; and what looks wrong, each with the option
    that mends it. A file that cannot be read is read as its errors propose, and that is said. The
    proposed layout holds what is certain; what only you can decide stands in it as a comment.

    Examples:
      vigie inspect pump.csv --write layout.toml
      vigie train pump.csv --layout layout.toml
      vigie inspect history/*.parquet --html history.html
    """
    from rich.console import Console
    from rich.text import Text

    from workers.cli.views.inspection import as_document, print_inspection
    from workers.data.findings.checks import warnings_of
    from workers.data.inspection import inspect_files
    from workers.data.proposal import as_toml, propose

    layout = columns.layout()
    if write is not None and write.exists() and write != columns.layout_file:
        raise typer.BadParameter(f"{write} is there already", param_hint="--write")
    with Console(stderr=True, quiet=as_json).status("reading"):
        found = inspect_files(files, layout, now_ns=clock.time_ns())
    proposal = propose(found)
    names = ", ".join(path.name for path in files[:_NAMED]) + ", ..." * (len(files) > _NAMED)
    text = as_toml(proposal, title=f"How to read {names}, as vigie inspect proposes.")
    if html is not None:
        from workers.cli.views.inspection_page import page

        _write(html, page(found, text))
    if write is not None:
        _write(write, text)
    if as_json:
        print_json(as_document(found, proposal, text))
    else:
        console = Console()
        print_inspection(found, console)
        if found.history is not None or write is not None:
            _show_layout(proposal, text, write, console)
        if html is not None:
            console.print(Text(f"\npage: {html}"), highlight=False)
    if found.history is None:
        raise VigieError(found.error)
    if strict and (warnings_of(found.findings) or found.assumptions):
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VigieError(f"{path}: {error}") from error


def _show_layout(proposal: Proposal, text: str, written: Path | None, console: Console) -> None:
    """The proposed layout, or where it is."""
    from rich.text import Text

    if written is not None:
        choices = len(proposal.choices)
        left = f"; {choices:,} to decide, as comments in it" if choices else ""
        console.print(Text(f"\nlayout: {written}{left}"), highlight=False)
        console.print(Text(f"Next: vigie train FILE... --layout {written}"), highlight=False)
    elif proposal.reasons or proposal.choices:
        console.print("\n[bold]Proposed layout[/] (--write layout.toml)")
        for line in text.splitlines()[2:]:
            style = "dim" if line.startswith("#") else ""
            console.print(Text(f"  {line}", style), highlight=False, soft_wrap=True)
    else:
        console.print("\nNext: vigie train FILE...")
