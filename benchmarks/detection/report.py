"""The tables of a run, for people, documents and programs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detection import summary
from benchmarks.detection.published import beside
from benchmarks.detection.verdict import Verdict

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def tables(verdicts: Sequence[Verdict], *, against: str, seed: int) -> dict[str, list[Any]]:
    """All tables by title."""
    made: dict[str, list[Any]] = {
        "ranking, and rows at the label-free threshold": summary.condensed(
            summary.lines(verdicts, summary.ranking)
        ),
        "incidents: budget asked and observed": summary.condensed(
            summary.lines(verdicts, summary.incidents)
        ),
        "95 % intervals over series: VUS-PR": summary.paired(
            verdicts, "vus_pr", against=against, seed=seed
        ),
        "95 % intervals over series: AP": summary.paired(
            verdicts, "average_precision", against=against, seed=seed
        ),
        "root causes (SMD's experts)": summary.root_causes(verdicts),
        "cost on one core": summary.cost_by_detector(verdicts),
        "published by others": beside({one.set for one in verdicts}),
    }
    return {title: _known(lines) for title, lines in made.items() if lines}


def _known(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines without columns of which nothing is known."""
    known = {key for line in lines for key, value in line.items() if value is not None}
    return [{key: value for key, value in line.items() if key in known} for line in lines]


def markdown(made: Tables) -> str:
    """The tables for a document."""
    parts = []
    for title, lines in made.items():
        columns = list(dict.fromkeys(column for line in lines for column in line))
        rows = [columns, ["---"] * len(columns)]
        rows += [[_cell(shown(line).get(column)) for column in columns] for line in lines]
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def write_csv(path: Path, verdicts: Sequence[Verdict]) -> None:
    """One table: a line for each set, detector and half, all columns."""
    lines = summary.lines(
        verdicts,
        lambda part: summary.ranking(part) | summary.incidents(part) | summary.costs(part),
    )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def shown(line: Mapping[str, Any]) -> dict[str, Any]:
    """Three digits where a table would show two."""
    three = ("F1", "AP", "VUS-PR", "HitRate", "NDCG", "settled")
    return {
        key: f"{value:.3f}"
        if isinstance(value, float) and key.removeprefix("best ").startswith(three)
        else f"{value:.2f}"
        if isinstance(value, float)
        else value
        for key, value in line.items()
    }


def plain(value: Any) -> Any:
    """What JSON can say."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 (NaN)
