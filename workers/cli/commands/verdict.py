"""`vigie verdict`: what people say of incidents and sensors, and what the stream heeded."""

from __future__ import annotations

import getpass
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from schemas.wire.deed import Deed, format_deed
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.timestamp import short_ns, to_ns
from schemas.wire.verdict import Forget, NewNormal, Off, Wish, is_pattern, told
from workers.cli.options import JsonOption, SettingsOptions, unbundled, usage_errors
from workers.errors import BrokerUnavailableError, VigieError
from workers.printable import printable

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.kafka.client import Connection
    from workers.verdicts.incidents import Judged
    from workers.verdicts.writer import Change


def _name(sensor: str | None) -> str | None:
    """A name that the key of a record can be, as typer asks for it."""
    if sensor is not None and not (
        1 <= len(sensor) <= MAX_NAME_CHARS and sensor.encode(errors="replace").decode() == sensor
    ):
        raise typer.BadParameter(f"a sensor's name has 1 to {MAX_NAME_CHARS} letters")
    return sensor


IncidentArgument = Annotated[
    uuid.UUID, typer.Argument(help="Id of the incident.", metavar="INCIDENT", show_default=False)
]
SensorArgument = Annotated[
    str,
    typer.Argument(help="The sensor.", metavar="SENSOR", show_default=False, callback=_name),
]
AnySensorArgument = Annotated[
    str | None, typer.Argument(help="Of this sensor alone.", metavar="[SENSOR]", show_default=False)
]


@dataclass(frozen=True, kw_only=True)
class WishOptions:
    """What goes with every wish."""

    note: Annotated[str, typer.Option("--note", help="Why, for those who read it later.")] = ""
    by: Annotated[
        str | None, typer.Option("--by", help="Who says so. Default: your login name.")
    ] = None
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            help="It holds from the first reading later than this, RFC 3339. "
            "Default: from the next reading on.",
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """What every wish says; a usage error if one of them cannot be."""
        return {
            "id": uuid.uuid4(),
            "by": self.by or _login_name(),
            "at_ns": time.time_ns(),
            "note": self.note,
            "after_ns": None if self.after is None else _time(self.after, "--after"),
        }


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Say what an incident was, and what is to be done about a sensor.",
    )
    for name, command in (
        ("fault", fault),
        ("false-alarm", false_alarm),
        ("new-normal", new_normal),
        ("forget", forget),
        ("off", off),
        ("withdraw", withdraw),
        ("list", list_wishes),
        ("deeds", list_deeds),
    ):
        group.command(name)(unbundled(command))
    app.add_typer(group, name="verdict")


