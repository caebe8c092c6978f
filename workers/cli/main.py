"""The ``vigie`` command.

Each command is one module of `workers.cli.commands` with ``register(app: typer.Typer) -> None``,
named like the command (with "_" for "-"). When the command line names one, only that module is
imported, so that ``vigie status`` never pays for what ``vigie train`` needs. Everything else
(``--help``, a mistyped name) imports them all; they keep their heavy imports inside their
functions.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.exits import ExitCode, exit_code_of, is_expected
from workers.printable import printable_lines
from workers.version import own_version

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    "demo",
    "simulate",
    "replay",
    "inspect",
    "train",
    "run",
    "serve",
    "subscriptions",
    "incidents",
    "silences",
    "repartition",
    "backtest",
    "denoise",
    "augment",
    "compare",
    "report",
    "latent",
    "topics",
    "status",
    "scale",
    "size",
    "verdict",
    "dead-letters",
    "tokens",
    "doctor",
    "broker",
)
"""In the order in which the help lists them: the first steps first."""

_HELP = """
Watch fleets of sensors: read their readings from Kafka, learn what normal looks like,
publish what is not, and the cleaned signal.

[bold]Start here[/bold]

  [cyan]vigie demo[/cyan]           a simulated plant, a real Kafka, in 90 seconds
  [cyan]vigie doctor[/cyan]         what this machine lacks, and how to fix it

[bold]Your own data[/bold]

  [cyan]vigie inspect[/cyan]        what is in files, and what looks wrong with it
  [cyan]vigie train[/cyan]          learn a model from files or from a topic
  [cyan]vigie backtest[/cyan]       score files with it, before it goes live
  [cyan]vigie denoise[/cyan]        take the noise out of files with it
  [cyan]vigie latent[/cyan]         a map of them, and windows made from it
  [cyan]vigie augment[/cyan]        more windows of a class, for other models
  [cyan]vigie compare[/cyan]        autoencoders beside principal components
  [cyan]vigie topics create[/cyan]  make the topics on your Kafka
  [cyan]vigie repartition[/cyan]    if its records have no key: by sensor, in order
  [cyan]vigie run[/cyan]            score the stream; Ctrl-C drains and ends

Settings come from vigie.toml, then VIGIE_* variables, then flags.
Results are for people; [cyan]--json[/cyan] prints them for scripts.

[bold]Exit codes[/bold]

  0 done, 1 failed, 2 wrong argument or setting, 3 no broker, 4 ended itself: look first,
  130 interrupted
"""


def build_app(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """Build the application with the named commands; a name without a module is not listed.

    Args:
        names: modules of `workers.cli.commands`, out of `COMMANDS`.

    Raises:
        ImportError: a command module is there and cannot be imported. Never hidden: a missing
            dependency must not look like a missing command.
    """
    app = typer.Typer(
        name="vigie",
        help=_HELP,
        rich_markup_mode="rich",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        # Local variables can hold passwords: they never reach a traceback.
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
    )
    app.callback()(_root)
    for name in names:
        module_name = f"workers.cli.commands.{name.replace('-', '_')}"
        if importlib.util.find_spec(module_name) is not None:
            importlib.import_module(module_name).register(app)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (`ExitCode`).

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Raises:
        Exception: whatever is not one of our errors, with its traceback: that is a bug.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks is no error
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = arguments and arguments[0] in COMMANDS
    app = build_app(arguments[:1] if named else COMMANDS)
    try:
        app(arguments, prog_name="vigie")
    except SystemExit as end:
        # Typer's way to end: usage errors (2), Ctrl-C (130) and `typer.Exit(code)`.
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except Exception as error:
        if not is_expected(error):
            raise
        code = exit_code_of(error)
        if code is not ExitCode.OK:
            _show(error)
        return code
    return ExitCode.OK


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vigie {own_version()}")
        raise typer.Exit(ExitCode.OK)


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Hold the options that belong to every command."""


def _show(error: Exception) -> None:
    # The message may hold brackets or control characters: plain text, never markup.
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    typer.echo(printable_lines(str(error)) or type(error).__name__, err=True)


if __name__ == "__main__":
    sys.exit(main())
