"""`vigie replay`: files into the topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.feed_options import FeedOptions, report
from workers.cli.options import FileOptions, FilesArgument, JsonOption, SettingsOptions, unbundled
from workers.printable import printable

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.data.feed import Packing
    from workers.data.preview import Preview


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(unbundled(replay))


def replay(
    files: FilesArgument,
    *,
    columns: FileOptions,
    speed: Annotated[
        float,
        typer.Option(
            "--speed", help="1 is real time, 60 a minute a second, 0 as fast as possible.", min=0
        ),
    ] = 0.0,
    feed: FeedOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Send the rows of CSV, Parquet or Excel files to the topic of readings, in order of time.

    Times keep their values; --speed and --per-second say only how fast they are sent. Every column
    that is not the time, the sensor or a label becomes a channel, unless --channel names some.
    Labels are not sent. Ctrl-C ends in good order. What the stream will reject of the records is
    counted at the end: with the channels of the model (model.path) if there is one, else of the
    first file.

    Examples:
      vigie replay pump-*.csv --speed 60
      vigie replay skab/valve1/0.csv --ignore changepoint --sensor-id valve1-0
      vigie replay plant.parquet --channel pressure=P1 --channel flow=Q --as frames
    """
    from workers.data.files import read_files
    from workers.data.history import check_usable

    layout = columns.layout()
    settings = options.load({"topics.readings": feed.topic})
    history = read_files(files, layout)
    check_usable(history, layout.max_left_out)
    preview = _preview(settings, feed.packing, history.channels)
    records = feed.records(history.in_time(), history.channels)
    fed = feed.publish(records, settings, speed=speed, doing="replaying", on_sent=preview.sent)
    preview.settle()
    report(
        fed,
        topic=settings.topics.readings,
        as_json=as_json,
        files=[str(path) for path in files],
        rejected=preview.rejected,
    )
    for stage, count in {} if as_json else preview.rejected.items():
        typer.echo(
            f"the stream will reject {count:,} of these records at {stage}, the first because: "
            + printable(preview.reasons[stage])
        )


def _preview(settings: Settings, packing: Packing, columns: Sequence[str]) -> Preview:
    """What tells which records the stream will reject."""
    from workers.data.preview import Preview
    from workers.errors import SettingsError
    from workers.registry.parser import parser_of
    from workers.stream.input import Input

    stream, model = settings.stream, settings.model.path
    if model is not None and model.exists():
        from detector.artifact import load

        channels: Sequence[str] = load(model, device="cpu").channels
    else:
        ours = {wire: channel for channel, wire in stream.channels.items() if wire in columns}
        channels = [ours.get(name, name) for name in columns]
        names = {channel: wire for wire, channel in ours.items()}
        stream = stream.model_copy(update={"channels": names})
    try:
        accepting = Input(channels, stream, settings.input, parser_of(settings))
    except ValueError as error:
        raise SettingsError(f"stream.channels does not fit the channels: {error}") from error
    return Preview(accepting, packing.content_type)
