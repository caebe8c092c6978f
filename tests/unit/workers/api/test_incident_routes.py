"""Incidents and silences, as a client of the interface has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select

from tests.support.api import Api, served
from tests.support.gateway import Rig, incident_id
from workers.api.auth import Scope
from workers.gateway.store import tables
from workers.gateway.store.times import as_time

HOOK = {"kind": "webhook", "url": "https://receiver.example/hook"}


# -- incidents ----------------------------------------------------------------------------------


def test_incidents_are_filtered_searched_and_paged(api: Api, rig: Rig):
    for number in range(5):
        rig.clock.go_on(1)
        rig.opens(f"pump-{number}", severity="high" if number == 3 else "low")
    rig.opens("fan-1", labels={"site": 'Tu"rin', "line": "50%_"}, kind="drift")
    rig.resolves("pump-0")

    def sensors(query: str) -> list[str]:
        answer = api.client.get(f"/v1/incidents?{query}")
        assert answer.status_code == 200, answer.text
        return [one["sensor_id"] for one in answer.json()["items"]]

    assert sensors("state=resolved") == ["pump-0"]
    assert sensors("severity=high") == ["pump-3"]
    assert sensors("kind=drift") == ["fan-1"]
    assert sensors("sensor=pump-1&sensor=pump-2") == ["pump-2", "pump-1"]
    assert sensors('label=site%3DTu"rin') == ["fan-1"]
    assert sensors("label=line%3D50%25_") == ["fan-1"]
    assert sensors("label=site%3Drin") == []
    assert sensors("q=TEMPERATURE pump-3") == ["pump-3"]
    assert sensors("q=50%25_") == ["fan-1"]
    page = api.client.get("/v1/incidents?limit=4").json()
    rest = api.client.get(f"/v1/incidents?limit=4&cursor={page['next']}").json()
    listed = [one["sensor_id"] for one in page["items"] + rest["items"]]
    assert sorted(listed) == sorted([f"pump-{number}" for number in range(5)] + ["fan-1"])
    assert api.client.get("/v1/incidents?state=broken").status_code == 422


def test_an_incident_is_acknowledged_commented_and_resolved(api: Api, rig: Rig):
    rig.opens("pump-1")
    path = f"/v1/incidents/{incident_id('pump-1')}"
    until = as_time(api.clock() + 3600 * 10**9).isoformat()

    shown = api.client.post(f"{path}:acknowledge", json={"until": until, "comment": "looking"})
    assert (shown.json()["state"], shown.json()["acknowledged_by"]) == ("acknowledged", "anyone")
    back = api.client.post(f"{path}:unacknowledge").json()
    assert (back["state"], back["acknowledged_by"]) == ("open", "")
    assert api.client.post(f"{path}:unacknowledge").status_code == 409
    api.client.post(f"{path}/comments", json={"text": "The bearing WAS loose"})
    over = api.client.post(f"{path}:resolve", json={"comment": "fixed"}).json()
    assert (over["state"], over["resolved_by"], over["comments"]) == ("resolved", "anyone", 3)
    assert api.client.post(f"{path}:acknowledge", json={}).status_code == 409
    said = [one["text"] for one in api.client.get(f"{path}/comments").json()]
    assert said == ["looking", "The bearing WAS loose", "fixed"]
    assert len(api.client.get("/v1/incidents?q=was loose").json()["items"]) == 1
    done = {one["action"] for one in api.client.get("/v1/audit").json()["items"]}
    assert {"incident.acknowledge", "incident.comment", "incident.resolve"} <= done


def test_several_are_acknowledged_by_ids_or_by_what_they_have_in_common(api: Api, rig: Rig):
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.opens("fan-1")
    rig.resolves("fan-1")
    ids = [incident_id(name) for name in ("pump-1", "fan-1", "nobody")]

    by_ids = api.client.post("/v1/incidents:acknowledge", json={"incidents": ids}).json()
    by_match = api.client.post(
        "/v1/incidents:acknowledge",
        json={"matchers": [{"name": "sensor_id", "value": "pump-.*", "isRegex": True}]},
    ).json()

    assert by_ids == {"acknowledged": [ids[0]], "over": ids[1:]}
    assert by_match["acknowledged"] == [incident_id("pump-2")]
    assert api.client.post("/v1/incidents:acknowledge", json={}).status_code == 422


def test_all_open_ones_that_match_are_acknowledged_however_many_there_are(api: Api, rig: Rig):
    rig.opens("pump-1")
    with api.gateway.database.begin() as connection:
        row = connection.execute(select(tables.incidents)).mappings().one()
        newer = [
            dict(row)
            | {
                "id": str(uuid4()),
                "labels": '{"sensor_id": "fan"}',
                "opened_event_ns": row["opened_event_ns"] + number // 2,
            }
            for number in range(1, 1200)
        ]
        connection.execute(insert(tables.incidents), newer)
    body = {"matchers": [{"name": "sensor_id", "value": "pump-1"}]}

    found = api.client.post("/v1/incidents:acknowledge", json=body).json()

    assert found == {"acknowledged": [incident_id("pump-1")], "over": []}


def test_what_is_done_to_an_incident_is_done_once_under_one_key(api: Api, rig: Rig):
    rig.opens("pump-1")
    path = f"/v1/incidents/{incident_id('pump-1')}"
    asked: list[tuple[str, Any]] = [
        (f"{path}/comments", {"text": "oil"}),
        (f"{path}:acknowledge", {"comment": "looking"}),
        (f"{path}:unacknowledge", None),
        ("/v1/incidents:acknowledge", {"incidents": [incident_id("pump-1")]}),
        (f"{path}:resolve", {"comment": "fixed"}),
    ]
    for number, (to, body) in enumerate(asked):
        key = {"Idempotency-Key": f"k{number}"}
        first, second = (api.client.post(to, json=body, headers=key) for _ in range(2))
        assert first.is_success, first.text
        assert (first.status_code, first.json()) == (second.status_code, second.json())

    assert len(api.client.get(f"{path}/comments").json()) == 3
    wrong = api.client.post(
        f"{path}/comments", json={"text": "b"}, headers={"Idempotency-Key": "k0"}
    )
    assert wrong.status_code == 422


def test_what_happened_is_in_the_stream_of_events_without_a_hole(api: Api, rig: Rig):
    rig.opens("pump-1")
    path = f"/v1/incidents/{incident_id('pump-1')}"
    api.client.post(f"{path}:acknowledge", json={})
    api.client.post(f"{path}/comments", json={"text": "oil"})
    api.client.post(f"{path}:resolve", json={})
    with api.gateway.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT seq, type FROM events ORDER BY seq").all()

    assert [tuple(row) for row in rows] == [
        (1, "incident.opened"),
        (2, "incident.acknowledged"),
        (3, "incident.commented"),
        (4, "incident.resolved"),
    ]


# -- silences -----------------------------------------------------------------------------------


def silence(api: Api, seconds: float = 3600, **spec: Any) -> Any:
    body = {
        "matchers": [{"name": "sensor_id", "value": "pump-1"}],
        "endsAt": as_time(api.clock() + round(seconds * 1e9)).isoformat(),
        "comment": "overhaul",
        **spec,
    }
    return api.client.post("/v1/silences", json=body)


def test_a_silence_is_made_seen_at_its_incidents_and_ended(api: Api, rig: Rig):
    rig.opens("pump-1")
    made = silence(api).json()
    assert (made["status"], made["createdBy"]) == ("active", "anyone")
    path = f"/v1/incidents/{incident_id('pump-1')}"
    assert api.client.get(path).json()["silenced_by"] == [made["id"]]

    assert api.client.delete(f"/v1/silences/{made['id']}").status_code == 204

    assert api.client.get(path).json()["silenced_by"] == []
    assert api.client.get("/v1/silences").json()["items"] == []
    (shown,) = api.client.get("/v1/silences?expired=true").json()["items"]
    assert shown["status"] == "expired"


@pytest.mark.parametrize(
    "spec",
    [
        {"matchers": [{"name": "site", "value": ".*", "isRegex": True}]},
        {"matchers": []},
        {"matchers": [{"name": "site", "value": "[", "isRegex": True}]},
        {"comment": ""},
        {"endsAt": "2020-01-01T00:00:00Z"},
        {"endsAt": "2030-01-01T00:00:00"},
    ],
)
def test_a_wrong_silence_is_rejected(api: Api, spec: dict[str, Any]):
    assert silence(api, **spec).status_code == 422


# -- who may ------------------------------------------------------------------------------------


def test_a_tenant_sees_and_changes_its_own_alone(tmp_path: Path):
    with served(tmp_path) as api:
        rig = Rig(api.gateway.database, api.gateway.settings)
        rig.outbox = api.gateway.outbox
        rig.opens("pump-1", labels={"tenant": "blue"})
        rig.opens("pump-2", labels={"tenant": "red"})
        blue = api.bearer(Scope.OPERATE, tenant="blue")
        red = api.bearer(Scope.OPERATE, tenant="red")
        made = api.client.post(
            "/v1/subscriptions", json={"name": "a", "sink": HOOK}, headers=blue
        ).json()
        path = f"/v1/subscriptions/{made['id']}"
        other = f"/v1/incidents/{incident_id('pump-2')}"

        assert made["spec"]["tenant"] == "blue"
        assert api.client.get(path, headers=red).status_code == 404
        anyhow = {"If-Match": "*"}
        assert api.client.delete(path, headers=red | anyhow).status_code == 404
        assert api.client.get(other, headers=blue).status_code == 404
        assert api.client.post(f"{other}:resolve", json={}, headers=blue).status_code == 404
        seen = api.client.get("/v1/incidents", headers=blue).json()["items"]
        assert [one["sensor_id"] for one in seen] == ["pump-1"]
        taken = api.client.post(
            "/v1/incidents:acknowledge",
            json={"incidents": [incident_id("pump-2")]},
            headers=blue,
        ).json()
        assert taken["acknowledged"] == []
        tried = api.client.post(
            "/v1/subscriptions", json={"name": "a", "sink": HOOK, "tenant": "red"}, headers=blue
        )
        assert tried.status_code == 403


def test_a_token_of_a_tenant_that_none_may_be_called_makes_no_subscription(tmp_path: Path):
    with served(tmp_path) as api:
        body = {"name": "a", "sink": HOOK}
        answer = api.client.post(
            "/v1/subscriptions", json=body, headers=api.bearer(Scope.OPERATE, tenant="Blue Team")
        )
        assert answer.status_code == 403
        assert "tenant" in answer.json()["detail"]


@pytest.mark.parametrize("sink", [{"kind": "kafka", "topic": "orders"}])
def test_a_topic_is_named_by_administrators_alone(tmp_path: Path, sink: dict[str, Any]):
    with served(tmp_path) as api:
        operate, admin = api.bearer(Scope.OPERATE), api.bearer(Scope.ADMIN)
        body = {"name": "a", "sink": sink}
        hook = {"name": "a", "sink": HOOK}
        assert api.client.post("/v1/subscriptions", json=body, headers=operate).status_code == 403
        assert api.client.post("/v1/subscriptions", json=body, headers=admin).status_code == 201
        made = api.client.post("/v1/subscriptions", json=hook, headers=operate).json()
        path, back = f"/v1/subscriptions/{made['id']}", {"If-Match": '"1"'}
        assert api.client.put(path, json=body, headers=operate | back).status_code == 403
        patch = {"sink": {"url": None, "headers": None, "format": None, **sink}}
        assert api.client.patch(path, json=patch, headers=operate | back).status_code == 403


def test_who_may_look_may_not_act_and_apprise_is_for_administrators(tmp_path: Path):
    with served(tmp_path) as api:
        body = {"name": "a", "sink": HOOK}
        apprise = {"name": "a", "sink": {"kind": "apprise", "url": "json://localhost"}}
        read, operate = api.bearer(Scope.READ), api.bearer(Scope.OPERATE)

        assert api.client.get("/v1/incidents", headers=read).status_code == 200
        assert api.client.post("/v1/subscriptions", json=body, headers=read).status_code == 403
        assert (
            api.client.post("/v1/subscriptions", json=apprise, headers=operate).status_code == 403
        )
        assert UUID(
            api.client.post(
                "/v1/subscriptions", json=apprise, headers=api.bearer(Scope.ADMIN)
            ).json()["id"]
        )


def test_every_type_of_event_has_a_schema(api: Api):
    found = api.client.get("/v1/event-types").json()

    assert {"incident.opened", "detector.unhealthy", "wish.heeded"} <= {
        one["type"] for one in found
    }
    assert all(one["data_schema"]["type"] == "object" for one in found)
    assert api.client.get("/v1/event-types/incident.opened").json() in found
    assert api.client.get("/v1/event-types/no.such").status_code == 404
