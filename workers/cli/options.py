"""The options that commands share, alone or in bundles, and the settings that come of them.

A bundle is a frozen dataclass whose fields are options. A command takes it as one parameter, and
`unbundled` shows typer, which wants a literal signature, each field as an option of its own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from schemas.settings import Settings, load_settings

if TYPE_CHECKING:
    from workers.data.files import Layout

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Folder of the trained model. Sets model.path."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="CSV (also .csv.gz) or Parquet files.", metavar="FILE...", show_default=False
    ),
]


def unbundled(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: with the fields of its bundles as keyword parameters."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if is_dataclass(bundle := parameter.annotation):
            bundles[name] = bundle
            types = get_type_hints(bundle, include_extras=True)
            parameters += [
                parameter.replace(name=one.name, default=one.default, annotation=types[one.name])
                for one in fields(bundle)
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, bundle in bundles.items():
            values[name] = bundle(**{one.name: values.pop(one.name) for one in fields(bundle)})
        command(**values)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


@contextmanager
def usage_errors(param_hint: str | None = None) -> Iterator[None]:
    """Turn a ValueError into the error of a wrong argument."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=param_hint) from error


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """The options that decide settings."""

    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Settings file. Default: vigie.toml here, if there is one."
        ),
    ] = None
    bootstrap: Annotated[
        str | None,
        typer.Option("--bootstrap", "-b", help="Kafka brokers, host:port. Sets kafka.bootstrap."),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="One setting, such as processing.commit_interval_s=0.5. May be repeated.",
        ),
    ] = None

    def load(self, flags: Mapping[str, Any]) -> Settings:
        """Settings from file, environment, `--set` and flags, the last one winning.

        Args:
            flags: the command's own, by dotted key; None counts as not given.

        Raises:
            InvalidSettingsError: names every wrong key and what is allowed.
            typer.BadParameter: an assignment without "=".
        """
        overrides: dict[str, Any] = {}
        for assignment in self.assignments or ():
            key, equals, value = assignment.partition("=")
            if not equals or "." not in key:
                raise typer.BadParameter(
                    f"{assignment!r} is not of the form section.key=value", param_hint="--set"
                )
            overrides[key.strip()] = value.strip()
        given = {"kafka.bootstrap": self.bootstrap, **flags}
        overrides.update((key, value) for key, value in given.items() if value is not None)
        return load_settings(self.config, overrides)


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The options that say which column of a file is what."""

    time: Annotated[
        str | None,
        typer.Option("--time", help="Column with the time. Default: ts, timestamp, datetime, ..."),
    ] = None
    sensor: Annotated[
        str | None,
        typer.Option("--sensor", help="Column with the sensor id. Default: sensor_id or sensor."),
    ] = None
    sensor_id: Annotated[
        str | None,
        typer.Option("--sensor-id", help="The one sensor of the files. Default: the file's name."),
    ] = None
    label: Annotated[
        str | None,
        typer.Option("--label", help="Column that is not 0 where a row is anomalous."),
    ] = None
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="NAME[=COLUMN]",
            help="A channel and its column. May be repeated. Default: every other column.",
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", help="A column that is no channel. May be repeated."),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", help=r"Delimiter of CSV files ('\t' for a tab). Default: found."
        ),
    ] = None
    decimal: Annotated[str, typer.Option("--decimal", help='Decimal mark, "." or ",".')] = "."
    epoch: Annotated[
        Literal["auto", "s", "ms", "us", "ns"],
        typer.Option("--epoch", help="Unit of times given as numbers."),
    ] = "auto"

    def layout(self) -> Layout:
        """The layout that the options describe; a usage error if they contradict each other."""
        from workers.data.files import Layout
        from workers.data.values import EpochUnit

        units = dict(zip(("auto", "s", "ms", "us", "ns"), EpochUnit, strict=True))
        with usage_errors():
            return Layout(
                time=self.time,
                sensor=self.sensor,
                sensor_id=self.sensor_id,
                label=self.label,
                channels=_channel_map(self.channel or ()),
                ignore=tuple(self.ignore or ()),
                delimiter="\t" if self.delimiter == r"\t" else self.delimiter,
                decimal=self.decimal,
                epoch=units[self.epoch],
            )


def _channel_map(assignments: Sequence[str]) -> dict[str, str]:
    channels: dict[str, str] = {}
    for assignment in assignments:
        name, _, column = assignment.partition("=")
        if not name or name in channels:
            raise typer.BadParameter(
                f"{assignment!r} is not NAME or NAME=COLUMN with a new name", param_hint="--channel"
            )
        channels[name] = column or name
    return channels
