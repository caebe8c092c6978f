"""`vigie train`: from files, or from a stretch of a topic, to a model."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workers.cli.alarm_options import AlarmOptions
from workers.cli.options import (
    FileOptions,
    JsonOption,
    OnlyOption,
    SettingsOptions,
    StrictOption,
    unbundled,
    usage_errors,
)
from workers.cli.topic_range import from_topic
from workers.cli.views.findings import as_documents, print_warnings, refuse
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts, print_json, warn
from workers.errors import VigieError
from workers.printable import printable, printable_lines

if TYPE_CHECKING:
    from detector.scoring import Detector
    from detector.signal.series import Series
    from detector.training.train import TrainingConfig
    from workers.data.finding import Finding
    from workers.data.history import History

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        help="CSV (also packed), Parquet or Excel files. Without any: --topic-from, --topic-to.",
        metavar="[FILE...]",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(unbundled(train))


def train(
    files: FilesArgument = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the model; an earlier one is replaced.")
    ] = Path("model"),
    budget: Annotated[
        str,
        typer.Option(
            help='False incidents that you accept: "1 per week" or "1 per sensor and week" of each '
            'sensor, "10 per day for the desk" of all together.'
        ),
    ] = "1 per week",
    which: Annotated[
        Literal["full", "plain"],
        typer.Option(
            "--detector",
            help="full looks at the last 256 readings in several ways; plain at one short window, "
            "through the autoencoder alone.",
        ),
    ] = "full",
    kind: Annotated[
        Literal["dense", "conv", "pca", "wae"],
        typer.Option(
            help="Architecture of the signal autoencoder; wae is dense with a latent space that "
            "is held in shape, for vigie latent."
        ),
    ] = "dense",
    receptive_field: Annotated[
        int,
        typer.Option(
            "--receptive-field",
            "-R",
            help="Readings that the signal autoencoder looks at; a new sensor is scored from then "
            "on.",
            min=1,
            max=4096,
        ),
    ] = 32,
    latent_size: Annotated[
        int | None,
        typer.Option(
            help="Width of the signal autoencoder's bottleneck. Default: by the input.", min=1
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model, in every anomaly.")] = "vigie",
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.", min=0)] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA if there is one.")
    ] = "auto",
    threads: Annotated[
        int, typer.Option(help="CPU threads; more pay off for large models only.", min=1, max=1024)
    ] = 1,
    calibration: Annotated[
        float,
        typer.Option(
            help="Share of each sensor's readings, the last in time, that the signal autoencoder "
            "does not learn from: it says how clean the signal gets, and of the plain detector it "
            "sets the threshold. (The full one is calibrated on the whole history.)",
            min=0.01,
            max=0.5,
        ),
    ] = 0.2,
    max_steps: Annotated[
        int,
        typer.Option(help="Steps of the signal autoencoder at most; it stops early.", min=1),
    ] = 3_000,
    rule: AlarmOptions,
    topic_from: Annotated[
        str | None,
        typer.Option("--topic-from", help="Train on topics.readings from this time on, RFC 3339."),
    ] = None,
    topic_to: Annotated[
        str | None, typer.Option("--topic-to", help="And up to this time. Default: to its end.")
    ] = None,
    max_gap: Annotated[
        float,
        typer.Option(
            help="Seconds of silence that end a window. 0 takes ten sampling intervals.", min=0
        ),
    ] = 0.0,
    only: OnlyOption = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            help="Leave out what people said was a fault or is to be forgotten: a file that vigie "
            "verdict deeds, or vigie verdict list --json, has written.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    columns: FileOptions,
    options: SettingsOptions,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Learn what normal looks like, and set the threshold for your alarm budget.

    Give it readings of normal operation; no labels are needed. With a label column, labelled rows
    are left out. Two weeks of history can certify a smaller budget than two hours: the summary says
    what the history is worth.

    Examples:
      vigie train history/*.parquet -o models/pumps
      vigie train pump.csv --time stamp --channel pressure=P1 --channel flow=Q --budget "1 per day"
      vigie train history/*.parquet --verdicts deeds.jsonl -o models/pumps
      vigie train plant.csv --only boiler-1 --only boiler-2 -o models/boilers
      vigie train --topic-from 2026-01-01T00:00:00Z --topic-to 2026-01-08T00:00:00Z --channel flow
    """
    from detector.artifact import load, save
    from detector.calibration.budget import AlarmBudget
    from detector.signal.series import LARGEST
    from detector.training.dataset import Split
    from detector.training.pyramid import PyramidTraining
    from detector.training.train import TrainingConfig
    from workers.data.bounds import check_range
    from workers.data.files import read_files
    from workers.data.findings.checks import findings_of, warnings_of
    from workers.data.forgotten import read_deeds, without_forgotten
    from workers.data.history import check_usable

    with usage_errors("--budget"):
        alarm_budget = AlarmBudget.parse(budget)
    dials = rule.dials()
    layout = columns.layout()
    if bool(files) == (topic_from is not None):
        raise typer.BadParameter("give files, or --topic-from for a stretch of the topic")
    if files:
        history = read_files(files, layout)
    else:
        history = from_topic(options.load({}), layout, topic_from or "", topic_to)
    check_usable(history, layout.max_left_out)
    history = history.only(only or ())
    warnings = warnings_of(findings_of(history, layout, now_ns=clock.time_ns()))
    if strict:
        refuse(warnings)
    print_warnings(warnings, PlainConsole(stderr=True, quiet=as_json))
    history = history.without_labelled()
    if verdicts is not None:
        covers_ns = 0 if layout.resample is None else layout.resample.interval_ns
        history = without_forgotten(history, read_deeds(verdicts), covers_ns=covers_ns)
    check_range(history, LARGEST)
    began_s = clock.monotonic()
    try:
        wanted = TrainingConfig(
            channels=history.channels,
            units=tuple(history.units.get(channel, "") for channel in history.channels),
            name=name,
            kind=kind,
            receptive_field=receptive_field,
            model={} if latent_size is None else {"latent_size": latent_size},
            seed=seed,
            device=device,
            budget=alarm_budget,
            dials=dials,
            accept_after_s=rule.accept_after,
            split=Split(calibration=calibration),
            max_gap_s=max_gap,
            max_steps=max_steps,
            further_views=(PyramidTraining(),) if which == "full" else (),
        )
        trained = _train(_series(history), wanted, threads, quiet=as_json)
        if strict:
            _refuse_hoped(trained.identity.training)
        folder = save(trained, out)
    except ValueError as error:
        raise VigieError(f"cannot train: {error}") from error
    detector = load(folder, device="cpu")
    took_s = clock.monotonic() - began_s
    _report(detector, folder, history, took_s, warnings, as_json=as_json)


