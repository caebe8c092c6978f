"""`vigie compare`: autoencoders against principal components, on files."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated, Literal

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    OnlyOption,
    unbundled,
    usage_errors,
)
from workers.cli.outputs import check_outputs
from workers.cli.views.accounts import account
from workers.cli.views.report import print_json
from workers.printable import printable


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(unbundled(compare))


def compare(
    files: FilesArgument,
    *,
    bottleneck: Annotated[
        int | None,
        typer.Option(
            help="Numbers that must carry a window, for every method. Default: by the input.",
            min=1,
        ),
    ] = None,
    bottlenecks: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...", help="Also the reconstruction error at these, such as 1,2,4,8."
        ),
    ] = None,
    receptive_field: Annotated[
        int,
        typer.Option("--receptive-field", "-R", help="Readings of a window.", min=1, max=4096),
    ] = 32,
    kind: Annotated[
        Literal["dense", "conv"], typer.Option(help="Architecture of the non-linear autoencoder.")
    ] = "dense",
    hidden: Annotated[
        int, typer.Option(help="Width of its hidden layers, where it is dense.", min=1, max=16_384)
    ] = 128,
    held_out: Annotated[
        float,
        typer.Option(
            help="Share of each sensor's readings, the last in time, that judge.",
            min=0.05,
            max=0.9,
        ),
    ] = 0.3,
    max_steps: Annotated[
        int, typer.Option(help="Training steps of each autoencoder.", min=1)
    ] = 2_000,
    budget: Annotated[
        str, typer.Option(help="False incidents that you accept; sets the thresholds.")
    ] = "1 per day",
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.", min=0)] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA if there is one.")
    ] = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Draw a relation that a line cannot follow, .png, .svg or .pdf."
        ),
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="CHANNEL",
            help="Draw this channel; two or three times. Default: the two that are most curved.",
        ),
    ] = None,
    only: OnlyOption = None,
    columns: FileOptions,
    as_json: JsonOption = False,
) -> None:
    """Compare PCA, a linear and a non-linear autoencoder on your readings, at one bottleneck.

    The first readings of each sensor train, the last judge: reconstruction error, detection (by
    your labels, or by faults that are put in) and denoising. All three learn to give back the
    window that they read. Where PCA is as good, you have no need of a network to compress; what
    bends, it cannot follow.

    Examples:
      vigie compare history.parquet
      vigie compare history.parquet --bottlenecks 1,2,4,8 -o compare.png
      vigie compare skab/valve1/*.csv --label anomaly --ignore changepoint --bottleneck 2
      vigie compare pump.csv --axis flow --axis vibration -o flow.png
    """
    import torch
    from rich.console import Console

    from detector.calibration.budget import AlarmBudget
    from workers.cli.views.comparison import (
        curve_document,
        document,
        relation_document,
        show,
        show_curve,
    )
    from workers.compare import comparison
    from workers.compare.methods import Plan
    from workers.compare.pictures import draw
    from workers.compare.relation import relation
    from workers.compare.time_split import cut
    from workers.data.files import read_files
    from workers.data.history import check_usable

    with usage_errors("--budget"):
        alarm_budget = AlarmBudget.parse(budget)
    sizes = _sizes(bottlenecks)
    if axis and out is None:
        raise typer.BadParameter("name the picture: --out", param_hint="--axis")
    check_outputs([*files, columns.layout_file], files={}, pictures={"--out": out})
    layout = columns.layout()
    torch.set_num_threads(1)
    history = read_files(files, layout)
    check_usable(history, layout.max_left_out)
    history = history.only(only or ())
    usual = comparison.usual_bottleneck(len(history.channels), receptive_field)
    plan = Plan(
        bottleneck=bottleneck or usual,
        receptive_field=receptive_field,
        kind=kind,
        hidden=(hidden,),
        max_steps=max_steps,
        seed=seed,
        held_out=held_out,
        budget=alarm_budget,
        device=device,
    )
    began_s = clock.monotonic()
    with Console(stderr=True, quiet=as_json).status("fitting") as status:

        def told(what: str) -> None:
            status.update(printable(f"fitting the {what}"))

        split = cut(history, held_out)
        # First of all: channels that cannot be drawn are said before minutes of training.
        drawn = None if out is None else relation(split, plan, axis or ())
        results = comparison.compare(split, plan, told=told)
        curve = comparison.errors_by_bottleneck(split, plan, sizes, told=told)
        if out is not None:
            draw(out, drawn, curve, sizes)
    took_s = clock.monotonic() - began_s
    if as_json:
        print_json(
            {
                **account(history),
                **document(split, plan, results),
                "bottlenecks": curve_document(curve, sizes),
                "relation": None if drawn is None else relation_document(drawn),
                "picture": None if out is None else str(out),
                "seconds": round(took_s, 1),
            }
        )
        return
    show(split, plan, results)
    if sizes:
        show_curve(curve, sizes)
    if drawn is not None:
        typer.echo(printable(f"picture: {out} ({', '.join(drawn.channels)} of {drawn.sensor})"))


def _sizes(text: str | None) -> list[int]:
    """The bottlenecks of the option, ascending."""
    try:
        sizes = sorted({int(one) for one in (text or "").split(",") if one.strip()})
    except ValueError:
        sizes = [0]
    if sizes and sizes[0] < 1:
        raise typer.BadParameter(f"{text!r} is not of the form 1,2,4,8", param_hint="--bottlenecks")
    return sizes
