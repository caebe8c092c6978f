"""`vigie backtest`: score files with the function that scores the stream."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import (
    FileOptions,
    FilesArgument,
    JsonOption,
    ModelOption,
    OnlyOption,
    unbundled,
)
from workers.cli.outputs import check_outputs
from workers.cli.terms_options import RulesOption, VerdictsOption, terms_of
from workers.cli.views.accounts import account, history_facts, many, unscorable_facts
from workers.cli.views.incidents import budget_words, show_incidents
from workers.cli.views.plain import PlainConsole
from workers.cli.views.report import print_facts, print_json
from workers.printable import printable

if TYPE_CHECKING:
    from detector.evaluation import Evaluation
    from detector.scoring import Detector
    from workers.backtest.backtest import ScoredSensor
    from workers.cli.views.accounts import Facts
    from workers.stream.state.counts import Counts


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backtest")(unbundled(backtest))


def backtest(
    files: FilesArgument,
    *,
    model: ModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write scores, incidents and cleaned values, .csv or .parquet."
        ),
    ] = None,
    incidents: Annotated[
        Path | None,
        typer.Option(
            help="Write the incidents: .jsonl as the stream publishes them, .csv or .parquet as a "
            "table."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the sensor with the most to tell. Default with labels: plot.png."),
    ] = None,
    plot_sensor: Annotated[str | None, typer.Option(help="Draw this sensor instead.")] = None,
    max_gap: Annotated[
        float,
        typer.Option(
            help="Seconds of silence that restart a sensor's warm-up. 0 takes the model's.", min=0
        ),
    ] = 0.0,
    verdicts: VerdictsOption = None,
    config: RulesOption = None,
    only: OnlyOption = None,
    columns: FileOptions,
    as_json: JsonOption = False,
) -> None:
    """Score the rows of files as `vigie run` would score them coming over the topic.

    It lists the incidents that the stream would open, with their reasons, and how many of them the
    budget allows. With a label column it says how good that is: incidents found and false,
    precision, recall and F1 of flagged rows, VUS-PR, delays; and draws a picture. Rows without a
    score, while a sensor warms up, are left out of the figures.

    Examples:
      vigie backtest test.csv --model models/pumps
      vigie backtest skab/valve1/*.csv -m model --label anomaly -o scores.parquet
      vigie backtest test.csv -m model --incidents incidents.jsonl
      vigie backtest test.csv -m model --verdicts deeds.jsonl --config vigie.toml
    """
    from rich.console import Console

    from detector.artifact import load
    from workers.backtest.account import account_of
    from workers.backtest.backtest import evaluate_sensors, read_for, score_history, unscored
    from workers.backtest.incident_file import write_incidents
    from workers.backtest.score_file import write_scores
    from workers.data.history import check_usable

    if model is None:
        raise typer.BadParameter("name the folder that `vigie train` wrote", param_hint="--model")
    layout = columns.layout()
    check_outputs(
        [*files, columns.layout_file],
        files={"--out": out, "--incidents": incidents},
        pictures={"--plot": plot},
    )
    detector = load(model)
    terms = terms_of(detector, max_gap_s=max_gap, config=config, verdicts=verdicts)
    with Console(stderr=True, quiet=as_json).status("scoring"):
        history = read_for(detector, files, layout)
        check_usable(history, layout.max_left_out)
        history = history.only(only or ())
        sensors, counts = score_history(history, detector, terms)
        found = account_of(sensors, detector, max_gap_s=max_gap)
    missed = unscored(sensors, detector, max_gap_s=max_gap)
    evaluation = evaluate_sensors(sensors, detector)
    if out is not None:
        write_scores(sensors, detector.channels, out)
    if incidents is not None:
        write_incidents(found.all_incidents, incidents)
    picture = _picture(sensors, detector, plot, plot_sensor, wanted=evaluation is not None)
    result = {
        "model": f"{detector.name}@{detector.version}",
        "sensors": len(sensors),
        **account(history),
        "labelled_anomalous": sum(int(s.labels.sum()) for s in sensors if s.labels is not None),
        "counts": asdict(counts),
        "not_scored": [one.summary() for one in missed],
        "evaluation": None if evaluation is None else _figures(evaluation),
        **found.document(detector.channels, budget_words(detector)),
        "scores": None if out is None else str(out),
        "incident_file": None if incidents is None else str(incidents),
        "plot": None if picture is None else str(picture),
    }
    if as_json:
        print_json(result)
        return
    labelled = result["labelled_anomalous"]
    accounts = [
        *history_facts(history),
        *([("labelled", f"{many(labelled, 'row')} anomalous")] if labelled else []),
        *unscorable_facts(missed, title="not scored"),
    ]
    _show(result, counts, accounts)
    show_incidents(found, detector)
    for name in ("scores", "incident_file", "plot"):
        if result[name] is not None:
            typer.echo(printable(f"{name.replace('_', ' ')}: {result[name]}"))


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation as plain values; what is not defined is null."""
    figures: dict[str, Any] = {
        name: asdict(counts)
        | {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
        for name, counts in (("points", evaluation.points), ("events", evaluation.events))
    }
    for name in (
        "vus_pr", "average_precision", "best_f1", "false_alarms_per_day", "median_delay_s",
    ):  # fmt: skip
        value = getattr(evaluation, name)
        figures[name] = value if math.isfinite(value) else None
    return figures


def _picture(
    sensors: list[ScoredSensor],
    detector: Detector,
    path: Path | None,
    name: str | None,
    *,
    wanted: bool,
) -> Path | None:
    from workers.backtest.account import most_telling
    from workers.backtest.plots import Picture, Span, draw

    if path is None and name is None and not wanted:
        return None
    scored = [one for one in sensors if one.scored.any()]
    if name is not None and name not in {one.sensor for one in scored}:
        raise typer.BadParameter(
            f"{name!r} is not among the sensors that were scored", param_hint="--plot-sensor"
        )
    if not scored:
        return None
    one = most_telling(scored) if name is None else next(s for s in scored if s.sensor == name)
    spans = [Span(start_ns=start, end_ns=end) for start, end in one.labelled_spans()]
    incidents = [
        Span(
            start_ns=incident.told.first_ns,
            end_ns=int(one.ts_ns[incident.until]),
            severity=incident.told.severity,
        )
        for incident in one.incidents
    ]
    return draw(
        Picture(
            title=f"{one.sensor}, scored by {detector.name}@{detector.version}",
            channels=detector.channels,
            units=detector.units,
            ts_ns=one.ts_ns,
            observed=one.values,
            denoised=one.denoised,
            score=one.judged_score,
            incidents=incidents,
            faults=None if one.labels is None else spans,
        ),
        path or Path("plot.png"),
    )


def _show(result: dict[str, Any], counts: Counts, accounts: Facts) -> None:
    from rich.table import Column, Table

    console = PlainConsole()
    dropped = counts.late + counts.duplicate
    console.print(
        f"{many(counts.readings, 'reading')} of {many(result['sensors'], 'sensor')}: "
        f"{counts.scored:,} scored, {counts.warming_up:,} warming up, "
        f"{dropped:,} dropped (late or twice); {counts.anomalies:,} flagged"
        + (f"; {counts.held_back:,} held back by rules" if counts.held_back else "")
        + (f"; {counts.off:,} not judged (off)" if counts.off else ""),
        style="bold",
    )
    print_facts(accounts)
    if (figures := result["evaluation"]) is not None:
        points, events = figures["points"], figures["events"]
        rows = (
            f"{points['true_positives']:,} right, {points['false_positives']:,} false, "
            f"{points['false_negatives']:,} missed"
        )
        runs = f"{events['found']} found, {events['missed']} missed, {events['false']} false alarms"
        rates = (Column(name, justify="right") for name in ("precision", "recall", "F1"))
        table = Table("", *rates, "", box=None, padding=(0, 3, 0, 0))
        for name, one, words in (("rows", points, rows), ("events", events, runs)):
            cells = (f"{one[rate]:.3f}" for rate in ("precision", "recall", "f1"))
            table.add_row(name, *cells, words)
        console.print(table)
        print_facts(
            [
                ("VUS-PR", _number(figures["vus_pr"], ".3f")),
                ("false alarms a day", _number(figures["false_alarms_per_day"], ".2f")),
                ("median delay", _number(figures["median_delay_s"], ".1f", " s")),
            ]
        )


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
