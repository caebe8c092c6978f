"""`vigie dead-letters`: what could not be read, why, and the way back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.exits import ExitCode
from workers.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    ModelOption,
    SetOption,
    settings_from,
)
from workers.errors import TopicError, VigieError

if TYPE_CHECKING:
    from schemas.settings import Settings
    from workers.dead_letters.letter import Letter
    from workers.dead_letters.redrive import Preparing, Repair, Rereading, Tally
    from workers.dead_letters.selection import Filter
    from workers.kafka.kafka_python import Connection
    from workers.kafka.kafka_python.consumer.reader import TopicReader

_ASK_ABOVE = 10
_SAMPLE = 20
_ROWS = 50
LATE = (
    "A replayed reading that is older than the last accepted one of its sensor is late: it is "
    "dropped and counted (vigie_late_total), not scored."
)

ReasonOption = Annotated[
    str | None,
    typer.Option(help="Only those whose stage, exception or message holds this text."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Only those given up since: RFC 3339, or an age such as 15m, 2h, 1d."),
]
SourceOption = Annotated[
    str | None,
    typer.Option(metavar="TOPIC[:PARTITION]", help="Only those that came from there."),
]
TopicOption = Annotated[
    str | None, typer.Option("--topic", help="Topic of dead letters. Sets topics.dead_letters.")
]
PLACE_HELP = "PARTITION:OFFSET in the topic of dead letters, as list shows it."


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Look at the records that could not be read, and send them back.",
    )
    group.command("list")(list_letters)
    group.command()(show)
    group.command("replay")(replay_letters)
    app.add_typer(group, name="dead-letters")


def list_letters(
    reason: ReasonOption = None,
    since: SinceOption = None,
    source: SourceOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="At most so many, the newest. Default: 50; with --json all.", min=1, max=10_000
        ),
    ] = None,
    summary_only: Annotated[
        bool, typer.Option("--summary", help="Only how many there are of each kind.")
    ] = False,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON each.")] = False,
) -> None:
    """List dead letters, and say how many there are of each kind.

    Examples:
      vigie dead-letters list --since 2h
      vigie dead-letters list --reason channel --source vigie.readings:3
      vigie dead-letters list --json | jq .reason
    """
    from workers.cli.views.dead_letters import print_letters, print_summary
    from workers.dead_letters.letter import Summary, as_document, kind_documents
    from workers.dead_letters.selection import filter_from, matching, newest, stretch_of

    wanted = filter_from(reason=reason, since=since, source=source)
    settings = settings_from(
        config, assignments, {"kafka.bootstrap": bootstrap, "topics.dead_letters": topic}
    )
    summary = Summary()

    def counted(letters: Iterator[Letter]) -> Iterator[Letter]:
        for letter in letters:
            summary.add(letter)
            yield letter

    with _reader(settings) as (reader, _):
        letters = counted(matching(reader, stretch_of(reader, wanted), wanted))
        if as_json and not summary_only:
            for letter in letters if limit is None else newest(letters, limit):
                _print_line(as_document(letter))
            return
        rows = newest(letters, 0 if summary_only else limit or _ROWS)
    if as_json:
        for kind in kind_documents(summary):
            _print_line(kind)
        return
    print_letters(rows)
    print_summary(summary, topic=settings.topics.dead_letters, shown=len(rows))


def show(
    place: Annotated[str, typer.Argument(help=PLACE_HELP)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the bytes of the value to a file.")
    ] = None,
    most_bytes: Annotated[
        int, typer.Option("--bytes", help="Show at most so many bytes of the value.", min=1)
    ] = 4096,
    model: ModelOption = None,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything of one dead letter, and whether it would be read today.

    That needs the channels of the model: --model, or model.path in the settings.

    Examples:
      vigie dead-letters show 0:17 --model model
      vigie dead-letters show 0:17 --output record.json
    """
    from workers.cli.views.dead_letters import print_letter
    from workers.dead_letters.letter import as_document
    from workers.dead_letters.selection import fetched, parse_place

    settings = settings_from(
        config,
        assignments,
        {"kafka.bootstrap": bootstrap, "topics.dead_letters": topic, "model.path": model},
    )
    at = parse_place(place, settings.topics.dead_letters)
    rereading = _rereading(settings)
    with _reader(settings) as (reader, _):
        (letter,) = fetched(reader, [at])
    verdict = None
    if rereading is not None:
        verdict = rereading.verdict(
            letter.value, dict(letter.headers).get("content-type"), now_s=time.time()
        )
    if output is not None:
        try:
            output.write_bytes(letter.value)
        except OSError as error:
            raise VigieError(f"cannot write {output}: {error.strerror}") from error
    if as_json:
        from workers.cli.views.report import print_json

        today = None if verdict is None else {"readable": verdict.is_readable, "told": verdict.told}
        print_json(as_document(letter, whole=True) | {"today": today})
        return
    print_letter(letter, verdict, most_bytes=most_bytes)
    if output is not None:
        typer.echo(f"{letter.size:,} bytes written to {output}", err=True)


