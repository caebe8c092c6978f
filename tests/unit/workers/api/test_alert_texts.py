"""What the interface takes as texts, times, names and headers: what can be kept, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, served
from tests.support.gateway import Rig, incident_id

HOOK = {"kind": "webhook", "url": "https://receiver.example/hook"}
NUL = "a\0b"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, open_access=True) as found:
        yield found


@pytest.mark.parametrize(
    "spec",
    [
        {"name": NUL},
        {"description": NUL},
        {"matchers": [{"name": "site", "value": NUL}]},
        {"matchers": [{"name": NUL, "value": "a"}]},
        {"filters": [{"exact": {"type": NUL}}]},
        {"sensors": [NUL]},
        {"channels": [NUL]},
        {"group": {"by": [NUL]}},
        {"template": {"text": NUL}},
        {"sink": {"kind": "email", "to": [f"{NUL}@plant.example"]}},
        {"sink": HOOK | {"headers": {NUL: "a"}}},
        {"sink": HOOK | {"headers": {"X-A": NUL}}},
    ],
    ids=str,
)
def test_a_subscription_with_a_nul_anywhere_is_rejected(api: Api, spec: dict[str, Any]):
    answer = api.client.post("/v1/subscriptions", json={"name": "a", "sink": HOOK, **spec})

    assert answer.status_code == 422
    assert api.client.get("/v1/subscriptions").json()["items"] == []


def test_what_people_write_to_an_incident_has_no_nul(api: Api):
    rig = Rig(api.gateway.database, api.gateway.settings)
    rig.outbox = api.gateway.outbox
    rig.opens("pump-1")
    path = f"/v1/incidents/{incident_id('pump-1')}"
    silence = {"matchers": [{"name": "site", "value": "a"}], "endsAt": "2100-01-01T00:00:00Z"}
    wrong: list[tuple[str, dict[str, Any]]] = [
        (f"{path}/comments", {"text": NUL}),
        (f"{path}:acknowledge", {"comment": NUL}),
        (f"{path}:resolve", {"comment": NUL}),
        (f"{path}:verdict", {"verdict": "fault", "note": NUL}),
        ("/v1/silences", {**silence, "comment": NUL}),
        ("/v1/silences", {**silence, "matchers": [{"name": "a", "value": NUL}], "comment": "b"}),
    ]

    assert [api.client.post(to, json=body).status_code for to, body in wrong] == [422] * len(wrong)
    for query in ("q=%00", "sensor=%00", "label=a%3D%00"):
        assert api.client.get(f"/v1/incidents?{query}").status_code == 422
    assert api.client.get("/v1/sensors?q=a%00").status_code in {200, 404, 422}


def test_a_token_with_a_nul_is_one_that_nobody_knows(api: Api):
    answer = api.client.post("/session", json={"token": "vigie_a\0b_c"})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["since", "until"])
def test_times_that_cannot_be_kept_are_rejected(api: Api, name: str):
    for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00"):
        assert api.client.get(f"/v1/incidents?{name}={time}").status_code == 422
    assert api.client.get(f"/v1/incidents?{name}=2026-01-01T00:00:00Z").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X A", "a"),
        ("X:A", "a"),
        ("", "a"),
        ("Ü", "a"),
        ("X-A\r\nX-B", "a"),
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "a\nb"),
        ("X-A", " a"),
        ("X-A", "a\t"),
        ("X-A", "price in \N{EURO SIGN}"),
        ("X-A", "a" * 9000),
    ],
)
def test_headers_that_http_has_no_form_for_are_rejected(api: Api, name: str, value: str):
    sink = HOOK | {"headers": {name: value}}
    answer = api.client.post("/v1/subscriptions", json={"name": "a", "sink": sink})

    assert answer.status_code == 422
    assert "X-B" not in answer.text or name != "X-A"


def test_headers_of_every_other_form_are_taken(api: Api):
    headers = {"Authorization": "Bearer a b", "X-~!#$%&'*+.^_`|": "", "X-Latin": "\xe9t\xe9"}
    made = api.client.post(
        "/v1/subscriptions", json={"name": "a", "sink": HOOK | {"headers": headers}}
    )

    assert made.status_code == 201
