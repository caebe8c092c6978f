"""The budget of a model and what recorded sensors made of it, as people and scripts see it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.artifact import DESCRIPTION, MANIFEST, save
from detector.calibration.budget import WEEK_S, Allowance, Basis
from schemas.wire.incident import IncidentKind, SeenBy
from schemas.wire.sensor_state import encode_sensor_state
from tests.support.models import small_detector
from workers.api.budget import (
    BudgetUnknownError,
    ModelBudget,
    RecordedBudget,
    recorded_budget,
)
from workers.cli.views.budget import MOST_SHOWN, budget_json, show_budget
from workers.cli.views.plain import PlainConsole
from workers.stream.state.alarm_table import QUARTER_NS, ROW, ROW_VERSION, packed
from workers.stream.state.incident import OpenIncident, Place

NOW_NS = 1_800_000_000 * 10**9
WEEKLY = Allowance(sensor_per_s=1 / WEEK_S)
CERTAIN = ModelBudget(
    model="pumps@3", words="1 per sensor and week", basis=Basis.COUNTED, warning=None,
    allowance=WEEKLY,
)  # fmt: skip


class Recorded:
    def __init__(self, *partitions: Mapping[bytes, bytes]) -> None:
        self.partitions = partitions

    def latest(self, partition: int) -> Mapping[bytes, bytes]:
        return self.partitions[partition]


def document(
    openings: int, *, is_open: bool = False, is_drift: bool = False, last_ns: int = NOW_NS
) -> bytes:
    """Of a sensor with so many incidents in the last quarter of a day before `NOW_NS`."""
    row = np.zeros(1, ROW)
    row["last_ns"], row["quarter"] = last_ns, NOW_NS // QUARTER_NS
    row["openings"][0, 0] = openings
    place = Place(7, 0, NOW_NS)
    incident = OpenIncident(
        kind=IncidentKind.ANOMALY, seen_by=SeenBy.LONG, first=place, opened_ns=NOW_NS,
        last_ns=NOW_NS, until=place,
    )  # fmt: skip
    return encode_sensor_state(
        10, 0, 8, 1, 2, state_version=ROW_VERSION, state=packed(row)[0],
        incident=incident.document() if is_open else None,
        more={"drift": incident.document()} if is_drift else None,
    )  # fmt: skip


def recorded(*partitions: Mapping[bytes, bytes], allowance: Allowance | None = WEEKLY) -> Any:
    return recorded_budget(Recorded(*partitions), range(len(partitions)), allowance)


def shown(budget: ModelBudget | str, found: RecordedBudget) -> str:
    text = io.StringIO()
    show_budget(budget, found, PlainConsole(file=text, width=80))
    assert max(map(len, text.getvalue().splitlines())) <= 80
    return " ".join(text.getvalue().split())


def test_sensors_over_their_budget_come_first_whatever_their_partition():
    found = recorded(
        {b"a": document(1), b"b": document(2), b"idle": document(0)},
        {b"c": document(5), b"d": document(0, is_open=True)},
    )
    assert [(at.sensor, at.partition, at.over) for at in found.sensors] == [
        ("c", 1, True), ("b", 0, True), ("a", 0, False), ("d", 1, False),
    ]  # fmt: skip
    assert [at.open_since_ns for at in found.sensors] == [None, None, None, NOW_NS]
    desk = found.desk
    assert (desk.sensors, desk.day, desk.week, desk.open, desk.over) == (5, 8, 8, 1, 2)


def test_each_partition_has_an_event_time_of_its_own():
    later = NOW_NS + 3 * int(WEEK_S) * 10**9
    found = recorded({b"a": document(3), b"b": document(0, last_ns=later)}, {b"c": document(3)})
    assert [at.sensor for at in found.sensors] == ["c"]
    assert found.desk.week == 3


def test_documents_that_say_nothing_of_incidents_are_counted():
    found = recorded(
        {
            b"a": document(3),
            b"older": encode_sensor_state(10, 0, 8, 1, 2),
            b"newer": b'{"v":9}',
            b"\xff": document(1),
        }
    )
    assert (found.desk.sensors, found.unknown) == (1, 3)
    assert "3 documents say nothing of incidents" in shown(CERTAIN, found)


def test_people_read_what_is_allowed_and_who_is_over_it():
    found = recorded({b"a\x1b[2J": document(4), b"b": document(1), b"c": document(0, is_open=True)})
    text = shown(CERTAIN, found)
    assert "Budget: 1 per sensor and week, by the model pumps@3 Certain" in text
    assert "last day 5 0.43 over last week 5 3.00 over open now 1" in text
    assert "Over the budget: 1 sensor. One is allowed 1.00 a week" in text
    assert "a\\x1b[2J 4 4 over c 0 0 2027-01-15T08:00:00Z" in text
    assert "b 1 1" not in text


def test_what_cannot_be_certified_is_said_with_the_reason():
    words = "the history has 2 hours: nothing in it speaks for that number"
    budget = ModelBudget(
        model="m@1", words="1 per week", basis=Basis.HOPED, warning=words, allowance=WEEKLY
    )
    assert f"Not certain (hoped): {words}." in shown(budget, recorded({b"a": document(0)}))
    told = budget_json(budget, recorded({b"a": document(0)}))
    assert (told["certified"], told["warning"], told["basis"]) == (False, words, "hoped")


def test_without_a_model_incidents_are_shown_and_what_is_missing():
    found = recorded({b"a": document(4)}, allowance=None)
    text = shown("no model is named", found)
    assert "The budget is not known here: no model is named" in text
    assert "last day 4 unknown" in text
    assert "a 4 4" in text
    assert "over" not in text
    told = budget_json("no model is named", found)
    assert (told["budget"], told["missing"], told["certified"]) == (
        None,
        "no model is named",
        False,
    )
    assert told["desk"]["allowed_day"] is None


def test_a_quiet_plant_is_shown_in_a_few_words():
    assert "No incident is open." in shown(CERTAIN, recorded({b"a": document(0)}))
    assert "No incident in the last week." in shown("none", recorded({}, allowance=None))


def test_a_drift_is_open_and_has_no_part_in_the_budget():
    found = recorded({b"a": document(0, is_open=True, is_drift=True), b"b": document(0)})
    assert (found.desk.open, found.desk.week, found.desk.over) == (2, 0, 0)
    assert "a 0 0 2027-01-15T08:00:00Z 2027-01-15T08:00:00Z (drift)" in shown(CERTAIN, found)
    (told,) = budget_json(CERTAIN, found)["sensors"]
    assert told["drift_since"] == "2027-01-15T08:00:00Z"


def test_a_terminal_is_not_flooded():
    many = {f"s{n:03}".encode(): document(3) for n in range(MOST_SHOWN + 7)}
    assert "and 7 more" in shown(CERTAIN, recorded(many))


def test_json_has_every_sensor_with_an_incident_and_survives_a_round_trip():
    found = recorded({b"a": document(4), b"b": document(1, is_open=True), b"c": document(0)})
    told = json.loads(json.dumps(budget_json(CERTAIN, found)))
    assert told["desk"] == {
        "sensors": 3, "open": 1, "last_day": 5, "last_week": 5, "sensors_over": 1,
        "allowed_day": pytest.approx(3 / 7), "allowed_week": 3.0, "sensor_allowed_week": 1.0,
    }  # fmt: skip
    assert [at["sensor"] for at in told["sensors"]] == ["a", "b"]
    assert told["sensors"][1]["open_since"] == "2027-01-15T08:00:00Z"


def test_the_budget_of_an_artifact_is_what_its_training_said(tmp_path):
    detector = small_detector()
    budget = ModelBudget.of(save(detector, tmp_path / "model"))
    training = detector.identity.training
    assert (budget.words, budget.warning) == ("1 per sensor and week", training["budget_warning"])
    assert budget.allowance.sensor(WEEK_S) == 1.0


def changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """An artifact whose description says something else, with the sum that goes with it."""
    description = json.loads((folder / DESCRIPTION).read_bytes())
    change(description)
    old = sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    (folder / DESCRIPTION).write_text(json.dumps(description))
    new = sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda of: of.update(alarms=None), "older than the alarm rule"),
        (lambda of: of["training"].pop("budget_words"), "does not say its budget"),
        (lambda of: of["training"].update(budget_basis="guessed"), "does not say its budget"),
        (lambda of: of.update(format="another"), "not written by Vigie"),
    ],
)
def test_an_artifact_without_a_budget_is_named(tmp_path, change, said):
    folder = changed(save(small_detector(), tmp_path / "model"), change)
    with pytest.raises(BudgetUnknownError, match=said):
        ModelBudget.of(folder)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(BudgetUnknownError, match="no model is named"):
        ModelBudget.of(None)
    with pytest.raises(BudgetUnknownError, match="is no Vigie artifact"):
        ModelBudget.of(tmp_path / "nowhere")
