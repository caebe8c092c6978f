"""The files of deploy/observability, and what the program really says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from detector.calibration.budget import WEEK_S, Allowance
from schemas.wire.errors import Stage
from tests.support.watched import exposition
from workers.stream.health import Health, Phase
from workers.stream.histogram import Measures
from workers.stream.state.budget_use import BudgetUse
from workers.stream.state.counts import Counts
from workers.stream.state.restore import ModelVersion
from workers.supervision.status import Mode, ScalingStatus, WorkerCount

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "observability"
RULES: Final = FOLDER / "rules.yml"
RULE_TESTS: Final = sorted((FOLDER / "tests").glob("*.yml"))
DASHBOARDS: Final = sorted((FOLDER / "dashboards").glob("*.json"))
RUNBOOKS: Final = Path(__file__).parents[2] / "docs" / "runbooks"
METRIC: Final = re.compile(r"\bvigie_[a-z_]+\b(?:\{([^}]*)\})?")
SELECTOR: Final = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
OF_PROMETHEUS: Final = {"job", "instance", "le"}


def rules() -> list[dict[str, Any]]:
    """The alerts of rules.yml, in its order."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards by name of their file."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Its panels, without the rows that they stand in."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where each PromQL expression stands, and the expression."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]


def series_of(text: str) -> dict[str, dict[str, set[str]]]:
    """The metrics of an exposition: by name, the values of each of its labels."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def driver_exposition() -> str:
    """/metrics of a driver of which every metric has a value."""
    measures = Measures()
    for histogram in (measures.latency, measures.batch, measures.queue, measures.device):
        histogram.observe(30.0)
    measures.commit.observe(0.02)
    health = Health(
        slot=0,
        phase=Phase.RUNNING,
        counts={0: Counts(records=5, readings=5, scored=4, bad={Stage.SIZE: 1})},
        lag={0: 7},
        sensors=3,
        measures=measures,
        model=ModelVersion("pumps", "7"),
        budget_use={
            0: BudgetUse(sensors=3, day=1, week=2, allowance=Allowance(sensor_per_s=1 / WEEK_S))
        },
    )
    count = WorkerCount(mode=Mode.AUTO, target=1, actual=1, least=1, most=4)
    scaling = ScalingStatus(partitions=1, ingest=count, scorers=count, restarts={0: 0})
    return exposition([health], scaling)


def metrics_table(*expositions: str) -> str:
    """The metrics as docs/guide-observability.md lists them."""
    lines = ["| metric | type | labels | |", "| --- | --- | --- | --- |"]
    for text in expositions:
        for family in text_string_to_metric_families(text):
            labels = sorted({label for one in family.samples for label in one.labels} - {"le"})
            suffix = "_total" if family.type == "counter" else ""
            named = ", ".join(f"`{label}`" for label in labels)
            lines.append(
                f"| `{family.name}{suffix}` | {family.type} | {named} | {family.documentation} |"
            )
    return "\n".join(lines)