def replay_letters(
    places: Annotated[
        list[str] | None, typer.Argument(help=PLACE_HELP, metavar="[PLACE]...")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that pass the filters, the oldest first.")
    ] = False,
    reason: ReasonOption = None,
    since: SinceOption = None,
    source: SourceOption = None,
    limit: Annotated[
        int | None, typer.Option(help="With --all: at most so many, the oldest.", min=1)
    ] = None,
    with_file: Annotated[
        Path | None,
        typer.Option("--with", help="Send the bytes of this file instead; for one dead letter."),
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
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters back to the topic and partition that they came from.

    Key, headers and bytes stay as they were; vigie.replay.* headers tell the story. What was sent
    back stays in the topic of dead letters as well, and nothing remembers that it was sent: name
    the time with --since. With a model (--model, or model.path in the settings), what would fail
    again is not sent.

    A replayed reading that is older than the last accepted one of its sensor is late: it is
    dropped and counted, not scored.

    Examples:
      vigie dead-letters replay 0:17 --with mended.json
      vigie dead-letters replay --all --reason channel --since 2h --model model --dry-run
      vigie dead-letters replay --all --since 2h --set-content-type application/json
    """
    from workers.dead_letters.redrive import Preparing
    from workers.dead_letters.selection import (
        Stretch,
        fetched,
        filter_from,
        parse_place,
        stretch_of,
    )

    wanted = filter_from(reason=reason, since=since, source=source)
    _check_choice(
        places or [],
        everything=everything,
        filtered=any(each is not None for each in (reason, since, source, limit)),
        with_file=with_file,
    )
    settings = settings_from(
        config,
        assignments,
        {"kafka.bootstrap": bootstrap, "topics.dead_letters": topic, "model.path": model},
    )
    chosen = [parse_place(place, settings.topics.dead_letters) for place in places or ()]
    repair = _repair(with_file, content_type)
    rereading = _rereading(settings)
    with _reader(settings) as (reader, connection):
        preparing = Preparing(
            repair, partitions_of=_partition_counts(connection), rereading=rereading
        )
        stretch: Stretch | None = stretch_of(reader, wanted) if everything else None

        def select() -> Iterator[Letter]:
            if stretch is None:
                return fetched(reader, chosen)
            return _first(reader, stretch, wanted, limit)

        tally = _replay(select, preparing, connection, dry_run=dry_run, yes=yes, as_json=as_json)
    if tally.staying:
        raise typer.Exit(ExitCode.FAILURE)


def _replay(
    select: Callable[[], Iterator[Letter]],
    preparing: Preparing,
    connection: Connection,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Tally:
    """Look first, ask, then send: two passes, so that nothing is held in memory."""
    from workers.cli.views.dead_letters import print_plan, print_tally
    from workers.dead_letters.redrive import sample_of, send_back, tallied
    from workers.dead_letters.resender import ResenderConfig
    from workers.process import stop_signals

    sample, keep = sample_of(_SAMPLE)
    tally = tallied(select(), preparing, on_sending=keep)
    if dry_run or not tally.sent:
        if not as_json:
            print_plan(sample, tally)
    else:
        if tally.sent > _ASK_ABOVE and not yes:
            _ask(tally)
        with (
            stop_signals() as should_stop,
            ResenderConfig(connection=connection).open() as resender,
        ):
            tally = send_back(select(), preparing, resender, should_stop=should_stop)
    if as_json:
        _print_tally_json(tally, dry_run=dry_run)
    else:
        print_tally(tally, dry_run=dry_run)
        if tally.sent:
            typer.echo(LATE)
    return tally


def _check_choice(
    places: list[str], *, everything: bool, filtered: bool, with_file: Path | None
) -> None:
    """Refuse options that contradict each other.

    Raises:
        typer.BadParameter: they do.
    """
    if bool(places) == everything:
        raise typer.BadParameter("name places, or say --all (with filters), one of the two")
    if filtered and not everything:
        raise typer.BadParameter("--reason, --since, --source and --limit go with --all")
    if with_file is not None and len(places) != 1:
        raise typer.BadParameter("one place, as the file is one record", param_hint="--with")


def _repair(with_file: Path | None, content_type: str | None) -> Repair:
    from schemas.codec import DECODERS
    from workers.dead_letters.redrive import Repair

    if content_type is not None and content_type not in DECODERS:
        raise typer.BadParameter(
            f"{content_type!r} is none of {', '.join(DECODERS)}", param_hint="--set-content-type"
        )
    value = None
    if with_file is not None:
        try:
            value = with_file.read_bytes()
        except OSError as error:
            raise typer.BadParameter(
                f"cannot read {with_file}: {error.strerror}", param_hint="--with"
            ) from error
    return Repair(value=value, content_type=content_type)


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

    detector = load(settings.model.path, device="cpu")
    try:
        return Rereading(settings, detector.channels)
    except ValueError as error:
        raise VigieError(f"stream.channels does not fit the model: {error}") from error


@contextmanager
def _reader(settings: Settings) -> Iterator[tuple[TopicReader, Connection]]:
    from workers.kafka.factory import connection_of
    from workers.kafka.kafka_python import wait_for_broker
    from workers.kafka.kafka_python.consumer.reader import ReaderConfig

    connection = replace(connection_of(settings), wait_timeout_s=0.0)
    wait_for_broker(connection)
    config = ReaderConfig(
        connection=connection,
        topics=(settings.topics.dead_letters,),
        client_id="vigie-dead-letters",
    )
    with config.open() as reader:
        yield reader, connection


def _partition_counts(connection: Connection) -> Callable[[str], int]:
    """A function that asks for the number of partitions of a topic, once."""
    from workers.kafka.kafka_python.admin.topics import TopicSpec, check_topics

    known: dict[str, int] = {}

    def partitions_of(topic: str) -> int:
        if topic not in known:
            try:
                (finding,) = check_topics(connection, [TopicSpec(name=topic)])
                known[topic] = finding.partitions
            except TopicError:  # no name of a topic: a header may hold anything
                known[topic] = 0
        return known[topic]

    return partitions_of


def _first(
    reader: TopicReader, stretch: Any, wanted: Filter, limit: int | None
) -> Iterator[Letter]:
    from itertools import islice

    from workers.dead_letters.selection import matching

    return islice(matching(reader, stretch, wanted), limit)


def _ask(tally: Tally) -> None:
    """Ask before many are sent.

    Raises:
        typer.BadParameter: nobody is there to answer.
        typer.Abort: the answer is no.
    """
    targets = ", ".join(f"{count:,} to {topic}" for topic, count in tally.targets.most_common())
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"{tally.sent:,} dead letters would be sent back ({targets}): say --yes"
        )
    typer.confirm(f"Send {tally.sent:,} dead letters back ({targets})?", abort=True, err=True)


def _print_line(document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")


def _print_tally_json(tally: Tally, *, dry_run: bool) -> None:
    from workers.cli.views.report import print_json
    from workers.dead_letters.redrive import refusals

    print_json(
        {
            "dry_run": dry_run,
            "sent": 0 if dry_run else tally.sent,
            "would_send": tally.sent if dry_run else 0,
            "bytes": tally.value_bytes,
            "to": dict(tally.targets),
            "sent_before": tally.again,
            "refused": list(refusals(tally)),
            "note": LATE,
        }
    )
