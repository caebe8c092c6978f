"""The `vigie` command: what it lists, how it ends."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from typing import Any

import pytest
import typer

import schemas.settings
from workers import errors
from workers.cli import main as cli
from workers.cli.exits import ExitCode, exit_code_of, is_expected


def module_of(command: str) -> str:
    return f"workers.cli.commands.{command.replace('-', '_')}"


@pytest.fixture
def make_command(tmp_path, monkeypatch):
    """Put a command module beside the real ones: ``make_command("train", source)``."""
    import workers.cli.commands

    monkeypatch.setattr(workers.cli.commands, "__path__", [str(tmp_path)])
    for name in cli.COMMANDS:  # another test may have imported the real ones
        monkeypatch.delitem(sys.modules, module_of(name), raising=False)

    def make(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield make
    for name in cli.COMMANDS:
        sys.modules.pop(module_of(name), None)


COMMAND = """
import typer
from workers import errors
import schemas.settings

def register(app):
    @app.command()
    def train():
        {body}
"""


def test_help_teaches_the_first_steps_and_the_exit_codes(capsys):
    assert cli.main(["--help"]) == ExitCode.OK

    shown = capsys.readouterr().out
    for words in ("vigie demo", "vigie doctor", "vigie.toml", "VIGIE_*", "130 interrupted"):
        assert words in shown


def test_version_is_that_of_the_distribution(capsys):
    assert cli.main(["--version"]) == ExitCode.OK

    assert capsys.readouterr().out == f"vigie {importlib.metadata.version('vigie')}\n"


def test_help_waits_for_no_heavy_import():
    heavy = "{'torch', 'ray', 'kafka', 'sqlalchemy', 'fastapi'}"
    code = f"from workers.cli.main import *; build_app(COMMANDS); print({heavy} & set(sys.modules))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"


def test_an_unknown_command_is_a_usage_error(capsys):
    assert cli.main(["destroy"]) == ExitCode.USAGE

    assert "No such command" in capsys.readouterr().err


def test_only_the_named_command_is_imported(make_command):
    make_command("train", COMMAND.format(body="pass"))
    make_command("run", "raise AssertionError('not asked for')")

    assert cli.main(["train"]) == ExitCode.OK


def test_a_command_without_a_module_is_not_listed(make_command):
    make_command("train", COMMAND.format(body="pass"))

    commands: Any = typer.main.get_command(cli.build_app())

    assert set(commands.commands) == {"train"}


def test_a_broken_import_is_never_taken_for_a_missing_command(make_command):
    make_command("train", "import a_package_that_is_not_there")

    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        cli.build_app()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise errors.VigieError('told why')", 1),
        ("raise errors.SettingsError('told why')", 2),
        ("raise errors.TopicError('told why')", 2),
        ("raise schemas.settings.InvalidSettingsError('told why')", 2),
        ("raise typer.BadParameter('told why')", 2),
        ("raise errors.BrokerUnavailableError('told why')", 3),
    ],
)
def test_an_error_becomes_its_message_and_exit_code(make_command, capsys, body, code):
    make_command("train", COMMAND.format(body=body))

    assert cli.main(["train"]) == code

    output = capsys.readouterr()
    assert "told why" in output.err
    assert "Traceback" not in output.err
    assert output.out == ""


def test_brackets_in_a_message_are_shown_as_they_are(make_command, capsys):
    make_command("train", COMMAND.format(body="raise errors.VigieError('[bold] is no topic')"))

    cli.main(["train"])

    assert "[bold] is no topic" in capsys.readouterr().err


def test_a_command_chooses_its_exit_code(make_command):
    make_command("train", COMMAND.format(body="raise typer.Exit(1)"))

    assert cli.main(["train"]) == ExitCode.FAILURE


def test_ctrl_c_ends_with_130(make_command):
    make_command("train", COMMAND.format(body="raise KeyboardInterrupt"))

    assert cli.main(["train"]) == ExitCode.INTERRUPTED


def test_being_asked_to_stop_is_no_failure(make_command, capsys):
    make_command("train", COMMAND.format(body="raise errors.StoppedError('asked to stop')"))

    assert cli.main(["train"]) == ExitCode.OK
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback(make_command):
    make_command("train", COMMAND.format(body="raise ZeroDivisionError('a bug')"))

    with pytest.raises(ZeroDivisionError):
        cli.main(["train"])


@pytest.mark.parametrize("name", ["FencedError", "DeadLetterLimitError", "RunEndedError"])
def test_a_run_that_ended_itself_has_a_code_of_its_own(name, make_command, capsys):
    make_command("train", COMMAND.format(body=f"raise errors.{name}('mend the producer')"))

    assert cli.main(["train"]) == int(ExitCode.LOOK_FIRST)
    assert "mend the producer" in capsys.readouterr().err


def test_every_error_of_ours_has_an_exit_code_that_is_documented():
    for name in errors.__all__:
        error = getattr(errors, name)("why")

        assert is_expected(error)
        assert exit_code_of(error) in ExitCode


def test_the_errors_of_the_pure_packages_are_ours():
    assert is_expected(schemas.settings.InvalidSettingsError("why"))
    assert not is_expected(ValueError("why"))
