"""`vigie topics`: the topics that the stream reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workers.cli.exits import ExitCode
from workers.cli.options import JsonOption, SettingsOptions, unbundled
from workers.cli.views.report import print_json
from workers.kafka.rights import Role

if TYPE_CHECKING:
    from workers.kafka.admin import Admin, Finding, TopicSpec

PartitionsOption = Annotated[
    int | None, typer.Option(help="Partitions of each topic. Sets topics.partitions.", min=1)
]
RepartitionOption = Annotated[
    bool,
    typer.Option(
        "--repartition",
        help="Also the topic between the hops of vigie repartition; its source has to be there.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    topics = typer.Typer(
        no_args_is_help=True, help="Create and check the topics that the stream reads and writes."
    )
    topics.command()(unbundled(create))
    topics.command()(unbundled(check))
    topics.command()(unbundled(acls))
    app.add_typer(topics, name="topics")


def create(
    *,
    options: SettingsOptions,
    partitions: PartitionsOption = None,
    repartition: RepartitionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create the topics that are missing; those that are there stay as they are.

    Example: vigie topics create --bootstrap localhost:9092 --partitions 8
    """
    admin, specs, filled = _wanted(options, partitions, repartition=repartition)
    _report([*admin.create_topics(specs), *_filled(admin, filled)], as_json=as_json)


def check(
    *,
    options: SettingsOptions,
    partitions: PartitionsOption = None,
    repartition: RepartitionOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether the topics are there with enough partitions; exit code 1 if not.

    Example: vigie topics check --bootstrap localhost:9092
    """
    admin, specs, filled = _wanted(options, partitions, repartition=repartition)
    _report([*admin.check_topics(specs), *_filled(admin, filled)], as_json=as_json)


def acls(
    *,
    options: SettingsOptions,
    role: Annotated[
        list[Role] | None, typer.Option(help="Of this part of Vigie alone. May be repeated.")
    ] = None,
    principal: Annotated[
        str, typer.Option(help="Whom the rights are for; {role} becomes the part's name.")
    ] = "User:vigie-{role}",
    form: Annotated[
        Literal["table", "commands", "strimzi"],
        typer.Option("--format", help="A table, lines for kafka-acls.sh, or Strimzi's (JSON)."),
    ] = "table",
) -> None:
    """Say which rights on Kafka each part of Vigie needs with these settings: no more, no less.

    Asks no broker. The names of topics, group and instance are those of the settings.

    Example: vigie topics acls --role run --format commands
    """
    from rich.table import Table

    from workers.cli.views import rights as views
    from workers.cli.views.plain import PlainConsole
    from workers.kafka.rights import rights_of

    settings = options.load({})
    needed = {one: rights_of(one, settings) for one in role or Role}
    principals = {one: principal.replace("{role}", one.value) for one in needed}
    if form == "commands":
        typer.echo(views.commands(needed, principals))
    elif form == "strimzi":
        print_json({principals[one]: views.strimzi(rights) for one, rights in needed.items()})
    else:
        table = Table("for", "resource", "name", "operation", box=None)
        for one, rights in needed.items():
            for right in rights:
                name = right.name + ("*" if right.is_prefix else "")
                table.add_row(one.value, right.resource.value, name, right.operation.value)
        PlainConsole().print(table)


def _wanted(
    options: SettingsOptions, partitions: int | None, *, repartition: bool
) -> tuple[Admin, list[TopicSpec], list[TopicSpec]]:
    """What looks at topics, those that are Vigie's to make, and those that others fill."""
    from workers.kafka.factory import admin_of, connection_of, repartition_specs, topic_specs

    settings = options.load({"topics.partitions": partitions})
    specs, filled = topic_specs(settings.topics), []
    if repartition:
        source, shuffled = repartition_specs(settings)
        specs.append(shuffled)
        filled.append(replace(source, partitions=1))
    return admin_of(connection_of(settings.kafka)), specs, filled


def _filled(admin: Admin, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Look at topics that others fill: an empty one of that name would hide a wrong name."""
    from workers.kafka.unkeyed import no_source

    return [
        found if found.is_good else replace(found, advice=no_source(found.name))
        for found in (admin.check_topics(specs) if specs else [])
    ]


def _report(findings: Sequence[Finding], *, as_json: bool) -> None:
    from rich.table import Column, Table

    from workers.cli.views.plain import PlainConsole

    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("topic", Column("partitions", justify="right"), "state", box=None)
        for finding in findings:
            table.add_row(finding.name, str(finding.partitions), finding.state.value)
        PlainConsole().print(table)
        for finding in findings:
            if finding.advice:
                typer.echo(finding.advice, err=True)
    if not all(finding.is_good for finding in findings):
        raise typer.Exit(ExitCode.FAILURE)