def fault(
    incident: IncidentArgument,
    *,
    wish: WishOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that an incident was a fault: it teaches the threshold nothing and costs no budget.

    Example: vigie verdict fault 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --note "bearing changed"
    """
    with _broker(options) as (settings, connection):
        judged = _judged(settings, connection, incident)
        if judged.is_open:
            typer.echo(
                f"The incident is still open: the fault ends at {short_ns(judged.until_ns)} until "
                "you say it again when it is over.",
                err=True,
            )
        _wish(connection, settings, judged.sensor_id, judged.as_fault, wish, as_json=as_json)


def false_alarm(
    incident: IncidentArgument,
    *,
    wish: WishOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that an incident was a false alarm: what looks like it is held back, and says so.

    Example: vigie verdict false-alarm 0e0d7f5c-2c6a-5b7e-9d3f-6f1f4f0f8f11 --note "filter change"
    """
    with _broker(options) as (settings, connection):
        judged = _judged(settings, connection, incident)
        _wish(connection, settings, judged.sensor_id, judged.as_false_alarm, wish, as_json=as_json)


def new_normal(
    sensor: SensorArgument,
    *,
    wish: WishOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that what a sensor does now is normal: its threshold begins anew.

    Example: vigie verdict new-normal pump-7 --note "impeller changed"
    """
    _one_sensor(sensor)
    with _broker(options) as (settings, connection):
        _wish(connection, settings, sensor, NewNormal, wish, as_json=as_json, look=True)


def forget(
    sensor: SensorArgument,
    *,
    start: Annotated[
        str, typer.Option("--from", help="First reading to forget, RFC 3339.", show_default=False)
    ],
    end: Annotated[
        str, typer.Option("--to", help="Last reading to forget, RFC 3339.", show_default=False)
    ],
    wish: WishOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that a period counts neither for the threshold nor for training.

    Example: vigie verdict forget pump-7 --from 2026-11-01T06:00:00Z --to 2026-11-01T14:00:00Z
    """
    _one_sensor(sensor)
    start_ns, end_ns = _time(start, "--from"), _time(end, "--to")
    if end_ns < start_ns:
        raise typer.BadParameter("comes before --from", param_hint="--to")

    def make(**more: Any) -> Forget:
        return Forget(start_ns=start_ns, end_ns=end_ns, **more)

    with _broker(options) as (settings, connection):
        _wish(connection, settings, sensor, make, wish, as_json=as_json, look=True)


def off(
    sensor: Annotated[
        str,
        typer.Argument(
            help="The sensor, or a pattern such as 'pump-*'.",
            metavar="SENSOR",
            show_default=False,
            callback=_name,
        ),
    ],
    *,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="Up to the last reading not later, RFC 3339. Default: until withdrawn."
        ),
    ] = None,
    wish: WishOptions,
    options: SettingsOptions,
    as_json: JsonOption = False,
) -> None:
    """Say that a sensor, or all that a pattern names, is not judged.

    Examples:
      vigie verdict off pump-7 --until 2026-11-02T06:00:00Z --note "overhaul"
      vigie verdict off 'line-3/*'
    """
    until_ns = None if until is None else _time(until, "--until")

    def make(**more: Any) -> Off:
        return Off(until_ns=until_ns, **more)

    with _broker(options) as (settings, connection):
        _wish(connection, settings, sensor, make, wish, as_json=as_json, look=True)


def withdraw(
    sensor: Annotated[
        str,
        typer.Argument(
            help="The sensor or the pattern, as vigie verdict list shows it.",
            metavar="SENSOR",
            show_default=False,
            callback=_name,
        ),
    ],
    wish_id: Annotated[
        uuid.UUID, typer.Argument(help="Id of the wish.", metavar="WISH", show_default=False)
    ],
    *,
    options: SettingsOptions,
) -> None:
    """Withdraw a wish: a new normal is reverted, off ends, a verdict is taken back.

    Example: vigie verdict withdraw pump-7 3f0c7a52-0b1e-4f5e-8a69-0d3f1d2c4b5a
    """
    from workers.verdicts.standing import without_wish

    with _broker(options) as (settings, connection):
        _change(connection, settings, sensor, lambda document: without_wish(document, wish_id))
    typer.echo(printable(f"{wish_id} stands no more for {sensor}."))


def list_wishes(
    sensor: AnySensorArgument = None,
    *,
    options: SettingsOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON each, as deeds does.")
    ] = False,
) -> None:
    """List the wishes that stand; of a sensor also those of patterns that it matches.

    Examples:
      vigie verdict list
      vigie verdict list pump-7 --json > wishes.jsonl
    """
    from workers.kafka.factory import verdicts_table_of
    from workers.verdicts.standing import standing_in

    with (
        _broker(options) as (settings, connection),
        verdicts_table_of(connection, settings.topics.verdicts).open() as table,
    ):
        standing, unreadable = standing_in(table.latest(0))
    for said in unreadable:
        typer.echo(printable(f"Not shown: {said}"), err=True)
    wanted = [deed for deed in standing if sensor is None or deed.concerns(sensor)]
    if as_json:
        sys.stdout.writelines(format_deed(deed) + "\n" for deed in wanted)
    else:
        from workers.cli.views.verdicts import print_wishes

        print_wishes(wanted)


def list_deeds(
    sensor: AnySensorArgument = None,
    *,
    options: SettingsOptions,
) -> None:
    """Print the wishes that the stream heeded, a line of JSON each, for backtests and training.

    Examples:
      vigie verdict deeds > deeds.jsonl
      vigie backtest pump-7.csv --model model --verdicts deeds.jsonl
      vigie train history/*.parquet --verdicts deeds.jsonl
    """
    from workers.verdicts.incidents import deeds_of

    with (
        _broker(options) as (settings, connection),
        _incidents(settings, connection) as values,
    ):
        for deed in deeds_of(values):
            if sensor is None or deed.concerns(sensor):
                sys.stdout.write(format_deed(deed) + "\n")


