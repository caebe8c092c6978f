"""`vigie dead-letters`: what could not be read, why, and the way back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.exits import ExitCode
from workers.cli.options import JsonOption, ModelOption, SettingsOptions, unbundled, usage_errors
from workers.cli.views.dead_letters import LATE, print_letter, print_letters, print_tally, targets
from workers.cli.views.report import print_json
from workers.dead_letters.letter import Letter, summary_document, whole_document
from workers.dead_letters.selection import (
    Filter,
    fetched,
    matching,
    newest,
    parse_place,
    parse_since,
)
from workers.errors import TopicError, VigieError

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.dead_letters.redrive import Rereading, Tally
    from workers.kafka.client import Connection
    from workers.kafka.factory import TopicReader

_ASK_ABOVE = 10
_ROWS = 50

PLACE_HELP = "PARTITION:OFFSET in the topic of dead letters, as list shows it."


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which dead letters are meant."""

    reason: Annotated[
        str | None,
        typer.Option(help="Only those whose stage, exception or message holds this text."),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(help="Only those given up since: RFC 3339, or an age such as 15m, 2h, 1d."),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(metavar="TOPIC[:PARTITION]", help="Only those that came from there."),
    ] = None

    def filter(self) -> Filter:
        """The filter that the options describe; a usage error if one cannot be read."""
        with usage_errors():
            since_ms = None if self.since is None else parse_since(self.since, now_s=time.time())
            return Filter(reason=self.reason or "", since_ms=since_ms, source=self.source)


@dataclass(frozen=True, kw_only=True)
class LettersOptions(SettingsOptions):
    """The settings, with the topic of dead letters."""

    topic: Annotated[
        str | None,
        typer.Option("--topic", help="Topic of dead letters. Sets topics.dead_letters."),
    ] = None

    def load(self, flags: Mapping[str, Any]) -> Settings:
        """Settings, with the topic of this command line."""
        return super().load({"topics.dead_letters": self.topic, **flags})


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Look at the records that could not be read, and send them back.",
    )
    group.command("list")(unbundled(list_letters))
    group.command()(unbundled(show))
    group.command("redrive")(unbundled(redrive_letters))
    app.add_typer(group, name="dead-letters")


def list_letters(
    *,
    filters: FilterOptions,
    limit: Annotated[
        int | None,
        typer.Option(
            help="At most so many, the newest. Default: 50; with --json all.", min=1, max=10_000
        ),
    ] = None,
    options: LettersOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON each.")] = False,
) -> None:
    """List dead letters, and say how many there are of each stage.

    Examples:
      vigie dead-letters list --since 2h
      vigie dead-letters list --reason channel --source vigie.readings:3
      vigie dead-letters list --json | jq .reason
    """
    wanted = filters.filter()
    settings = options.load({})
    with _reader(settings) as (reader, _):
        letters = matching(reader, wanted, reader.ends())
        if as_json and limit is None:
            for letter in letters:
                sys.stdout.write(json.dumps(summary_document(letter)) + "\n")
            return
        summaries, stages = newest(letters, limit or _ROWS)
    if as_json:
        sys.stdout.writelines(json.dumps(summary) + "\n" for summary in summaries)
    else:
        print_letters(summaries, stages, topic=settings.topics.dead_letters)


def show(
    place: Annotated[str, typer.Argument(help=PLACE_HELP)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the bytes of the value to a file.")
    ] = None,
    most_bytes: Annotated[
        int, typer.Option("--bytes", help="Show at most so many bytes of the value.", min=1)
    ] = 4096,
    model: ModelOption = None,
    options: LettersOptions,
    as_json: JsonOption = False,
) -> None:
    """Show everything of one dead letter, and whether it would be read today.

    That needs the channels of the model: --model, or model.path in the settings.

    Examples:
      vigie dead-letters show 0:17 --model model
      vigie dead-letters show 0:17 --output record.json
    """
    settings = options.load({"model.path": model})
    with usage_errors("PLACE"):
        at = parse_place(place, settings.topics.dead_letters)
    rereading = _rereading(settings)
    with _reader(settings) as (reader, _):
        (letter,) = fetched(reader, [at])
    if output is not None:
        try:
            output.write_bytes(letter.value)
        except OSError as error:
            raise VigieError(f"cannot write {output}: {error.strerror}") from error
        typer.echo(f"{len(letter.value):,} bytes written to {output}", err=True)
    today, words = None, "give --model to see whether it would be read now"
    if rereading is not None:
        is_readable, detail = rereading.verdict(
            letter.value, letter.headers, key=letter.key, now_ns=time.time_ns()
        )
        today = {"readable": is_readable, "detail": detail}
        words = f"{'would be read' if is_readable else 'would fail again'}: {detail}"
    if as_json:
        print_json(whole_document(letter) | {"today": today})
    else:
        print_letter(letter, words, most_bytes=most_bytes)


