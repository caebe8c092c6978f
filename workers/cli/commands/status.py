"""`vigie status`: what Kafka knows of the stream, and what a running pipeline says of itself."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import JsonOption, ModelOption, SettingsOptions, unbundled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from schemas.settings import Settings
    from workers.api.positions import Position
    from workers.kafka.admin import Admin, Finding, TopicSpec

_MODES = {
    "auto": "following the load",
    "fixed": "as the settings say",
    "manual": "as set by hand",
}

_MOST_PLACES = 4


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(unbundled(status))


def status(
    *,
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
    budget: Annotated[
        bool,
        typer.Option("--budget", help="Show incidents against the alarm budget instead."),
    ] = False,
    model: ModelOption = None,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Show how the stream stands: topics, members of the group, position and lag by partition.

    Reads Kafka alone, so it works from anywhere and disturbs no member. Counts and latency live in
    the workers: --url asks them. Sensors that come in several partitions are found among the first
    and the latest records, and with --url among all.

    --budget counts the incidents of the last day and week, by event time, of each sensor and of all
    together, and says what the model's budget (--model) allows and how certain it is.

    Examples:
      vigie status
      vigie status --sensors
      vigie status --budget --model model
      vigie status --url http://127.0.0.1:9464 --json
    """
    from workers.api.client import ask_status
    from workers.api.positions import positions_of
    from workers.kafka.factory import admin_of, connection_of, topic_specs

    settings = options.load(
        {"kafka.group": group, "model.path": None if model is None else str(model)}
    )
    admin = admin_of(replace(connection_of(settings.kafka), wait_timeout_s=0.0))
    admin.wait_for_broker()
    specs = [replace(spec, partitions=1) for spec in topic_specs(settings.topics)]
    recorded = next(spec for spec in specs if spec.name == settings.topics.sensor_state)
    if sensors or budget:
        show = _show_budget if budget else _show_sensors
        show(settings, admin, recorded, as_json=as_json)
        return
    findings = admin.check_topics(specs)
    bounds = admin.topic_bounds({f.name: f.partitions for f in findings if f.partitions})
    readings = settings.topics.readings
    members = admin.describe_group(settings.kafka.group, readings)
    positions = positions_of(members, bounds, readings)
    pipeline = None if url is None else ask_status(url)
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
        "split_sensors": _split_sensors(settings, pipeline),
        "pipeline": pipeline,
    }
    if as_json:
        from workers.cli.views.report import print_json

        print_json(result)
        return
    from workers.cli.views.plain import PlainConsole

    _show(result, positions, PlainConsole())


def _show_sensors(settings: Settings, admin: Admin, spec: TopicSpec, *, as_json: bool) -> None:
    """Show what is recorded of each sensor since its first reading.

    Raises:
        TopicError: the topic is missing.
    """
    from workers.api.sensors import recorded_sensors
    from workers.cli.views.plain import PlainConsole
    from workers.cli.views.report import print_json
    from workers.cli.views.sensors import show_sensors
    from workers.kafka.admin import require_topics
    from workers.kafka.factory import table_of

    (found,) = require_topics(admin, [spec])
    with table_of(settings).open() as table:
        recorded, unknown = recorded_sensors(table, range(found.partitions))
    if as_json:
        print_json({"sensors": [asdict(at) for at in recorded], "unknown_documents": unknown})
    else:
        show_sensors(recorded, unknown=unknown, console=PlainConsole())


def _show_budget(settings: Settings, admin: Admin, spec: TopicSpec, *, as_json: bool) -> None:
    """Show the incidents of the recorded sensors against the model's budget.

    Raises:
        TopicError: the topic is missing.
    """
    from workers.api.budget import BudgetUnknownError, ModelBudget, recorded_budget
    from workers.cli.views.budget import budget_json, show_budget
    from workers.cli.views.plain import PlainConsole
    from workers.cli.views.report import print_json
    from workers.kafka.admin import require_topics
    from workers.kafka.factory import table_of

    budget: ModelBudget | str
    try:
        budget = ModelBudget.of(settings.model.path)
    except BudgetUnknownError as error:
        budget = str(error)
    (found,) = require_topics(admin, [spec])
    allowance = None if isinstance(budget, str) else budget.allowance
    with table_of(settings).open() as table:
        recorded = recorded_budget(table, range(found.partitions), allowance)
    if as_json:
        print_json(budget_json(budget, recorded))
    else:
        show_budget(budget, recorded, PlainConsole())


