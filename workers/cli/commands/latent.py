"""`vigie latent`: maps of a model's latent space, and windows that are made in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    ModelOption,
    OnlyOption,
    SettingsOptions,
    unbundled,
    usage_errors,
)
from workers.cli.outputs import check_outputs
from workers.cli.topic_range import from_topic
from workers.cli.views.report import print_facts, print_json, warn
from workers.errors import VigieError

if TYPE_CHECKING:
    from detector.scoring import Detector
    from schemas.settings import Settings
    from workers.data.history import History
    from workers.data.layout import Layout
    from workers.latent.making import Made, Source
    from workers.latent.windows import Place

MapFiles = Annotated[
    list[Path] | None,
    typer.Argument(
        help="CSV (also packed), Parquet or Excel files. Without any: --topic-from, --topic-to.",
        metavar="[FILE...]",
        show_default=False,
    ),
]
_PLACES = (
    "Which windows: [SENSOR@]TIME (the one that ends then), [SENSOR@]FROM/TO (all that end in that "
    "time) or [SENSOR@]label (all whose rows are labelled, see --label)."
)


@dataclass(frozen=True, kw_only=True)
class MadeOptions(FileOptions):
    """Where made windows go, and how the files are read."""

    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the windows, .csv or .parquet."),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw them over what they were made of. Default: latent-COMMAND.png."),
    ] = None

    def layout(self) -> Layout:
        """See `FileOptions.layout`."""
        own = {one: getattr(self, one) for one in FileOptions.__dataclass_fields__}
        return FileOptions(**own).layout()

    def checked(self, files: Sequence[Path], command: str) -> Path:
        """Where the picture goes; what cannot be written is a usage error."""
        picture = self.plot or Path(f"latent-{command}.png")
        check_outputs(
            [*files, self.layout_file], files={"--out": self.out}, pictures={"--plot": picture}
        )
        return picture


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="See where windows lie in a model's latent space, and make windows in it.",
    )
    for command, name in (
        (show_map, "map"),
        (generate, "generate"),
        (average, "average"),
        (arithmetic, "arithmetic"),
        (interpolate, "interpolate"),
    ):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="latent")


def show_map(
    files: MapFiles = None,
    *,
    model: ModelOption = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The page, one file that needs nothing else.")
    ] = Path("latent-map.html"),
    plot: Annotated[
        Path | None, typer.Option(help="The picture. Default: as --out, but .png.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Write place, score and type of each window as well.")
    ] = None,
    method: Annotated[
        Literal["model", "pca", "tsne"],
        typer.Option(
            help="model: principal components of what was normal in the training, as on the page; "
            "pca: of these windows; tsne: groups of neighbours (scikit-learn)."
        ),
    ] = "model",
    colour: Annotated[
        Literal["sensor", "time", "score", "label"],
        typer.Option(help="What colour means in the picture; the page has all to choose from."),
    ] = "sensor",
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", help="Column with the type of each row, to colour by: --colour label"
        ),
    ] = None,
    trajectory: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSOR", help="Draw the way of this machine. Not with tsne. May be repeated."
        ),
    ] = None,
    windows: Annotated[
        int, typer.Option(help="Windows on the map at most, evenly picked.", min=3, max=100_000)
    ] = 4_000,
    seed: Annotated[int, typer.Option(help="Of t-SNE.", min=0)] = 0,
    topic_from: Annotated[
        str | None,
        typer.Option("--topic-from", help="Read topics.readings from this time on, RFC 3339."),
    ] = None,
    topic_to: Annotated[
        str | None, typer.Option("--topic-to", help="And up to this time. Default: to its end.")
    ] = None,
    only: OnlyOption = None,
    columns: FileOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Draw where the windows of files, of a fleet or of a stretch of the topic lie.

    Windows that the model takes for alike lie together. Colour tells the sensor, the time, the
    score or the label; --trajectory draws how one machine moved.

    Examples:
      vigie latent map monday.parquet -m models/pumps
      vigie latent map test.csv -m model --label anomaly --colour label --table map.parquet
      vigie latent map week.parquet -m model --trajectory pump-007 -o pump-007.html
      vigie latent map -m model --topic-from 2026-01-01T00:00:00Z --topic-to 2026-01-02T00:00:00Z
    """
    from rich.console import Console

    from workers.backtest.backtest import score_history
    from workers.latent.kinds import kinds_of
    from workers.latent.map_page import write_page
    from workers.latent.mapping import Method, map_of
    from workers.latent.pictures import draw_map
    from workers.latent.window_file import write_map

    detector = _model(model)
    if bool(files) == (topic_from is not None) or (files and topic_to is not None):
        raise typer.BadParameter("give files, or --topic-from for a stretch of the topic")
    if kind is not None and not files:
        raise typer.BadParameter("a topic has no column of types", param_hint="--type")
    if method == "tsne" and trajectory:
        raise typer.BadParameter(
            "a way is drawn through means of places, and means of t-SNE places lie where no window "
            "is; take --method model or pca",
            param_hint="--trajectory",
        )
    plot = plot or out.with_suffix(".png")
    check_outputs(
        [*(files or ()), columns.layout_file],
        files={"--out": out, "--table": table},
        pictures={"--plot": plot},
    )
    with Console(stderr=True, quiet=as_json).status("encoding and scoring"):
        if files:
            history = _history(detector, files, columns, only)
        else:
            layout = columns.layout()
            history = _of_topic(detector, layout, options.load({}), topic_from or "", topic_to)
            history = history.only(only or ())
        kinds = None
        if kind is not None:
            kinds = kinds_of(files or (), columns.layout(), kind, detector)
        scored, _ = score_history(history, detector)
        shown = map_of(
            history,
            detector,
            scored,
            method=Method(method),
            kinds=kinds,
            ways=trajectory or (),
            limit=windows,
            seed=seed,
        )
        if colour == "label" and shown.kinds is None:
            raise typer.BadParameter(
                "the files have no label; name its column with --label or --type",
                param_hint="--colour",
            )
        page = write_page(shown, out)
        picture = draw_map(shown, plot, colour=colour)
        if table is not None:
            write_map(shown, table)
    facts = {
        "windows": len(shown),
        "sensors": len(set(shown.sensors)),
        "page": str(page),
        "picture": str(picture),
        "table": None if table is None else str(table),
    }
    _tell(facts, as_json=as_json)


