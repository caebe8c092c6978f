"""`vigie report`: what a model is, and what it says of files, as one page."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.options import FileOptions, FilesArgument, JsonOption, OnlyOption, unbundled
from workers.cli.terms_options import RulesOption, VerdictsOption, terms_of
from workers.cli.views.report import print_json
from workers.printable import printable

ModelArgument = Annotated[
    Path,
    typer.Argument(help="Folder of the trained model.", metavar="MODEL", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(unbundled(report))


def report(
    model: ModelArgument,
    files: FilesArgument,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page; an existing file is replaced.")
    ] = Path("report.html"),
    normal: Annotated[
        list[Path] | None,
        typer.Option(
            "--normal",
            help="A file of the training: normal readings are drawn beside those of an incident. "
            "May be repeated.",
        ),
    ] = None,
    max_gap: Annotated[
        float,
        typer.Option(
            help="Seconds of silence that restart a sensor's warm-up. 0 takes the model's.", min=0
        ),
    ] = 0.0,
    verdicts: VerdictsOption = None,
    config: RulesOption = None,
    only: OnlyOption = None,
    columns: FileOptions,
    as_json: JsonOption = False,
) -> None:
    """Write a page on a model and on what it says of files: one file, for the screen and on paper.

    Data, training, what the budget is worth, each sensor's score with the alarm rule's bar, and
    each incident with its reasons. With --json the same as plain values, and no page.

    Examples:
      vigie report models/pumps monday.csv
      vigie report models/pumps test.csv --label label --normal history.parquet -o monday.html
    """
    from rich.console import Console

    from detector.artifact import load
    from workers.backtest.account import account_of
    from workers.backtest.backtest import read_for, score_history
    from workers.data.findings.checks import findings_of, warnings_of
    from workers.data.history import check_usable
    from workers.report.content import Material, report_of
    from workers.report.page import page

    layout = columns.layout()
    detector = load(model)
    terms = terms_of(detector, max_gap_s=max_gap, config=config, verdicts=verdicts)
    with Console(stderr=True, quiet=as_json).status("scoring"):
        history = read_for(detector, files, layout)
        check_usable(history, layout.max_left_out)
        history = history.only(only or ())
        findings = warnings_of(findings_of(history, layout, now_ns=clock.time_ns()))
        sensors, counts = score_history(history, detector, terms)
        examples = read_for(detector, normal, layout).sensors if normal else ()
        told = report_of(
            Material(
                detector=detector,
                history=history,
                files=[path.name for path in files],
                findings=findings,
                sensors=sensors,
                counts=counts,
                found=account_of(sensors, detector, max_gap_s=max_gap),
                normal=examples,
                max_gap_s=max_gap,
            )
        )
    if as_json:
        print_json(told.document)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(told), encoding="utf-8")
    typer.echo(printable(f"report: {out}"))
