"""`vigie simulate`: a fleet of pumps with labelled faults, to a topic or to files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.feed_options import FeedOptions, report
from workers.cli.options import JsonOption, SettingsOptions, unbundled, usage_errors
from workers.cli.views.report import print_json

if TYPE_CHECKING:
    from workers.plant.plant import Plant, PlantChunk

_FAULTS, _FAULTS_PER_MACHINE = 14, 4


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(unbundled(simulate))


def simulate(
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write a .csv or .parquet file with labels, not to the topic."
        ),
    ] = None,
    machines: Annotated[int, typer.Option(help="Pumps in the fleet.", min=1, max=10_000)] = 20,
    rows: Annotated[int, typer.Option(help="Readings of each pump.", min=1)] = 3_600,
    forever: Annotated[bool, typer.Option("--forever", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds between two readings of a pump.", min=0.001, max=60)
    ] = 1.0,
    faults: Annotated[
        int | None,
        typer.Option(
            help="Faults in every 3,600 rows, over the whole fleet. Default: 14, fewer for a small "
            "fleet.",
            min=0,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same plant.", min=0)] = 0,
    noise: Annotated[float, typer.Option(help="Factor on the sensor noise.", min=0, max=100)] = 1.0,
    first_row: Annotated[
        int, typer.Option(help="Begin here: go on where an earlier call ended.", min=0)
    ] = 0,
    start: Annotated[
        str | None,
        typer.Option(
            help="Time of row 0, RFC 3339 or now. Default: 2026-01-01T00:00:00Z for files, now "
            "for a topic."
        ),
    ] = None,
    faults_file: Annotated[
        Path | None, typer.Option("--faults-file", help="Write the faults as JSON to this file.")
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", help="1 is real time, 0 as fast as possible.", min=0)
    ] = 1.0,
    feed: FeedOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Simulate pumps: flow, pressure, current, power, vibration, temperatures, speed.

    The channels depend on each other and on the load; temperatures lag behind. Faults (spike,
    drift, stuck-sensor, level-shift, noise-burst, broken-correlation, missing-data) come at random
    times of the seed; a file tells where in its label column, --faults-file in words.

    Examples:
      vigie simulate -o train.parquet --faults 0 --rows 7200
      vigie simulate --machines 200 --per-second 20000 --as frames
      vigie simulate --forever --speed 10
    """
    from schemas.wire.timestamp import to_ns
    from workers.plant.faults import RandomSchedule
    from workers.plant.plant import DEFAULT_START_NS, Plant, PlantConfig

    if forever and (output is not None or faults_file is not None):
        raise typer.BadParameter("a file needs an end: give --rows", param_hint="--forever")
    if faults is None:
        faults = min(_FAULTS, _FAULTS_PER_MACHINE * machines)
    now_ns = time.time_ns() // 1_000_000 * 1_000_000
    if start is None:
        start_ns = now_ns if output is None else DEFAULT_START_NS
    else:
        with usage_errors("--start"):
            start_ns = now_ns if start == "now" else to_ns(start)
    with usage_errors():
        plant = Plant(
            PlantConfig(
                machines=machines,
                seed=seed,
                interval_s=interval,
                start_ns=start_ns,
                noise=noise,
            ),
            RandomSchedule(machines=machines, seed=seed, faults_per_epoch=faults),
        )
    if faults_file is not None:
        _write_faults(plant, faults_file, first_row, first_row + rows)
    chunks = plant.chunks(None if forever else rows, first_row=first_row)
    if output is not None:
        _write(plant, chunks, output, as_json=as_json)
        return
    settings = options.load({"topics.readings": feed.topic})
    records = feed.records((chunk.columns(plant.machines) for chunk in chunks), plant.channels)
    fed = feed.publish(records, settings, speed=speed, doing="simulating")
    report(fed, topic=settings.topics.readings, as_json=as_json, sensors=machines)


def _write(plant: Plant, chunks: Iterable[PlantChunk], output: Path, *, as_json: bool) -> None:
    from workers.data.writer import open_readings

    readings = anomalous = 0
    with open_readings(output, plant.channels) as writer:
        for chunk in chunks:
            batch = chunk.columns(plant.machines)
            writer.write(
                sensors=[batch.sensors[code] for code in batch.sensor_codes],
                ts_ns=batch.ts_ns,
                values=batch.values,
                labels=batch.labels,
            )
            readings += len(batch.ts_ns)
            anomalous += int((batch.labels != 0).sum())
    if as_json:
        print_json({"output": str(output), "readings": readings, "anomalous": anomalous})
    else:
        typer.echo(f"{readings:,} readings, {anomalous:,} of them faulty, to {output}")


def _write_faults(plant: Plant, path: Path, start_row: int, end_row: int) -> None:
    start_ns, interval_ns = plant.config.start_ns, plant.config.interval_ns
    faults = [
        {
            "sensor_id": plant.machines[fault.machine],
            "kind": fault.kind.label,
            "channels": list(fault.channels),
            "start_ms": (start_ns + fault.start_row * interval_ns) // 1_000_000,
            "end_ms": (start_ns + (fault.end_row - 1) * interval_ns) // 1_000_000,
            "magnitude": fault.magnitude,
        }
        for fault in plant.schedule.between(start_row, end_row)
    ]
    path.write_text(json.dumps(faults, indent=2) + "\n", encoding="utf-8")