# -- what they share -------------------------------------------------------------------------------


@contextmanager
def _broker(options: SettingsOptions) -> Iterator[tuple[Settings, Connection]]:
    """The settings, and the way to a broker that is there and has the topic of the verdicts."""
    from workers.kafka.admin import TopicSpec, require_topics
    from workers.kafka.factory import admin_of, connection_of

    settings = options.load({})
    connection = replace(connection_of(settings.kafka), wait_timeout_s=0.0)
    admin = admin_of(connection)
    admin.wait_for_broker()
    require_topics(admin, [TopicSpec(name=settings.topics.verdicts)])
    yield settings, connection


def _wish(
    connection: Connection,
    settings: Settings,
    key: str,
    make: Callable[..., Wish],
    options: WishOptions,
    *,
    as_json: bool,
    look: bool = False,
) -> None:
    """Write a wish, and say what became of it; `look` warns of a sensor that nobody has seen."""
    from workers.verdicts.standing import with_wish

    try:
        wish = make(**options.fields())
    except ValidationError as error:
        raise typer.BadParameter(told(error)) from error
    if look and not _is_seen(settings, connection, key):
        typer.echo(
            printable(
                f"No sensor {'matches' if is_pattern(key) else 'is called'} {key} so far: the wish "
                "waits for one. Is the name right (vigie status --sensors)?"
            ),
            err=True,
        )
    before, after = _change(connection, settings, key, lambda document: with_wish(document, wish))
    for gone in before.wishes:
        if gone not in after.wishes:
            typer.echo(f"It takes the place of {gone.kind} {gone.id}.", err=True)
    if as_json:
        typer.echo(format_deed(Deed(sensor=key, after_ns=wish.after_ns, wish=wish)))
    else:
        typer.echo(
            printable(
                f"{wish.kind} stands for {key}: {wish.id}. The stream heeds it from "
                + ("its next reading on." if wish.after_ns is None else "that time on.")
            )
        )


def _change(connection: Connection, settings: Settings, key: str, change: Change) -> Any:
    from workers.verdicts.writer import open_wish_writer

    with open_wish_writer(connection, settings.topics.verdicts) as writer:
        return writer.change(key, change)


def _judged(settings: Settings, connection: Connection, incident: uuid.UUID) -> Judged:
    from workers.verdicts.incidents import find_incident

    with _incidents(settings, connection) as values:
        try:
            found = find_incident(incident, values)
        except ValueError as error:
            raise VigieError(str(error)) from error
    if found is None:
        raise VigieError(
            f"No incident {incident} in {settings.topics.incidents}: take the id from an event of "
            "that topic. Those that retention has deleted cannot be judged any more."
        )
    return found


@contextmanager
def _incidents(settings: Settings, connection: Connection) -> Iterator[Iterator[bytes | None]]:
    """The values of all events of incidents, up to the end as it is now."""
    from workers.kafka.factory import open_reader

    topics = [settings.topics.incidents]
    with open_reader(connection, topics, client_id="vigie-verdict") as reader:
        yield (record.value for batch in reader.read_to(reader.ends()) for record in batch)


def _is_seen(settings: Settings, connection: Connection, key: str) -> bool:
    """Whether something was recorded of such a sensor; true if nobody can say."""
    from fnmatch import fnmatchcase

    from workers.kafka.admin import TopicSpec
    from workers.kafka.factory import admin_of, table_of

    topic = TopicSpec(name=settings.topics.sensor_state)
    (found,) = admin_of(connection).check_topics([topic])
    if not found.partitions:
        return True
    try:
        with table_of(settings).open() as table:
            return any(
                name == key or fnmatchcase(name, key)
                for partition in range(found.partitions)
                for name in (seen.decode() for seen in table.latest(partition))
            )
    except BrokerUnavailableError:  # a transaction is open there: no reason to hold the wish back
        return True


def _one_sensor(sensor: str) -> None:
    if "*" in sensor or "?" in sensor:
        raise typer.BadParameter(
            "one sensor by its name: only off takes a pattern", param_hint="SENSOR"
        )


def _time(text: str, hint: str) -> int:
    with usage_errors(hint):
        return to_ns(text)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