def generate(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    near: Annotated[str, typer.Option(metavar="PLACE", help=f"A window. {_PLACES}")],
    radius: Annotated[
        float,
        typer.Option(help="Distance from it, in standard deviations of the files' windows.", min=0),
    ] = 0.5,
    count: Annotated[int, typer.Option(help="Windows to make.", min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same windows.", min=0)] = 0,
    only: OnlyOption = None,
    columns: MadeOptions,
    as_json: JsonOption = False,
) -> None:
    """Make new windows near one.

    A step of random direction in the latent space, decoded: windows as the model knows them, that
    differ as real ones differ.

    Example:
      vigie latent generate day.csv -m model --near pump-001@2026-01-01T00:10:00Z -o near.parquet
    """
    from workers.latent.making import near as make

    detector = _model(model)
    place = _place(near, "--near")
    picture = columns.checked(files, "generate")
    history = _history(detector, files, columns, only)
    with _latent_errors():
        made = make(history, detector, place, radius=radius, count=count, seed=seed)
    _finish(made, detector, columns.out, picture, as_json=as_json)


def average(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    of: Annotated[list[str], typer.Option(metavar="PLACE", help=f"{_PLACES} May be repeated.")],
    whose: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="SENSOR", help="Whose level and spread it gets, if they are of several."
        ),
    ] = None,
    only: OnlyOption = None,
    columns: MadeOptions,
    as_json: JsonOption = False,
) -> None:
    """Make the average of windows of one type: again a window of this type.

    Examples:
      vigie latent average day.csv -m model --of 2026-01-01T00:10:00Z --of 2026-01-01T00:20:00Z
      vigie latent average day.csv -m model --label fault=drift --of pump-001@label -o drift.csv
    """
    from workers.latent.making import averaged

    detector = _model(model)
    places = [_place(one, "--of") for one in of]
    picture = columns.checked(files, "average")
    history = _history(detector, files, columns, only)
    with _latent_errors():
        made = averaged(history, detector, places, sensor=whose)
    _finish(made, detector, columns.out, picture, as_json=as_json)


