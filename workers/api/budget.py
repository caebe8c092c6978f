"""How the sensors stand with their alarm budget, by the topic of the sensor states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from detector.artifact import ArtifactError, load
from detector.calibration.budget import WEEK_S, Allowance, Basis
from schemas.wire.sensor_state import SensorState
from workers.errors import VigieError
from workers.kafka.client import Table
from workers.stream.state.alarm_table import openings, unpacked
from workers.stream.state.budget_use import BudgetUse, are_over, budget_use, latest_ns
from workers.stream.state.incident import OpenIncident


class BudgetUnknownError(VigieError):
    """What the budget is cannot be told here; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class ModelBudget:
    """The budget of a trained model, and what can be said of it.

    Attributes:
        model: name and version.
        words: the budget.
        basis: what it rests on.
        warning: why it is not certain; None if it is.
        allowance: what it allows.
    """

    model: str
    words: str
    basis: Basis
    warning: str | None
    allowance: Allowance

    @classmethod
    def of(cls, folder: Path | None) -> Self:
        """Of the artifact in a folder.

        Raises:
            BudgetUnknownError: there is none, it is damaged, or it is older than budgets.
        """
        if folder is None:
            raise BudgetUnknownError("no model is named (--model, or model.path)")
        try:
            detector = load(folder, "cpu")
            training, alarms = detector.identity.training, detector.head.alarms
            if alarms is None:
                raise BudgetUnknownError(
                    f"the model in {folder} is older than the alarm rule; train it again"
                )
            return cls(
                model=f"{detector.name}@{detector.version}",
                words=training["budget_words"],
                basis=Basis(training["budget_basis"]),
                warning=training["budget_warning"],
                allowance=Allowance.of(
                    alarms.rate, interval_s=detector.interval_s, training=training
                ),
            )
        except ArtifactError as error:
            raise BudgetUnknownError(str(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise BudgetUnknownError(f"{folder} does not say its budget: {error!r}") from error


@dataclass(frozen=True, kw_only=True)
class SensorBudget:
    """A sensor in one partition that has had an incident in the last week, or has one now.

    Attributes:
        sensor: its name.
        partition: of the readings.
        last_day, last_week: incidents that opened by its partition's event time.
        over: whether that is more than its budget allows.
        open_since_ns: event time at which the incident opened that goes on; None if none does...
        drift_since_ns: ...and the drift.
    """

    sensor: str
    partition: int
    last_day: int
    last_week: int
    over: bool
    open_since_ns: int | None
    drift_since_ns: int | None


@dataclass(frozen=True, kw_only=True)
class RecordedBudget:
    """What is recorded of incidents.

    Attributes:
        desk: of all sensors together.
        sensors: the farthest over their budget first.
        unknown: documents that say nothing of incidents: of another version.
    """

    desk: BudgetUse
    sensors: list[SensorBudget]
    unknown: int


def recorded_budget(
    table: Table, partitions: Iterable[int], allowance: Allowance | None
) -> RecordedBudget:
    """What the recorded sensors made of their budget.

    Args:
        table: the topic of the sensor states.
        partitions: of the readings.
        allowance: the budget; None is unknown: then no sensor is over it.

    Raises:
        BrokerUnavailableError: see `Table.latest`.
    """
    desk, sensors, unknown = BudgetUse(allowance=allowance), list[SensorBudget](), 0
    for partition in partitions:
        found = table.latest(partition)
        documents = dict(filter(None, map(_document, found.items())))
        rows, known = unpacked((of.state_version, of.state) for of in documents.values())
        names = [name for name, is_known in zip(documents, known.tolist(), strict=True) if is_known]
        rows = rows[known]
        since = _since({name: documents[name].incident for name in names})
        drifts = _since({name: (documents[name].more or {}).get("drift") for name in names})
        desk += budget_use(names, rows, allowance, len(since) + len(drifts))
        day, week = openings(rows, latest_ns(rows))
        columns = (day, week, are_over(day, week, allowance))
        sensors += [
            SensorBudget(
                sensor=name,
                partition=partition,
                last_day=of_day,
                last_week=of_week,
                over=over,
                open_since_ns=since.get(name),
                drift_since_ns=drifts.get(name),
            )
            for name, of_day, of_week, over in zip(
                names, *(column.tolist() for column in columns), strict=True
            )
            if of_week or name in since or name in drifts
        ]
        unknown += len(found) - len(names)
    sensors.sort(key=lambda at: (not at.over, -at.last_week, -at.last_day, at.sensor))
    return RecordedBudget(desk=desk, sensors=sensors, unknown=unknown)


def _document(item: tuple[bytes, bytes]) -> tuple[str, SensorState] | None:
    """Sensor and document; None if this version does not know it."""
    key, value = item
    try:
        return key.decode(), SensorState.model_validate_json(value)
    except ValueError:
        return None


def _since(found: Mapping[str, Sequence[Any] | None]) -> dict[str, int]:
    """Event time at which the incidents opened of those sensors that have one."""
    return {name: OpenIncident.of(one).opened_ns for name, one in found.items() if one is not None}


def desk_json(use: BudgetUse) -> dict[str, Any]:
    """What all sensors together made of their budget, as plain values."""
    allowance = use.allowance
    return {
        "sensors": use.sensors,
        "open": use.open,
        "last_day": use.day,
        "last_week": use.week,
        "allowed_day": use.desk_day,
        "allowed_week": use.desk_week,
        "sensors_over": use.over,
        "sensor_allowed_week": None if allowance is None else allowance.sensor(WEEK_S),
        "farthest_over": [one._asdict() for one in use.farthest],
    }
