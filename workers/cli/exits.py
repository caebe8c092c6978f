"""Exit codes: what a script that calls ``vigie`` may rely on.

This is the only place where an error becomes a number. Everything that Vigie raises on purpose
is either a `VigieError` or one of the ``ValueError`` subclasses of the pure packages.
"""

from __future__ import annotations

import enum

from schemas.settings import InvalidSettingsError
from workers import errors


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    """The command did what it was asked to."""
    FAILURE = 1
    """It did not; the message on standard error says why."""
    USAGE = 2
    """A wrong argument or setting: the same call fails again until it is corrected."""
    BROKER_UNAVAILABLE = 3
    """No broker or schema registry answered: the same call may succeed later."""
    LOOK_FIRST = 4
    """The run ended itself (dead-letter limit, a rival of the same name): starting it again before
    a look at it would do harm, or end the same."""
    INTERRUPTED = 130
    """Ctrl-C, in a command that has nothing to drain."""


def is_expected(error: BaseException) -> bool:
    """Whether the error is one of ours, so that its message is enough and a traceback is noise."""
    return (
        isinstance(error, errors.VigieError | InvalidSettingsError)
        # Known by name: importing `detector` would load torch before `vigie --help` can answer.
        or type(error).__name__ == "ArtifactError"
    )


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code for an error that reached the command line."""
    if isinstance(error, errors.StoppedError):
        return ExitCode.OK
    if isinstance(error, errors.BrokerUnavailableError | errors.RegistryUnavailableError):
        return ExitCode.BROKER_UNAVAILABLE
    if isinstance(error, errors.RunEndedError):
        return ExitCode.LOOK_FIRST
    if isinstance(error, errors.SettingsError | InvalidSettingsError):
        return ExitCode.USAGE
    return ExitCode.FAILURE