def arithmetic(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    a: Annotated[str, typer.Option("--a", metavar="PLACE", help=f"After the change. {_PLACES}")],
    b: Annotated[str, typer.Option("--b", metavar="PLACE", help="Before the change.")],
    c: Annotated[str, typer.Option("--c", metavar="PLACE", help="What it is applied to.")],
    only: OnlyOption = None,
    columns: MadeOptions,
    as_json: JsonOption = False,
) -> None:
    """Apply the change from window B to window A to a third one: A - B + C.

    With A and B one pump at high and at low load and C another pump at low load, the result is the
    other pump at high load.

    Example:
      vigie latent arithmetic day.csv -m model --a pump-001@2026-01-01T00:40:00Z
        --b pump-001@2026-01-01T00:10:00Z --c pump-002@2026-01-01T00:10:00Z
    """
    from workers.latent.making import changed

    detector = _model(model)
    places = [_place(text, f"--{name}") for name, text in (("a", a), ("b", b), ("c", c))]
    picture = columns.checked(files, "arithmetic")
    history = _history(detector, files, columns, only)
    with _latent_errors():
        made = changed(history, detector, *places)
    _finish(made, detector, columns.out, picture, as_json=as_json)


def interpolate(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    start: Annotated[str, typer.Option(metavar="PLACE", help=f"A window. {_PLACES}")],
    end: Annotated[str, typer.Option(metavar="PLACE", help="A window of the same sensor.")],
    steps: Annotated[
        int, typer.Option(help="Windows on the path, both ends included.", min=2, max=10_000)
    ] = 9,
    only: OnlyOption = None,
    columns: MadeOptions,
    as_json: JsonOption = False,
) -> None:
    """Make a continuous path of windows from one state of a machine to another.

    Example:
      vigie latent interpolate day.csv -m model --start pump-001@2026-01-01T00:10:00Z
        --end pump-001@2026-01-01T00:40:00Z --steps 21 -o path.parquet
    """
    from workers.latent.making import between

    detector = _model(model)
    first, last = _place(start, "--start"), _place(end, "--end")
    picture = columns.checked(files, "interpolate")
    history = _history(detector, files, columns, only)
    with _latent_errors():
        made = between(history, detector, first, last, steps=steps)
    _finish(made, detector, columns.out, picture, as_json=as_json)


def _model(model: Path | None) -> Detector:
    from detector.artifact import load

    if model is None:
        raise typer.BadParameter("name the folder that `vigie train` wrote", param_hint="--model")
    return load(model)


def _place(text: str, option: str) -> Place:
    from workers.latent.windows import Place

    with usage_errors(option):
        return Place.parse(text)


def _history(
    detector: Detector, files: Sequence[Path], columns: FileOptions, only: list[str] | None
) -> History:
    from workers.backtest.backtest import read_for
    from workers.data.history import check_usable

    layout = columns.layout()
    history = read_for(detector, files, layout)
    check_usable(history, layout.max_left_out)
    return history.only(only or ())


def _of_topic(
    detector: Detector, layout: Layout, settings: Settings, start: str, end: str | None
) -> History:
    """The channels of the model from a stretch of the topic."""
    told = {name: layout.channels.get(name, name) for name in detector.channels}
    return from_topic(settings, layout.model_copy(update={"channels": told}), start, end)


@contextmanager
def _latent_errors() -> Iterator[None]:
    """What the pure functions reject, told as any other error."""
    try:
        yield
    except ValueError as error:
        raise VigieError(str(error)) from error


def _finish(
    made: Made, detector: Detector, out: Path | None, picture: Path, *, as_json: bool
) -> None:
    from workers.latent.pictures import draw_windows
    from workers.latent.window_file import seconds, write_windows

    if out is not None:
        write_windows(made, detector, out)
    draw_windows(made, detector.channels, detector.units, seconds(made, detector), picture)
    unlike = [_unlike(one) for one in made.sources if one.unlike]
    for text in () if as_json else unlike:
        warn(text)
    facts = {
        "windows": len(made.windows),
        "sensor": made.sensor,
        "sources": [one.name for one in made.sources],
        "picture": str(picture),
        "file": None if out is None else str(out),
        "warnings": unlike,
    }
    _tell(facts, as_json=as_json)


def _unlike(source: Source) -> str:
    far = ", ".join(f"{channel} ({times:g} times)" for channel, times in source.unlike.items())
    return (
        f"{source.name}: the model reconstructs another window than this in {far} of the usual "
        "difference; what is made of it is what the model knows, not what was measured"
    )


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    shown = {
        k: "; ".join(v) if isinstance(v, list) else v for k, v in facts.items() if k != "warnings"
    }
    print_facts([(name, str(value)) for name, value in shown.items() if value is not None])
