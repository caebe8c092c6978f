"""`vigie dead-letters`: what could not be read, why, and the way back."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.exits import ExitCode
from workers.cli.options import JsonOption, ModelOption, SettingsOptions, unbundled, usage_errors
from workers.errors import TopicError, VigieError

if TYPE_CHECKING:
    from schemas.settings import Settings
    from schemas.wire.dead_letter import Place
    from workers.dead_letters.letter import Letter
    from workers.dead_letters.redrive import Rereading, Tally
    from workers.dead_letters.selection import Filter
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
        """The filter that the options describe.

        Raises:
            typer.BadParameter: one of them cannot be read.
        """
        from workers.dead_letters.selection import Filter

        with usage_errors():
            return Filter.of(
                reason=self.reason, since=self.since, source=self.source, now_s=time.time()
            )


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
    from workers.cli.views.dead_letters import print_letters
    from workers.dead_letters.letter import summary_document
    from workers.dead_letters.selection import newest, span_of

    wanted = filters.filter()
    settings = options.load({})
    stages: Counter[str] = Counter()

    def matching(reader: TopicReader) -> Iterator[Letter]:
        for letter in filter(wanted.passes, span_of(reader, wanted).letters(reader)):
            stages[letter.stage] += 1
            yield letter

    with _reader(settings) as (reader, _):
        if as_json:
            letters = matching(reader)
            for letter in letters if limit is None else newest(letters, limit):
                sys.stdout.write(json.dumps(summary_document(letter)) + "\n")
        else:
            rows = newest(matching(reader), limit or _ROWS)
            print_letters(rows, stages, topic=settings.topics.dead_letters)


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
    from workers.cli.views.dead_letters import print_letter
    from workers.cli.views.report import print_json
    from workers.dead_letters.letter import whole_document
    from workers.dead_letters.selection import fetched

    settings = options.load({"model.path": model})
    at = _places([place], settings)
    rereading = _rereading(settings)
    with _reader(settings) as (reader, _):
        (letter,) = fetched(reader, at)
    verdict = None
    if rereading is not None:
        verdict = rereading.verdict(letter.value, letter.headers, now_ns=time.time_ns())
    if output is not None:
        try:
            output.write_bytes(letter.value)
        except OSError as error:
            raise VigieError(f"cannot write {output}: {error.strerror}") from error
        typer.echo(f"{letter.size:,} bytes written to {output}", err=True)
    if as_json:
        today = verdict and {"readable": verdict.is_readable, "detail": verdict.detail}
        print_json(whole_document(letter) | {"today": today})
    else:
        print_letter(letter, verdict, most_bytes=most_bytes)


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

    Key, headers and bytes stay as they were; vigie.replay.* headers tell the story. What was sent
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
    from workers.dead_letters.redrive import Preparation, deliver_nothing, redrive
    from workers.dead_letters.selection import fetched, span_of
    from workers.kafka.factory import open_partition_producer
    from workers.process import stop_signals

    wanted = filters.filter()
    filtered = filters != FilterOptions() or limit is not None
    _check_choice(places or [], everything=everything, filtered=filtered, with_file=with_file)
    if content_type is not None and content_type not in DECODERS:
        raise typer.BadParameter(
            f"{content_type!r} is none of {', '.join(DECODERS)}", param_hint="--set-content-type"
        )
    settings = options.load({"model.path": model})
    chosen = _places(places or [], settings)
    rereading = _rereading(settings)
    with _reader(settings) as (reader, connection):
        preparation = Preparation(
            partitions_of=_partition_counts(connection),
            value=None if with_file is None else with_file.read_bytes(),
            content_type=content_type,
            rereading=rereading,
        )
        span = span_of(reader, wanted) if everything else None

        def select() -> Iterator[Letter]:
            if span is None:
                return fetched(reader, chosen)
            return islice(filter(wanted.passes, span.letters(reader)), limit)

        # Read twice, to ask before anything is sent without holding it in memory.
        tally = redrive(select(), preparation, deliver_nothing)
        if tally.sent and not dry_run:
            if tally.sent > _ASK_ABOVE and not yes:
                _ask(tally)
            with (
                stop_signals() as should_stop,
                open_partition_producer(connection, client_id="vigie-redrive") as producer,
            ):
                tally = redrive(select(), preparation, producer.deliver, should_stop=should_stop)
    _report(tally, dry_run=dry_run, as_json=as_json)


def _report(tally: Tally, *, dry_run: bool, as_json: bool) -> None:
    from workers.cli.views.dead_letters import print_tally, tally_document
    from workers.cli.views.report import print_json

    if as_json:
        sent, would_send = (0, tally.sent) if dry_run else (tally.sent, 0)
        counts = {"dry_run": dry_run, "sent": sent, "would_send": would_send}
        print_json(counts | tally_document(tally))
    else:
        print_tally(tally, verb="would be sent back" if dry_run else "sent back and acknowledged")
    if tally.staying:
        raise typer.Exit(ExitCode.FAILURE)


def _places(places: Sequence[str], settings: Settings) -> list[Place]:
    from workers.dead_letters.selection import parse_place

    with usage_errors("PLACE"):
        return [parse_place(place, settings.topics.dead_letters) for place in places]


def _check_choice(
    places: list[str], *, everything: bool, filtered: bool, with_file: Path | None
) -> None:
    """Reject options that contradict each other.

    Raises:
        typer.BadParameter: they do.
    """
    if bool(places) == everything:
        raise typer.BadParameter("name places, or say --all (with filters), one of the two")
    if filtered and not everything:
        raise typer.BadParameter("--reason, --since, --source and --limit go with --all")
    if with_file is not None and len(places) != 1:
        raise typer.BadParameter("one place, as the file is one record", param_hint="--with")


def _rereading(settings: Settings) -> Rereading | None:
    """How records are read today; None without a model.

    Raises:
        ArtifactError: of the detector: no sound model is there.
        VigieError: the settings name channels that the model does not have.
    """
    if settings.model.path is None:
        return None
    from detector.artifact import load
    from workers.dead_letters.redrive import Rereading

    return Rereading(load(settings.model.path, device="cpu"), settings.stream)


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


def _ask(tally: Tally) -> None:
    """Ask before many are sent.

    Raises:
        typer.BadParameter: no terminal is there to answer.
        typer.Abort: the answer is no.
    """
    from workers.cli.views.dead_letters import targets

    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"{tally.sent:,} dead letters would be sent back ({targets(tally)}): say --yes"
        )
    typer.confirm(
        f"Send {tally.sent:,} dead letters back ({targets(tally)})?", abort=True, err=True
    )
