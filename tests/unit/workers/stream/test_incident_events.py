"""What is written of an incident and of a deed: CloudEvents, as their schema has them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from schemas.settings import IncidentMode
from schemas.wire.deed import Deed
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.incident import Direction, EndReason, IncidentKind, SeenBy
from tests.support.models import SECOND_NS, small_detector
from tests.support.wishes import off
from workers.stream.incident_events import IncidentEvents
from workers.stream.state.incident import (
    IncidentChange,
    OpenIncident,
    Place,
    Points,
    Told,
    What,
    incident_id,
)

SCHEMAS = Path(__file__).parents[4] / "docs" / "schemas"


def events(mode: IncidentMode = "structured") -> IncidentEvents:
    return IncidentEvents(
        small_detector(),
        topic="readings",
        group="plant",
        labels_of=lambda _: {"site": "nörd"},
        mode=mode,
    )


def incident(**more: Any) -> OpenIncident:
    points = Points(1)
    points.add(5 * SECOND_NS, 1.5, float("nan"), 2.0)
    given: dict[str, Any] = {
        "kind": IncidentKind.ANOMALY,
        "seen_by": SeenBy.LONG,
        "first": Place(7, 2, 4 * SECOND_NS),
        "opened_ns": 5 * SECOND_NS,
        "last_ns": 6 * SECOND_NS,
        "until": Place(9, 0, 6 * SECOND_NS),
        "readings": 2,
        "flagged": 3,
        "total": 5.0,
        "peak": 3.0,
        "strength": 2.0,
        "severity": 2,
        "told": (Told(1, 0.75, None, 4.0, 0.5), Told(0, 0.25, 1.0, 4.0, 0.5)),
        "latent": (0.5, -1.0),
        "points": points,
        "sequence": 3,
    }
    return OpenIncident(**(given | more))


def change(**more: Any) -> IncidentChange:
    return IncidentChange(
        sensor="pümp-1",
        what=What.RESOLVED,
        at_ns=8 * SECOND_NS,
        incident=incident(**more),
        reason=EndReason.RECOVERED,
        end_ns=8 * SECOND_NS,
        opened_day=1,
        opened_week=2,
    )


DRIFT = replace(
    change(kind=IncidentKind.DRIFT, told=(), latent=(), points=None, change=(5, 12)),
    what=What.OPENED,
)
SUPPRESSED = change(suppressed=(str(UUID(int=1)), str(UUID(int=2))))


def test_an_event_is_one_json_with_its_attributes() -> None:
    value, headers = events().encode(change(), 3)
    event = IncidentEvent.model_validate_json(value)
    first = incident_id("readings", 3, change().incident)
    assert dict(headers)["content-type"].startswith(b"application/cloudevents+json")
    assert (event.id, event.sequence) == (f"{first}-3", "0000000003")
    assert (event.type, event.subject) == ("incident.resolved", "pümp-1")
    assert (event.source, event.time) == ("/vigie/plant", "1970-01-01T00:00:08Z")
    assert event.data.id == first
    assert (event.data.mean, event.data.duration_s) == (2.5, 2.0)
    assert [one.direction for one in event.data.channels] == [Direction.MISSING, Direction.LOW]
    assert event.data.excerpt is not None
    assert event.data.excerpt.expected == [None]
    assert event.data.labels == {"site": "nörd"}


def test_binary_mode_has_the_data_alone_and_the_attributes_in_headers() -> None:
    value, headers = events("binary").encode(change(), 3)
    whole = json.loads(events().encode(change(), 3)[0])
    assert json.loads(value) == whole["data"]
    told = {name: text.decode() for name, text in headers}
    assert told.pop("content-type") == whole["datacontenttype"] == "application/json"
    assert told == {
        f"ce_{name}": text
        for name, text in whole.items()
        if name not in {"data", "datacontenttype"}
    }


def fits(schema: str, *files: Path) -> bool:
    """By another validator than ours."""
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMAS / schema)]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 0


def test_what_is_written_fits_its_schema(tmp_path: Path) -> None:
    files = []
    for number, told in enumerate((change(), DRIFT, SUPPRESSED)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_bytes(events().encode(told, 0)[0])
    assert fits("incident-event.json", *files)
    written = json.loads(files[0].read_bytes())
    del written["data"]["first"]
    files[0].write_text(json.dumps(written))
    assert not fits("incident-event.json", *files)


def test_ids_depend_on_the_first_reading_its_place_and_the_kind_alone() -> None:
    def id_of(told: IncidentChange, partition: int = 0) -> UUID:
        return events().event(told, partition).data.id

    one = id_of(change())
    assert id_of(change(peak=99.0, sequence=8, until=Place(50, 0, 9 * SECOND_NS))) == one
    others = [
        id_of(change(first=Place(7, 1, 4 * SECOND_NS))),
        id_of(change(first=Place(8, 2, 4 * SECOND_NS))),
        id_of(change(), 1),
        id_of(DRIFT),
    ]
    assert len({one, *others}) == 5
    assert str(one) == str(events().event(change(), 0).data.id)


def test_a_deed_says_from_where_on_and_its_id_is_of_the_wish_and_the_record() -> None:
    deed = Deed(sensor="p", after_ns=2 * SECOND_NS, partition=3, offset=9, wish=off(1))
    value, _ = events().encode_deed(deed)
    event = DeedEvent.model_validate_json(value)
    assert event.id == f"{UUID(int=1)}-heeded-p-3-9"
    assert (event.type, event.time) == ("wish.heeded", "1970-01-01T00:00:02Z")
    assert event.data.wish == off(1)
    gone = Deed(sensor="p", offset=9, withdrawn=True, id=UUID(int=1))
    assert json.loads(events().encode_deed(gone)[0])["type"] == "wish.withdrawn"


def test_the_rarer_the_smaller_is_the_p_value() -> None:
    strengths = [0.0, 1.0, 9.0]
    values = [events().incident(change(strength=s), 0).p_value for s in strengths]
    assert values == sorted(values, reverse=True)
    rule = small_detector().head.alarms
    assert rule is not None
    assert np.isclose(values[0], rule.rate)
