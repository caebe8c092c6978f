"""Sensors over the interface: lists, one, what changes, the account; and who may see which."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.api import START_NS, Api, served
from tests.support.page import cleaned_frame, incident_document, rows_of
from workers.alerts.event import AlertEvent
from workers.api.account import PipelineStatus, model_account
from workers.api.routes.sensors import _Place
from workers.errors import VigieError
from workers.gateway.live import LiveFeed
from workers.gateway.principals import Scope
from workers.gateway.store import taking

SECOND_NS = 10**9
LABELS = {"pump-1": {"site": "Lyon", "tenant": "acme"}, "pump-2": {"site": "Turin"}}


def frame(sensor, score, at_s=0):
    return cleaned_frame(sensor, [START_NS + at_s * SECOND_NS], [score], {"flow": [1.0]})


@pytest.fixture
def api(tmp_path) -> Iterator[Api]:
    with served(tmp_path) as found:
        live = found.gateway.live
        assert live is not None
        live._labels_of = lambda name: LABELS.get(name, {})
        scores = {"pump-0": 0.2, "pump-1": 3.5, "pump-2": 0.9, "new": math.nan}
        live.add_frames([frame(name, score) for name, score in scores.items()])
        yield found


def get(api: Api, path: str, **principal: Any) -> Any:
    answer = api.client.get(path, headers=api.bearer(Scope.READ, **principal))
    assert answer.status_code == 200, answer.text
    return answer.json()


def tell(api: Api, sensor: str, **changes: Any) -> None:
    document = incident_document(sensor, START_NS, **changes)
    event = {
        "specversion": "1.0",
        "id": f"{document['id']}-1",
        "source": "/vigie/plant",
        "type": "incident.opened",
        "subject": sensor,
        "data": document,
    }
    with api.gateway.database.begin() as connection:
        taking.take_in(connection, AlertEvent.of(event), tenant="", now_ns=START_NS)


def test_the_list_is_worst_first_page_by_page(api):
    tell(api, "pump-1")
    first = get(api, "/v1/sensors?limit=2")
    second = get(api, f"/v1/sensors?limit=2&cursor={first['next']}")

    names = [one["sensor_id"] for page in (first, second) for one in page["items"]]
    assert names == ["pump-1", "pump-2", "pump-0", "new"]
    assert second["next"] is None
    assert first["items"][0]["score"] == 3.5
    assert first["items"][0]["budget_used"]["last_week"] == 1
    assert second["items"][1]["score"] is None


def test_the_list_is_filtered_by_label_and_text(api):
    for query, names in (
        ("label=site=Lyon", ["pump-1"]),
        ("q=turin", ["pump-2"]),
        ("label=site=", ["pump-0", "new"]),
    ):
        assert [one["sensor_id"] for one in get(api, f"/v1/sensors?{query}")["items"]] == names


def test_a_tenant_sees_sensors_that_name_it_and_no_others(api):
    acme = api.bearer(Scope.READ, tenant="acme")
    listed = api.client.get("/v1/sensors", headers=acme).json()["items"]
    fleet = api.client.get("/v1/fleet", headers=acme).json()["sensors"]
    page = api.client.get("/", headers=acme).json()["sensors"]

    assert [one["sensor_id"] for one in (*listed, *fleet, *page)] == ["pump-1"] * 3
    assert api.client.get("/v1/sensors/pump-1", headers=acme).status_code == 200
    assert api.client.get("/v1/sensors/pump-2", headers=acme).status_code == 404


def test_data_needs_a_token_and_the_page_itself_does_not(api):
    pages = ("/", "/map", "/map/pump-1", "/incidents", "/sensors/pump-1", "/account")
    data = ("/v1/live", "/v1/account", "/v1/sensors", "/v1/fleet", "/v1/map", "/v1/map/pump-1")
    for path in (*pages, *data):
        answer = api.client.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 401, path
    for path in pages:
        page = api.client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "pump" not in page.text


def test_the_map_and_the_way_of_a_sensor_are_seen_by_whom_they_belong_to(api):
    for at_s, place in ((1, (0.5, -1.0)), (9, (4.5, 2.0))):
        moved = [
            cleaned_frame(name, [START_NS + at_s * SECOND_NS], [0.1], {"flow": [1.0]}, latent=place)
            for name in ("pump-1", "pump-2")
        ]
        api.gateway.live.add_frames(moved)

    everybody = get(api, "/v1/map")
    acme = get(api, "/v1/map", tenant="acme")

    places = {one["sensor_id"]: one["latent"] for one in everybody["sensors"]}
    assert places == {"pump-0": None, "pump-1": [4.5, 2.0], "pump-2": [4.5, 2.0], "new": None}
    assert [one["sensor_id"] for one in acme["sensors"]] == ["pump-1"]
    assert (len(everybody["normal"]), len(acme["normal"])) == (4, 2)
    assert get(api, "/map/pump-1", tenant="acme")["way"] == [[0.5, -1.0], [4.5, 2.0]]
    assert get(api, "/map")["place"] == everybody["place"]
    for path in ("/v1/map/pump-2", "/v1/map/nobody"):
        headers = api.bearer(Scope.READ, tenant="acme")
        assert api.client.get(path, headers=headers).status_code == 404


def test_one_sensor_has_its_rows_and_its_day(api):
    found = get(api, "/v1/sensors/pump-1")

    assert found["cleaned"]["score"] == [3.5]
    assert found["labels"]["site"] == "Lyon"
    assert [score for score in found["day"]["score"] if score is not None] == [3.5]
    assert found["band"] == [None]


def test_without_a_live_feed_it_says_so(tmp_path):
    with served(tmp_path, live="off") as api:
        answer = api.client.get("/v1/sensors", headers=api.bearer(Scope.READ))

        assert answer.status_code == 404
        assert "gateway.live" in answer.json()["detail"]
        assert get(api, "/v1/account")["following"] is None


def events_of(text):
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        yield fields["event"], json.loads(fields["data"]), fields["id"]


def place(live, at, sensors=(), fleet=60):
    return _Place(live, at, list(sensors), fleet, lambda _labels: True)


def test_who_comes_again_with_its_place_misses_nothing(api):
    live: LiveFeed = api.gateway.live
    view = get(api, "/v1/sensors/pump-1")
    first = place(live, view["place"], ["pump-1"])
    live.add_frames([frame("pump-1", 4.5, 1)])
    told = list(events_of(first.news(START_NS)))
    live.add_frames([frame("pump-1", 5.5, 2)])

    again = list(events_of(place(live, told[-1][2], ["pump-1"]).news(START_NS)))

    scores = [data["cleaned"]["score"] for name, data, _ in told + again if name == "rows"]
    assert scores == [[4.5], [5.5]]
    assert place(live, again[-1][2], ["pump-1"]).news(START_NS) == ""


@pytest.mark.parametrize("at", ["", "other~1.2.3.4", "~", "x" * 500, "0-1~5", "1.2.3"])
def test_a_place_that_means_nothing_is_a_reset(at):
    live = LiveFeed(max_sensors=10)
    live.add_frames([frame("pump-1", 3.5)])

    ((name, _, where),) = events_of(place(live, at, ["pump-1"]).news(START_NS))

    assert name == "reset"
    assert place(live, where, ["pump-1"]).news(START_NS) == ""


def test_the_account_adds_up_or_says_what_is_missing():
    counts = {"readings": 100, "scored": 80, "warming_up": 10, "late": 6, "duplicate": 4}
    status = {"counts": {**counts, "dead_lettered": 3}, "workers": [], "lag_records": 5}

    account = PipelineStatus("http://pipeline", lambda _url: status).account()["account"]
    assert (account["read"], account["dropped"], account["balanced"]) == (103, 10, True)
    status["counts"] = {**counts, "scored": 79}
    account = PipelineStatus("http://pipeline", lambda _url: status).account()["account"]
    assert (account["balanced"], account["missing"]) == (False, 1)


def test_a_pipeline_that_is_away_or_unknown_is_said():
    def away(_url):
        raise VigieError("nobody there")

    assert "nobody there" in PipelineStatus("http://pipeline", away).account()["said"]
    assert "gateway.pipeline" in PipelineStatus("").account()["said"]


def test_the_budget_counts_this_week_s_incidents_by_verdict(api):
    for sensor in ("pump-1", "pump-2"):
        tell(api, sensor)
    tell(api, "pump-0", kind="drift")
    with api.gateway.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE incidents SET verdict = 'fault' WHERE sensor_id = 'pump-1'"
        )

    budget = get(api, "/v1/account")["budget"]

    assert (budget["week"], budget["faults"], budget["false_alarms"]) == (2, 1, 0)
    assert (budget["sensors"], budget["allowed_week"]) == (4, 4.0)
    assert budget["drift"]["sensor_id"] == "pump-0"
    api.clock.go_on(8 * 86_400)
    assert get(api, "/v1/account")["budget"]["week"] == 0


def test_a_model_says_its_budget_without_being_loaded(tmp_path):
    assert model_account(tmp_path) is None
    document = {"name": "m", "version": "1", "training": {"budget_words": "1 per week"}}
    (tmp_path / "model.json").write_text(json.dumps(document), encoding="utf-8")

    found = model_account(tmp_path)
    assert found is not None
    assert found["budget_words"] == "1 per week"
    (tmp_path / "model.json").write_text("[]", encoding="utf-8")
    assert model_account(tmp_path) is None


def test_no_number_of_the_documents_is_nan(api):
    live: LiveFeed = api.gateway.live
    live.add_frames([frame("new", math.nan, 1)])
    assert np.isnan(rows_of(live, "new")["cleaned"]["score"]).all()

    for path in ("/v1/fleet", "/v1/sensors/new", "/v1/sensors"):
        assert "NaN" not in api.client.get(path, headers=api.bearer(Scope.READ)).text


def test_a_tenant_is_not_told_where_the_readings_of_all_went(api):
    counts = {"readings": 100, "scored": 100}
    api.client.app.state.pipeline_status = PipelineStatus(
        "http://pipeline", lambda _url: {"counts": counts, "workers": [], "lag_records": 5}
    )
    ours, theirs = (
        api.client.get("/v1/account", headers=api.bearer(Scope.READ, tenant=tenant)).json()[
            "pipeline"
        ]
        for tenant in ("", "acme")
    )

    assert ours["account"]["read"] == 100
    assert set(theirs) == {"answers", "said"}