def _series(history: History) -> list[Series]:
    from detector.signal.series import Series

    return [
        Series(sensor=one.sensor, ts_ns=one.ts_ns, values=one.values) for one in history.sensors
    ]


def _train(
    series: Sequence[Series], config: TrainingConfig, threads: int, *, quiet: bool
) -> Detector:
    import torch
    from rich.console import Console
    from rich.live import Live

    from detector.training.train import train as fit
    from workers.cli.views.training_bar import training_bar

    torch.set_num_threads(threads)
    began_s = clock.monotonic()
    console = Console(stderr=True, quiet=quiet)
    with Live("reading and preparing", console=console, transient=True) as live:
        return fit(
            series,
            config,
            progress=lambda now: live.update(training_bar(now, began_s=began_s)),
        )


def _refuse_hoped(training: Mapping[str, Any]) -> None:
    """What `--strict` does of a budget that nothing in the history speaks for.

    Raises:
        VigieError: it is one.
    """
    from detector.calibration.budget import Basis

    if training["budget_basis"] == Basis.HOPED:
        raise VigieError(f"--strict, and no model was written: {training['budget_warning']}")


def _report(
    detector: Detector,
    folder: Path,
    history: History,
    took_s: float,
    warnings: Sequence[Finding],
    *,
    as_json: bool,
) -> None:
    from workers.cli.views.accounts import (
        account,
        gross_facts,
        history_facts,
        label_ranges,
        many,
        standing_out_facts,
        stretches_of,
        trimmed_facts,
        unlearned_of,
        unscorable_facts,
    )

    training = detector.identity.training
    if as_json:
        summary: dict[str, Any] = {
            "folder": str(folder),
            "name": detector.name,
            "version": detector.version,
            "channels": list(detector.channels),
            "receptive_field": detector.receptive_field,
            "interval_s": detector.interval_s,
            "max_gap_s": detector.max_gap_s,
            "sensors_with_a_threshold_of_their_own": detector.n_groups - 1,
            "took_s": round(took_s, 1),
            **account(history),
            "readings_not_used": _unused(len(history), training),
            "warnings": as_documents(warnings),
            "training": dict(training),
        }
        print_json(summary)
        return
    unlearned, stretches = unlearned_of(training), stretches_of(training)
    learned = (
        f"{many(training['rows'], 'reading')} of {many(training['sensors'], 'sensor')}, one every "
        f"{detector.interval_s:g} s, in {took_s:.0f} s"
    )
    own = many(detector.n_groups - 1, "sensor")
    print_facts(
        [
            ("model", f"{detector.name}@{detector.version} in {folder}"),
            ("channels", ", ".join(detector.channels)),
            *history_facts(history),
            ("learned from", learned),
            *gross_facts(training["gross"], detector.channels),
            *_unused_facts(len(history), training),
            *trimmed_facts(training),
            *unscorable_facts(unlearned, title="not learned"),
            ("looks at", _reach(detector)),
            ("training", _fitted(training)),
            ("thresholds", f"of their own for {own}; the pooled one for others"),
            ("budget", f"{training['budget_words']} ({training['budget_basis']})"),
            *([("promise", training["promise"])] if training["budget_warning"] is None else []),
            *_alike_facts(training["alike_within"]),
            *standing_out_facts(stretches),
        ]
    )
    _show_noise(detector)
    if training["budget_warning"] is not None:
        warn(f"This budget is not certain: {training['budget_warning']}.")
    if stretches:
        typer.echo(
            "\nIf that was no normal operation, leave it out: write these lines to faults.csv and "
            "train again with --label-ranges faults.csv\n"
            + printable_lines(label_ranges(stretches)).rstrip("\n")
        )
    following = f"Next: vigie backtest FILE... --model {folder}, then vigie run --model {folder}"
    typer.echo("\n" + printable(following))


