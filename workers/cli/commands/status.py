"""`vigie status`: what Kafka knows of the stream, and what a running pipeline says of itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    SetOption,
    settings_from,
)
from workers.errors import VigieError

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.settings import Settings
    from workers.kafka.kafka_python import Connection
    from workers.kafka.kafka_python.admin.groups import Group
    from workers.kafka.kafka_python.admin.topics import Finding

_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 4 * 2**20
_MODES = {
    "auto": "following the load",
    "fixed": "as the settings say",
    "manual": "as set by hand",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    url: Annotated[
        str | None,
        typer.Option(
            help="Ask a running pipeline as well: the address of its --metrics-port, such as "
            "http://127.0.0.1:9464."
        ),
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group. Sets kafka.group.")] = None,
    sensors: Annotated[
        bool, typer.Option("--sensors", help="Show the counts of each sensor instead.")
    ] = False,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the stream stands: topics, members of the group, position and lag by partition.

    Reads Kafka alone, so it works from anywhere and disturbs nobody. Counts and latency live in the
    workers: --url asks them.

    Examples:
      vigie status
      vigie status --sensors
      vigie status --url http://127.0.0.1:9464 --json
    """
    from workers.kafka.factory import connection_of, topic_specs
    from workers.kafka.kafka_python import wait_for_broker
    from workers.kafka.kafka_python.admin.groups import describe_group, topic_bounds
    from workers.kafka.kafka_python.admin.topics import check_topics

    settings = settings_from(
        config, assignments, {"kafka.bootstrap": bootstrap, "kafka.group": group}
    )
    connection = replace(connection_of(settings), wait_timeout_s=0.0)
    wait_for_broker(connection)
    if sensors:
        _show_sensors(settings, connection, as_json=as_json)
        return
    findings = check_topics(connection, [replace(s, partitions=1) for s in topic_specs(settings)])
    bounds = topic_bounds(connection, {f.name: f.partitions for f in findings if f.partitions})
    readings = settings.topics.readings
    members = describe_group(connection, settings.kafka.group, readings)
    positions = positions_of(members, bounds, readings)
    pipeline = None if url is None else ask_pipeline(url)
    result = {
        "bootstrap": settings.kafka.bootstrap,
        "topics": _topics(findings, bounds),
        "group": {
            "name": members.name,
            "state": members.state,
            "members": [asdict(member) for member in members.members],
        },
        "partitions": [asdict(position) for position in positions],
        "lag_records": sum(position.lag or 0 for position in positions),
        "pipeline": pipeline,
    }
    if as_json:
        from workers.cli.views.report import print_json

        print_json(result)
        return
    from rich.console import Console

    _show(result, positions, Console())


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where the group stands in one partition of the readings.

    Attributes:
        partition: its number.
        beginning, end: of the log as it is now.
        next_offset: first offset not done; None when nothing was committed.
        lag: records not done.
        restore_from: where a restart begins to read to rebuild its windows; None when unknown.
        member: who has it now, empty for nobody.
    """

    partition: int
    beginning: int
    end: int
    next_offset: int | None
    lag: int
    restore_from: int | None
    member: str


def positions_of(
    group: Group, bounds: Mapping[tuple[str, int], tuple[int, int]], topic: str
) -> list[Position]:
    """Positions by partition, from what the broker says; pure.

    Args:
        group: with its commits.
        bounds: first and end offset of each (topic, partition).
        topic: of the readings.
    """
    from workers.stream.state.restore import decode_metadata

    owners = {p: member.client_id for member in group.members for p in member.partitions}
    positions = []
    for (name, partition), (beginning, end) in sorted(bounds.items()):
        if name != topic:
            continue
        at = group.committed.get(partition)
        metadata = None if at is None else decode_metadata(at.metadata)
        done = beginning if at is None else max(at.next_offset, beginning)
        positions.append(
            Position(
                partition=partition,
                beginning=beginning,
                end=end,
                next_offset=None if at is None else at.next_offset,
                lag=max(end - done, 0),
                restore_from=None if metadata is None else metadata.restore_from,
                member=owners.get(partition, ""),
            )
        )
    return positions


def ask_pipeline(url: str) -> dict[str, Any]:
    """The `/status` of a running pipeline.

    Raises:
        typer.BadParameter: not an http address.
        VigieError: nobody answers there, or something else than a pipeline.
    """
    base = pipeline_base(url, param_hint="--url")
    try:
        with urllib.request.urlopen(f"{base}/status", timeout=_TIMEOUT_S) as answer:  # noqa: S310
            found = json.loads(answer.read(_MAX_ANSWER_BYTES))
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise VigieError(
            f"no pipeline answers at {base}/status ({error}): start it with vigie run "
            "--metrics-port PORT, or correct --url"
        ) from error
    if not isinstance(found, dict) or "workers" not in found:
        raise VigieError(f"{base}/status is not the status of a pipeline: correct --url")
    return found


def pipeline_base(url: str, *, param_hint: str) -> str:
    """The address of a pipeline's endpoint without a page.

    Raises:
        typer.BadParameter: not an http address.
    """
    base = url.rstrip("/")
    for page in ("/status", "/metrics", "/scale"):
        base = base.removesuffix(page)
    if not base.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not begin with http://", param_hint=param_hint)
    return base


def _show_sensors(settings: Settings, connection: Connection, *, as_json: bool) -> None:
    """Show what is recorded of each sensor since its first reading.

    Raises:
        TopicError: the topic is missing.
    """
    from rich.console import Console

    from workers.api.sensors import recorded_sensors
    from workers.cli.views.report import print_json
    from workers.cli.views.sensors import show_sensors
    from workers.kafka.factory import table_of, topic_specs
    from workers.kafka.kafka_python.admin.topics import require_topics

    (found,) = require_topics(connection, [replace(topic_specs(settings)[-1], partitions=1)])
    with table_of(settings).open() as table:
        recorded, unknown = recorded_sensors(table, range(found.partitions))
    if as_json:
        print_json({"sensors": [asdict(at) for at in recorded], "unknown_documents": unknown})
    else:
        show_sensors(recorded, unknown=unknown, console=Console())


def _topics(
    findings: Sequence[Finding], bounds: Mapping[tuple[str, int], tuple[int, int]]
) -> list[dict[str, Any]]:
    return [
        {
            "name": finding.name,
            "state": finding.state.value,
            "partitions": finding.partitions,
            "records": sum(
                end - first for (name, _), (first, end) in bounds.items() if name == finding.name
            ),
            "advice": finding.advice,
        }
        for finding in findings
    ]


def _show(result: Mapping[str, Any], positions: Sequence[Position], console: Console) -> None:
    from rich.table import Table

    topics = Table(title="Topics", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "partitions", "records", ""):
        topics.add_column(name, justify="right" if name else "left")
    for topic in result["topics"]:
        topics.add_row(
            topic["name"], f"{topic['partitions']}", f"{topic['records']:,}", topic["advice"]
        )
    console.print(topics)
    group = result["group"]
    state = "nobody has joined it yet" if group["state"] == "Unknown" else group["state"]
    console.print(
        f"\nGroup [bold]{group['name']}[/bold]: {state}, "
        f"{len(group['members'])} members, lag {result['lag_records']:,} records",
        highlight=False,
    )
    if positions:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("partition", "next offset", "end", "lag", "replay from"):
            table.add_column(name, justify="right")
        table.add_column("member")
        for at in positions:
            table.add_row(
                f"{at.partition}",
                _number(at.next_offset),
                f"{at.end:,}",
                f"{at.lag:,}",
                _number(at.restore_from),
                at.member or "-",
            )
        console.print(table)
    if result["pipeline"] is not None:
        _show_pipeline(result["pipeline"], console)


def _show_pipeline(pipeline: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table

    latency = pipeline.get("latency_ms", {})
    console.print(
        f"\nPipeline: latency p50 {_milliseconds(latency.get('p50'))}, "
        f"p99 {_milliseconds(latency.get('p99'))}",
        highlight=False,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    names = ("worker", "phase", "partitions", "sensors", "scored", "anomalies", "memory")
    for name in names:
        table.add_column(name, justify="left" if name == "phase" else "right")
    for worker in pipeline["workers"]:
        counts = worker.get("counts", {})
        table.add_row(
            f"{worker.get('slot')}",
            f"{worker.get('phase')}",
            ", ".join(str(p) for p in worker.get("partitions", ())),
            f"{worker.get('sensors', 0):,}",
            f"{counts.get('scored', 0):,}",
            f"{counts.get('anomalies', 0):,}",
            f"{worker.get('resident_bytes', 0) / 1e6:,.0f} MB",
        )
    console.print(table)
    if "scaling" in pipeline:
        show_scaling(pipeline["scaling"], console)


def show_scaling(scaling: Mapping[str, Any], console: Console) -> None:
    """How many workers of each kind there are and should be, and the last change."""
    for kind in ("ingest", "scorers"):
        count = scaling.get(kind) or {}
        if not count.get("target"):
            continue
        how = _MODES.get(str(count.get("mode")), str(count.get("mode")))
        bounds = (
            f", {count.get('least')} to {count.get('most')}" if count.get("mode") == "auto" else ""
        )
        console.print(
            f"{kind.capitalize()}: {count.get('actual')} of {count['target']} at work, "
            f"{how}{bounds}",
            highlight=False,
        )
    last = scaling.get("last_decision")
    if last:
        console.print(f"Last change {last.get('at')}: {last.get('text')}", highlight=False)
    lost = ", ".join(
        f"{one.get('count')} {one.get('kind')} {one.get('reason')}"
        for one in scaling.get("replaced", ())
    )
    if lost:
        console.print(f"Replaced: {lost}", highlight=False)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
