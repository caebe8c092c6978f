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
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from schemas.settings import Settings, SettingsSource

if TYPE_CHECKING:
    from workers.data.layout import Layout

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Folder of the trained model. Sets model.path."),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="SENSOR", help="This sensor alone. May be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="End with 1 if anything looks wrong with the readings.")
]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="CSV (also packed), Parquet or Excel files.", metavar="FILE...", show_default=False
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
        """Settings from file, environment, `--set` and flags; arguments and errors as `source`."""
        return self.source(flags).load()

    def source(self, flags: Mapping[str, Any]) -> SettingsSource:
        """Where settings come from: file, environment, `--set` and flags, the last one winning.

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
        return SettingsSource.read(self.config, overrides)


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The options that say how files are to be read; each is a key of `layout.toml` as well."""

    layout_file: Annotated[
        Path | None,
        typer.Option("--layout", help="File with these options, as `vigie inspect` writes it."),
    ] = None
    time: Annotated[
        list[str] | None,
        typer.Option(
            "--time",
            help="Column with the time; twice for a date and a time. "
            "Default: ts, timestamp, datetime, time, date.",
        ),
    ] = None
    time_format: Annotated[
        list[str] | None,
        typer.Option("--time-format", help="Form of the time, such as '%d.%m.%Y %H:%M:%S'."),
    ] = None
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Zone of times without one. Default: UTC.")
    ] = None
    epoch: Annotated[
        str | None,
        typer.Option("--epoch", help="Unit of times given as numbers: s, ms, us, ns, excel."),
    ] = None
    sensor: Annotated[
        list[str] | None,
        typer.Option(
            "--sensor",
            help="Column with the sensor id; twice for an id of two columns. "
            "Default: sensor_id or sensor.",
        ),
    ] = None
    sensor_id: Annotated[
        str | None, typer.Option("--sensor-id", help="The one sensor of the files.")
    ] = None
    sensor_from: Annotated[
        str | None,
        typer.Option(
            "--sensor-from",
            help="Where the sensor id comes from: column, file (its name), folder (its name). "
            "Default: the column where there is one, else file.",
        ),
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="COLUMN[=WORD]",
            help="Column that is not 0, or is the word, where a row is anomalous. "
            "May be repeated, for several words.",
        ),
    ] = None
    label_ranges: Annotated[
        Path | None,
        typer.Option(
            "--label-ranges",
            help="CSV file of anomalous stretches: start, end; or what a retired service found.",
        ),
    ] = None
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="NAME[=COLUMN]",
            help="A channel and its column. May be repeated. Default: every other column.",
        ),
    ] = None
    channel_from: Annotated[
        str | None,
        typer.Option(
            "--channel-from",
            help="What names the channels, where each file holds others of one sensor: file (its "
            "name), folder (its name). Default: the columns.",
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", help="A column that is no channel. May be repeated."),
    ] = None
    long: Annotated[
        str | None,
        typer.Option(
            "--long",
            metavar="TAG=VALUE",
            help="One value per row: the columns of the channel's name and of the value.",
        ),
    ] = None
    quality: Annotated[
        list[str] | None,
        typer.Option(
            "--quality",
            metavar="[CHANNEL:]COLUMN=GOOD",
            help="Word of a good row, or of a good value of the channel. May be repeated.",
        ),
    ] = None
    missing: Annotated[
        list[str] | None,
        typer.Option(
            "--missing", help="Word or number that means missing: Bad, -9999. May be repeated."
        ),
    ] = None
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", help="Column of a counter, read as its increase per second."),
    ] = None
    resample: Annotated[
        str | None,
        typer.Option(
            "--resample",
            metavar="INTERVAL[:RULE]",
            help="Make a row every 1s, 5min, ... by mean (default), last, first, min, max, hold.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", help="Of text files: cp1252, utf-16. Default: UTF-8."),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", help=r"Delimiter of CSV files ('\t' for a tab). Default: found."
        ),
    ] = None
    decimal: Annotated[
        str | None, typer.Option("--decimal", help='Decimal mark, "." or ",". Default: "."')
    ] = None
    thousands: Annotated[
        str | None,
        typer.Option("--thousands", help="Mark between groups of three digits ('space')."),
    ] = None
    skip_rows: Annotated[
        int | None,
        typer.Option("--skip-rows", help="Lines before the names of the columns.", min=0),
    ] = None
    comment: Annotated[
        str | None, typer.Option("--comment", help="Character that begins a line of comment.")
    ] = None
    units_row: Annotated[
        bool | None,
        typer.Option(
            "--units-row/--no-units-row",
            help="Whether units stand below the names. Default: found.",
        ),
    ] = None
    sheet: Annotated[
        str | None, typer.Option("--sheet", help="Sheet of an Excel file. Default: the first.")
    ] = None
    max_left_out: Annotated[
        float | None,
        typer.Option(
            "--max-left-out",
            help="Share of rows that may be unusable before it is an error. Default: 0.2.",
            min=0,
            max=1,
        ),
    ] = None

    def layout(self) -> Layout:
        """The layout of `--layout` and of the options, which win; a usage error if it is wrong."""
        from workers.data.layout import load_layout, make_layout

        keys = {} if self.layout_file is None else load_layout(self.layout_file)
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        told.pop("layout_file")
        told["channels"] = _channel_map(told.pop("channel") or ()) or None
        given = {name: value for name, value in told.items() if value not in (None, [])}
        # A way to name the sensor takes the place of another in the file.
        if given.keys() & {"sensor", "sensor_id", "sensor_from"}:
            keys = {
                k: v for k, v in keys.items() if k not in {"sensor", "sensor_id", "sensor_from"}
            }
        source = "" if self.layout_file is None else f"{self.layout_file}: "
        with usage_errors():
            make_layout(keys, source=source)
            return make_layout({**keys, **given}, source="--")


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
