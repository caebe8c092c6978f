"""`vigie replay`: files into the topic."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.feed_options import (
    FrameRowsOption,
    PackingOption,
    RateOption,
    TopicOption,
    feed_topic,
    pace_from,
    progress_line,
    report,
)
from workers.cli.file_options import (
    ChannelOption,
    DecimalOption,
    DelimiterOption,
    EpochOption,
    FilesArgument,
    IgnoreOption,
    LabelOption,
    SensorIdOption,
    SensorOption,
    TimeOption,
    layout_from,
)
from workers.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    SetOption,
    settings_from,
)
from workers.data.feed import Packing

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.data.feed import Preview


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    files: FilesArgument,
    time: TimeOption = None,
    sensor: SensorOption = None,
    sensor_id: SensorIdOption = None,
    label: LabelOption = None,
    channel: ChannelOption = None,
    ignore: IgnoreOption = None,
    delimiter: DelimiterOption = None,
    decimal: DecimalOption = ".",
    epoch: EpochOption = "auto",
    speed: Annotated[
        float,
        typer.Option(
            "--speed", help="1 is real time, 60 a minute a second, 0 as fast as possible.", min=0
        ),
    ] = 0.0,
    rate: RateOption = 0.0,
    packing: PackingOption = Packing.READINGS,
    frame_rows: FrameRowsOption = 100,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the rows of CSV or Parquet files to the topic of readings, one file after the other.

    Times keep their values; --speed and --rate say only how fast they are sent. Every column that
    is not the time, the sensor or a label becomes a channel, unless --channel names some. Labels
    are not sent. Ctrl-C ends in good order. What the stream will reject of the records is counted
    at the end: with the channels of the model (model.path) if there is one, else of the first file.

    Examples:
      vigie replay pump-*.csv --speed 60
      vigie replay skab/valve1/0.csv --ignore changepoint --sensor-id valve1-0
      vigie replay plant.parquet --channel pressure=P1 --channel flow=Q --as frames
    """
    from workers.data.feed import records_of
    from workers.data.files import open_table

    layout = layout_from(
        time=time,
        sensor=sensor,
        sensor_id=sensor_id,
        label=label,
        channels=channel,
        ignore=ignore,
        delimiter=delimiter,
        decimal=decimal,
        epoch=epoch,
    )
    settings = settings_from(
        config, assignments, {"kafka.bootstrap": bootstrap, "topics.readings": topic}
    )
    tables = [open_table(path, layout) for path in files]
    preview = _preview(settings, packing, tables[0].channels)
    records = (
        record
        for table in tables
        for record in records_of(
            table.batches(), table.channels, packing=packing, frame_rows=frame_rows
        )
    )
    with progress_line("replaying") as on_progress:
        fed = feed_topic(
            records,
            settings,
            packing=packing,
            pace=pace_from(rate=rate, speed=speed),
            on_progress=on_progress,
            on_sent=preview.sent,
        )
    preview.settle()
    report(
        fed,
        topic=settings.topics.readings,
        as_json=as_json,
        files=[str(path) for path in files],
        rejected=preview.rejected,
    )
    for stage, count in {} if as_json else preview.rejected.items():
        sys.stdout.write(
            f"the stream will reject {count:,} of these records at {stage}, the first because: "
            f"{preview.reasons[stage]}\n"
        )


def _preview(settings: Settings, packing: Packing, columns: Sequence[str]) -> Preview:
    """What tells which records the stream will reject.

    Raises:
        SettingsError: `stream.channels` does not fit the model.
        ArtifactError: of the detector: what lies at `model.path` is no sound model.
    """
    from workers.data.feed import Preview, content_type_of
    from workers.errors import SettingsError
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
        return Preview(Input(channels, stream), content_type_of(packing))
    except ValueError as error:
        raise SettingsError(f"stream.channels does not fit the channels: {error}") from error