def _split_sensors(
    settings: Settings, pipeline: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Sensors that come in several partitions, as the workers know them or by some records.

    None when the records cannot be read; what is wrong with them is the doctor's to say.
    """
    from workers.data.sampled_records import sample_records
    from workers.errors import VigieError

    if pipeline is not None:
        told: Mapping[str, Any] | None = pipeline.get("split_sensors")
        return told
    try:
        return asdict(sample_records(settings).split)
    except (VigieError, ValueError):
        return None


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
    console.print("Topics", style="italic")
    topics = _table("", "partitions", "records", "", left={""})
    for topic in result["topics"]:
        topics.add_row(
            topic["name"], f"{topic['partitions']}", f"{topic['records']:,}", topic["advice"]
        )
    console.print(topics)
    group = result["group"]
    state = "no member has joined it yet" if group["state"] == "Unknown" else group["state"]
    console.print(
        f"\nGroup {group['name']}: {state}, "
        f"{len(group['members'])} members, lag {result['lag_records']:,} records"
    )
    if positions:
        columns = ("partition", "next offset", "end", "lag", "restore from", "member")
        table = _table(*columns, left={"member"})
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
    show_split_sensors(result["split_sensors"] or {}, result["topics"][0]["name"], console)
    if result["pipeline"] is not None:
        _show_pipeline(result["pipeline"], console)


def _show_pipeline(pipeline: Mapping[str, Any], console: Console) -> None:
    latency = pipeline.get("latency_ms", {})
    console.print(
        f"\nPipeline: latency p50 {_milliseconds(latency.get('p50'))}, "
        f"p99 {_milliseconds(latency.get('p99'))}"
    )
    columns = ("worker", "phase", "partitions", "sensors", "scored", "anomalies", "memory")
    table = _table(*columns, left={"phase"})
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
    waiting = sum(worker.get("never_scored", 0) for worker in pipeline["workers"])
    if waiting:
        console.print(
            f"Never scored so far: {waiting:,} sensors. They are new, or their readings come more "
            "seldom than stream.max_gap_s allows: vigie status --sensors names them"
        )
    if "scaling" in pipeline:
        show_scaling(pipeline["scaling"], console)


def show_split_sensors(split: Mapping[str, Any], topic: str, console: Console) -> None:
    """Name sensors of a topic that come in several partitions, and the way out, if there are."""
    from workers.kafka.unkeyed import way_out

    sensors = split.get("sensors") or 0
    if not sensors:
        return
    about = "about " if split.get("share", 1) > 1 else ""
    examples = "; ".join(
        f"{sensor} in {', '.join(map(str, places[:_MOST_PLACES]))}"
        + (", ..." if len(places) > _MOST_PLACES else "")
        for sensor, places in split.get("examples", {}).items()
    )
    text = (
        f"Split sensors: {about}{sensors:,} come in several partitions ({examples}). Each "
        f"partition has a part of their windows, so healthy readings are flagged: {way_out(topic)}"
    )
    console.print(text, style="yellow", markup=False, highlight=False)


def show_scaling(scaling: Mapping[str, Any], console: Console) -> None:
    """How many workers of each kind there are and should be, and the last change."""
    for kind in ("ingest", "scorers"):
        count = scaling.get(kind) or {}
        if not count.get("target"):
            continue
        how = _MODES.get(str(count.get("mode")), str(count.get("mode")))
        if count.get("mode") == "auto":
            how = f"{how}, {count.get('least')} to {count.get('most')}"
        text = f"{kind.capitalize()}: {count.get('actual')} of {count['target']} at work, {how}"
        console.print(text)
    last = scaling.get("last_decision")
    if last:
        console.print(f"Last change {last.get('at')}: {last.get('text')}")
    lost = ", ".join(
        f"{one.get('count')} {one.get('kind')} {one.get('reason')}"
        for one in scaling.get("replaced", ())
    )
    if lost:
        console.print(f"Replaced: {lost}")


def _table(*columns: str, left: Container[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
