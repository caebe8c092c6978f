"""`vigie replay`: files into the topic."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.feed_options import FeedOptions, report
from workers.cli.options import FileOptions, FilesArgument, JsonOption, SettingsOptions, unbundled


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
    """Send the rows of CSV or Parquet files to the topic of readings, one file after the other.

    Times keep their values; --speed and --rate say only how fast they are sent. Every column that
    is not the time, the sensor or a label becomes a channel, unless --channel names some. Labels
    are not sent. Ctrl-C ends in good order.

    Examples:
      vigie replay pump-*.csv --speed 60
      vigie replay skab/valve1/0.csv --ignore changepoint --sensor-id valve1-0
      vigie replay plant.parquet --channel pressure=P1 --channel flow=Q --as frames
    """
    from workers.data.files import open_table

    layout = columns.layout()
    settings = options.load({"topics.readings": feed.topic})
    tables = [open_table(path, layout) for path in files]
    records = (
        record for table in tables for record in feed.records(table.batches(), table.channels)
    )
    fed = feed.publish(records, settings, speed=speed, doing="replaying")
    report(
        fed, topic=settings.topics.readings, as_json=as_json, files=[str(path) for path in files]
    )
