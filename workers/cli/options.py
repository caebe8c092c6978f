"""The options that commands share, and the settings that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.settings import Settings, load_settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file. Default: vigie.toml here, if there is one."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="One setting, such as processing.commit_interval_s=0.5. May be repeated.",
    ),
]
BootstrapOption = Annotated[
    str | None,
    typer.Option("--bootstrap", "-b", help="Kafka brokers, host:port. Sets kafka.bootstrap."),
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Folder of the trained model. Sets model.path."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def settings_from(
    config: Path | None, assignments: Sequence[str] | None, flags: Mapping[str, Any]
) -> Settings:
    """Settings from file, environment, `--set` and the command's own flags, the last one winning.

    Args:
        config: the settings file.
        assignments: "section.key=value" each.
        flags: values by dotted key; None counts as not given.

    Raises:
        InvalidSettingsError: names every wrong key and what is allowed.
        typer.BadParameter: an assignment without "=".
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments or ():
        key, equals, value = assignment.partition("=")
        if not equals or "." not in key:
            raise typer.BadParameter(
                f"{assignment!r} is not of the form section.key=value", param_hint="--set"
            )
        overrides[key.strip()] = value.strip()
    overrides.update((key, value) for key, value in flags.items() if value is not None)
    return load_settings(config, overrides)