def _show_noise(detector: Detector) -> None:
    """What can be expected of the cleaned signal."""
    from workers.cli.views.denoising import noise_facts, show_noise
    from workers.denoise.account import noise_account

    told = noise_account(detector)
    if told.channels:
        typer.echo("")
        show_noise(told)
    print_facts(noise_facts(told))


def _reach(detector: Detector) -> str:
    if detector.warm_up == detector.receptive_field:
        return f"{detector.receptive_field} readings for each score"
    return (
        f"{detector.receptive_field} readings for each score; a new sensor is scored from its "
        f"reading {detector.warm_up} on, until then by a short look alone"
    )


def _fitted(training: Mapping[str, Any]) -> str:
    first = (
        f"{training['kind']}, {training['steps']:,} steps, "
        f"validation loss {training['validation_loss']:.4f}"
    )
    others = [
        f"{one['kind']} ({', '.join(one.get('looks', ()))}), {one['steps']:,} steps each"
        for one in training.get("further_views", ())
    ]
    return "; ".join([first, *others])


def _unused(rows: int, training: Mapping[str, Any]) -> int:
    """How many readings were not used of the sensors that were learned from."""
    unlearned = sum(one["readings"] for one in training["not_learned"])
    return int(rows - training["rows"] - unlearned)


def _unused_facts(rows: int, training: Mapping[str, Any]) -> list[tuple[str, str]]:
    from detector.training.train import TrainingConfig

    unused = _unused(rows, training)
    if rows > TrainingConfig.max_rows:
        why = f"a history of more than {TrainingConfig.max_rows:,} is thinned, piece by piece"
    else:
        why = "they lie between gaps too close for a window"
    return [("not used", f"{unused:,} readings: {why}")] if unused else []


def _alike_facts(within: Mapping[str, float] | None) -> list[tuple[str, str]]:
    """What looks like a confirmed false alarm."""
    if within is None:
        return []
    radii = (
        f"shares within {within['profile']:.2f} of each other, states within "
        f"{within['latent']:.2f} standard deviations"
    )
    return [("alike", radii)]
