"""`vigie augment`: a larger set of windows out of a small one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    ModelOption,
    OnlyOption,
    unbundled,
    usage_errors,
)
from workers.cli.outputs import check_outputs
from workers.cli.views.accounts import account, history_facts, many
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts, print_json
from workers.errors import VigieError
from workers.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.augment.augment import ClassOutcome, Maker, Plan
    from workers.augment.windows import Cut, LeftOut


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("augment")(unbundled(augment))


def augment(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The larger set, .parquet or .csv.")
    ] = Path("augmented.parquet"),
    label_column: Annotated[
        str | None,
        typer.Option(help="Column with the class of each row. Without it all rows are of one."),
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(
            help="Class of normal operation: its windows say how the state of a machine varies."
        ),
    ] = None,
    method: Annotated[
        Literal["neighbours", "interpolate", "sample", "transfer", "all"],
        typer.Option(
            help="neighbours: near a window; interpolate: between two of a class; sample: drawn "
            "from the class; transfer: a window at another state of the machine (--normal); all: "
            "as many by each."
        ),
    ] = "interpolate",
    count: Annotated[int | None, typer.Option(help="Windows to make of each class.", min=0)] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            help="Windows of each class afterwards, times those before. Default: 2.", min=1
        ),
    ] = None,
    radius: Annotated[
        float,
        typer.Option(
            help="How far neighbours and samples lie, in standard deviations of the class.", min=0
        ),
    ] = 1.0,
    residual: Annotated[
        Literal["keep", "drop"],
        typer.Option(
            help="keep: noise, gaps and what the model cannot explain of the source stay; drop: "
            "smooth output of the decoder."
        ),
    ] = "keep",
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSOR@TIME",
            help="Make windows of this one alone, named by its last row. May be repeated, inside "
            "one class.",
        ),
    ] = None,
    step: Annotated[
        int,
        typer.Option(help="Rows between the beginnings of two windows. 0: a window's.", min=0),
    ] = 0,
    max_gap: Annotated[
        float, typer.Option(help="Seconds that no window reaches over. 0: the model's.", min=0)
    ] = 0.0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw some of each class, read and made: more.png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same one makes the same windows.", min=0)] = 0,
    only: OnlyOption = None,
    columns: FileOptions,
    as_json: JsonOption = False,
) -> None:
    """Make more windows of each class, to train other models with, by a model of normal data.

    Windows are made in the model's latent space and only of windows of the same class; a window
    never spans two. The file that comes out holds the rows that were read and those that were
    made, each of these with how and of what; beside it a layout for `vigie inspect` and
    `vigie train`. Columns that are no channel of the model are dropped, and named.

    Examples:
      vigie augment faults.csv -m model --label-column kind -o more.parquet --plot more.png
      vigie augment faults.csv -m model --label-column kind --method all --normal none --count 200
      vigie augment healthy.parquet -m model --method neighbours --factor 3
    """
    from rich.console import Console

    from detector.artifact import load
    from workers.augment.augment import Maker
    from workers.augment.labelled import read_labelled
    from workers.augment.picture import draw
    from workers.augment.table import Columns, table_of
    from workers.augment.windows import cut, named_sources
    from workers.data.history import check_usable
    from workers.data.writer import write_table

    if model is None:
        raise typer.BadParameter("name the folder that `vigie train` wrote", param_hint="--model")
    if count is not None and factor is not None:
        raise typer.BadParameter("--count and --factor both say how many: give one of them")
    beside = out.with_suffix(".layout.toml")
    check_outputs(
        [*files, columns.layout_file],
        files={"--out": out, "the layout beside --out": beside},
        pictures={"--plot": plot},
    )
    plan = _plan(method, normal, residual, radius=radius, count=count, factor=factor, seed=seed)
    layout, detector = columns.layout(), load(model)
    rows = detector.signal.receptive_field
    gap_ns = max(round((max_gap or detector.max_gap_s) * 1e9), 1)
    with Console(stderr=True, quiet=as_json).status("making windows"), usage_errors():
        labelled = read_labelled(detector, files, layout, label_column).only(only or ())
        check_usable(labelled.history, layout.max_left_out)
        found = cut(labelled, rows=rows, step=step or rows, max_gap_ns=gap_ns)
        maker = Maker(detector=detector, labelled=labelled, found=found, plan=plan)
        if source:
            named = named_sources(labelled, source, rows=rows, max_gap_ns=gap_ns)
            outcomes = maker.of_sources(named)
        else:
            outcomes = maker.of_all()
        if not any(one.places for one in outcomes):
            raise VigieError(
                f"no window to make others of: no label has {rows} rows in a row without a gap of "
                f"more than {gap_ns / 1e9:g} s"
            )
        names = Columns(channels=detector.channels, label=label_column)
        table = table_of(labelled, outcomes, names, rows=rows, max_gap_ns=gap_ns)
    write_table(out, table)
    beside.write_text(names.layout(labelled.classes, normal).to_toml(), encoding="utf-8")
    if plot is not None:
        draw(detector, labelled, outcomes, plot)
    result = {**_document(maker, outcomes, out, beside), "plot": plot and str(plot)}
    if as_json:
        print_json({**result, **account(labelled.history)})
        return
    if labelled.dropped:
        dropped = ", ".join(labelled.dropped)
        typer.echo(printable(f"columns dropped, no channel of the model: {dropped}"), err=True)
    print_facts(history_facts(labelled.history))
    _show(outcomes, found)
    for name in ("set", "layout", "plot"):
        if result[name] is not None:
            typer.echo(printable(f"{name}: {result[name]}"))


def _plan(
    method: str,
    normal: str | None,
    residual: str,
    *,
    radius: float,
    count: int | None,
    factor: float | None,
    seed: int,
) -> Plan:
    from detector.augmentation import Method, Residual
    from workers.augment.augment import Plan

    if method == Method.TRANSFER and normal is None:
        raise typer.BadParameter("name the class of normal operation", param_hint="--normal")
    every = tuple(one for one in Method if one is not Method.TRANSFER or normal is not None)
    return Plan(
        methods=every if method == "all" else (Method(method),),
        factor=2.0 if factor is None else factor,
        count=count,
        radius=radius,
        residual=Residual(residual),
        normal=normal,
        seed=seed,
    )


def _document(
    maker: Maker, outcomes: Sequence[ClassOutcome], out: Path, layout: Path
) -> dict[str, Any]:
    from collections import Counter

    detector, left = maker.detector, maker.found.left
    return {
        "model": f"{detector.name}@{detector.version}",
        "window_rows": detector.signal.receptive_field,
        "classes": [
            {
                "label": one.label,
                "windows_used": len(one.places),
                "windows_made": one.count,
                "by_method": dict(Counter(map(str, one.made.methods))) if one.made else {},
                "refused": {str(method): why for method, why in one.refused.items()},
                "rows_left_out": _left_of(left, one.label),
            }
            for one in outcomes
        ],
        "rows_without_class": _left_of(left, None),
        "columns_dropped": list(maker.labelled.dropped),
        "set": str(out),
        "layout": str(layout),
    }


def _left_of(left: LeftOut, label: str | None) -> dict[str, int]:
    return {str(why): n for (word, why), n in left.items() if word == label}


def _show(outcomes: Sequence[ClassOutcome], found: Cut) -> None:
    from rich.table import Column, Table

    right = (Column(name, justify="right") for name in ("used", "made"))
    table = Table(Column("class"), *right, "left out", box=None, padding=(0, 3, 0, 0))
    for one in outcomes:
        reasons = [f"{many(n, 'row')} {why}" for why, n in _left_of(found.left, one.label).items()]
        reasons += [f"{method}: {why}" for method, why in one.refused.items()]
        label = one.label or "(all rows)"
        cells = (label, f"{len(one.places):,}", f"{one.count:,}", "; ".join(reasons))
        table.add_row(*map(printable, cells))
    console = PlainConsole()
    console.print(table)
    for why, n in _left_of(found.left, None).items():
        console.print(f"{many(n, 'row')} {why}", style="dim")