def redrive_letters(
    places: Annotated[
        list[str] | None, typer.Argument(help=PLACE_HELP, metavar="[PLACE]...")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="All that pass the filters, the oldest first.")
    ] = False,
    filters: FilterOptions,
    limit: Annotated[
        int | None, typer.Option(help="With --all: at most so many, the oldest.", min=1)
    ] = None,
    with_file: Annotated[
        Path | None,
        typer.Option(
            "--with",
            help="Send the bytes of this file instead; for one dead letter.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option("--set-content-type", help="Say so in the content-type header instead."),
    ] = None,
    model: ModelOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {_ASK_ABOVE}.")
    ] = False,
    options: LettersOptions,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters back to the topic and partition that they came from.

    Key, headers and bytes stay as they were; vigie.redrive.* headers tell the story. What was sent
    back stays in the topic of dead letters as well, and nothing remembers that it was sent: name
    the time with --since. With a model (--model, or model.path in the settings), what would fail
    again is not sent.

    A redriven reading that is older than the last accepted one of its sensor is late: it is
    dropped and counted, not scored.

    Examples:
      vigie dead-letters redrive 0:17 --with repaired.json
      vigie dead-letters redrive --all --reason channel --since 2h --model model --dry-run
      vigie dead-letters redrive --all --since 2h --set-content-type application/json
    """
    from schemas.codec import DECODERS
    from workers.dead_letters.redrive import Preparation, redrive
    from workers.kafka.factory import open_partition_producer
    from workers.process import stop_signals

    wanted = filters.filter()
    if bool(places) == everything:
        raise typer.BadParameter("name places, or say --all (with filters), one of the two")
    if places and (filters != FilterOptions() or limit is not None):
        raise typer.BadParameter("--reason, --since, --source and --limit go with --all")
    if with_file is not None and len(places or ()) != 1:
        raise typer.BadParameter("one place, as the file is one record", param_hint="--with")
    if content_type is not None and content_type not in DECODERS:
        raise typer.BadParameter(
            f"{content_type!r} is none of {', '.join(DECODERS)}", param_hint="--set-content-type"
        )
    settings = options.load({"model.path": model})
    with usage_errors("PLACE"):
        chosen = [parse_place(place, settings.topics.dead_letters) for place in places or ()]
    rereading = _rereading(settings)
    with _reader(settings) as (reader, connection):
        preparation = Preparation(
            partitions_of=_partition_counts(connection),
            value=None if with_file is None else with_file.read_bytes(),
            content_type=content_type,
            rereading=rereading,
        )
        ends = reader.ends()

        def select() -> Iterator[Letter]:
            if chosen:
                return fetched(reader, chosen)
            return islice(matching(reader, wanted, ends), limit)

        # Read twice, to ask before anything is sent without holding it in memory.
        tally = redrive(select(), preparation, lambda _: ())
        if tally.sent and not dry_run:
            if tally.sent > _ASK_ABOVE and not yes:
                _ask(tally)
            with (
                stop_signals() as should_stop,
                open_partition_producer(connection, client_id="vigie-redrive") as deliver,
            ):
                tally = redrive(select(), preparation, deliver, should_stop=should_stop)
    _report(tally, dry_run=dry_run, as_json=as_json)


def _ask(tally: Tally) -> None:
    question = f"{tally.sent:,} dead letters back ({targets(tally)})"
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"not sending {question} unasked: say --yes")
    typer.confirm(f"Send {question}?", abort=True, err=True)


def _report(tally: Tally, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "dry_run": dry_run,
            "sent": 0 if dry_run else tally.sent,
            "would_send": tally.sent if dry_run else 0,
            "bytes": tally.value_bytes,
            "to": dict(tally.targets),
            "sent_before": tally.again,
            "rejected": tally.reasons(),
            "note": LATE,
        }
        print_json(document)
    else:
        print_tally(tally, verb="would be sent back" if dry_run else "sent back and acknowledged")
    if tally.rejected:
        raise typer.Exit(ExitCode.FAILURE)


def _rereading(settings: Settings) -> Rereading | None:
    """How records are read today; None without a model."""
    if settings.model.path is None:
        return None
    from detector.artifact import load
    from workers.dead_letters.redrive import Rereading
    from workers.registry.parser import parser_of

    channels = load(settings.model.path, device="cpu").channels
    return Rereading(channels, settings.stream, settings.input, parser_of(settings))


@contextmanager
def _reader(settings: Settings) -> Iterator[tuple[TopicReader, Connection]]:
    from workers.kafka.factory import admin_of, connection_of, open_reader

    connection = replace(connection_of(settings.kafka), wait_timeout_s=0.0)
    admin_of(connection).wait_for_broker()
    topics = [settings.topics.dead_letters]
    with open_reader(connection, topics, client_id="vigie-dead-letters") as reader:
        yield reader, connection


def _partition_counts(connection: Connection) -> Callable[[str], int]:
    """A function that asks for the number of partitions of a topic, once."""
    from workers.kafka.admin import TopicSpec
    from workers.kafka.factory import admin_of

    @cache
    def partitions_of(topic: str) -> int:
        try:
            (finding,) = admin_of(connection).check_topics([TopicSpec(name=topic)])
        except TopicError:  # no name of a topic: a header may hold anything
            return 0
        return finding.partitions

    return partitions_of
