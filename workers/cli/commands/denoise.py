"""`vigie denoise`: a file in, the same file without its noise out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    ModelOption,
    OnlyOption,
    unbundled,
)
from workers.cli.outputs import check_outputs
from workers.cli.views.accounts import account, history_facts, many, unscorable_facts
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts, print_json
from workers.printable import printable


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("denoise")(unbundled(denoise))


def denoise(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    settled: Annotated[
        bool,
        typer.Option(
            "--settled",
            help="Clean with hindsight: better, and known some readings later. The last ones are "
            "cleaned without.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the cleaned file, .csv or .parquet."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw readings before and after, .png, .svg or .pdf."),
    ] = None,
    max_gap: Annotated[
        float,
        typer.Option(
            help="Seconds of silence that restart a sensor's warm-up. 0 takes the model's.", min=0
        ),
    ] = 0.0,
    only: OnlyOption = None,
    columns: FileOptions,
    as_json: JsonOption = False,
) -> None:
    """Take the noise out of files, as `vigie run` takes it out of the stream.

    The file that is written has the columns and the rows of the one that was read, in their order,
    with cleaned values; a value that is missing has what it was predicted to be. Rows that a sensor
    warms up with stay as they came. With --settled a column `settled` says which rows were cleaned
    with hindsight (1) and which without (0). Where there was no noise in training, nothing changes.

    Examples:
      vigie denoise pump.csv --model models/pumps -o clean.csv --picture before-after.png
      vigie denoise monday.parquet -m model --settled -o clean.parquet
      vigie denoise plant.csv -m model --only boiler-1 --picture boiler-1.png
    """
    from rich.console import Console

    from detector.artifact import load
    from workers.backtest.backtest import read_both_for
    from workers.cli.views.denoising import noise_document, noise_facts, show_noise
    from workers.data.history import check_usable
    from workers.denoise.account import noise_account, removed_by_channel
    from workers.denoise.cleaned_file import cleaned_table, write
    from workers.denoise.cleaning import clean, settling, uncleaned
    from workers.denoise.picture import draw

    if model is None:
        raise typer.BadParameter("name the folder that `vigie train` wrote", param_hint="--model")
    layout = columns.layout()
    check_outputs(
        [*files, columns.layout_file], files={"--out": out}, pictures={"--picture": picture}
    )
    detector = load(model)
    if settled:
        detector = settling(detector)
    with Console(stderr=True, quiet=as_json).status("cleaning"):
        read, history = read_both_for(detector, files, layout)
        check_usable(history, layout.max_left_out)
        history = history.only(only or ())
        sensors = clean(history, detector, max_gap_s=max_gap)
        told = noise_account(detector)
        removed = removed_by_channel(sensors, told, channels=len(detector.channels))
        if out is not None:
            table = cleaned_table(sensors, read, detector.channels, layout, mark=settled)
            write(table, out)
        if picture is not None:
            draw(sensors, detector, told, picture)
    missed = uncleaned(sensors, detector, max_gap_s=max_gap)
    rows = {
        "rows": sum(map(len, sensors)),
        "cleaned": sum(int(one.cleaned.sum()) for one in sensors),
        "settled": sum(int(one.settled.sum()) for one in sensors),
    }
    rows["as_they_came"] = rows["rows"] - rows["cleaned"]
    if as_json:
        print_json(
            {
                "model": f"{detector.name}@{detector.version}",
                "sensors": len(sensors),
                **account(history),
                **rows,
                "lag": told.lag,
                "lag_s": told.lag_s,
                "why_nothing": told.why or None,
                "channels": noise_document(told, removed, detector.channels),
                "not_cleaned": [one.summary() for one in missed],
                "out": None if out is None else str(out),
                "picture": None if picture is None else str(picture),
            }
        )
        return
    _show(rows, len(sensors), settled=settled)
    print_facts([*history_facts(history), *unscorable_facts(missed, title="not cleaned")])
    if told.channels:
        show_noise(told, removed)
    filled = sum(one.filled for one in removed)
    print_facts(
        [
            *noise_facts(told),
            *([("missing", f"{many(filled, 'value')} predicted")] if filled else []),
        ]
    )
    for name, path in (("cleaned file", out), ("picture", picture)):
        if path is not None:
            typer.echo(printable(f"{name}: {path}"))


def _show(rows: dict[str, int], sensors: int, *, settled: bool) -> None:
    late = f" ({rows['settled']:,} of them with hindsight)" if settled else ""
    PlainConsole().print(
        f"{many(rows['rows'], 'reading')} of {many(sensors, 'sensor')}: {rows['cleaned']:,} "
        f"cleaned{late}, {rows['as_they_came']:,} as they came",
        style="bold",
    )
