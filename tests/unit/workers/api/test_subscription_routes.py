"""Subscriptions, as a client of the interface has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Api, served
from tests.support.gateway import Rig
from workers.api.auth import Scope
from workers.gateway.store import leases
from workers.gateway.store.times import as_time

HOOK = {"kind": "webhook", "url": "https://receiver.example/hook"}


def create(api: Api, **spec: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/subscriptions", json={"name": "a", "sink": HOOK, **spec})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


# -- subscriptions ------------------------------------------------------------------------------


def test_a_subscription_is_made_read_changed_and_deleted(api: Api):
    made = create(api)
    path = f"/v1/subscriptions/{made['id']}"
    assert made["secret"].startswith("whsec_")

    read = api.client.get(path)
    assert read.json() == {key: value for key, value in made.items() if key != "secret"}
    assert read.headers["etag"] == '"1"'
    patched = api.client.patch(path, json={"min_severity": "high"}, headers={"If-Match": '"1"'})
    assert patched.json()["spec"]["min_severity"] == "high"
    assert patched.headers["etag"] == '"2"'
    replaced = api.client.put(
        path, json={"name": "b", "sink": HOOK}, headers={"If-Match": '"2"'}
    ).json()
    assert (replaced["version"], replaced["spec"]["name"]) == (3, "b")
    assert "min_severity" not in replaced["spec"]
    assert [one["id"] for one in api.client.get("/v1/subscriptions").json()["items"]] == [
        made["id"]
    ]
    assert api.client.delete(path).status_code == 428
    assert api.client.delete(path, headers={"If-Match": '"2"'}).status_code == 412
    assert api.client.delete(path, headers={"If-Match": '"3"'}).status_code == 204
    assert api.client.get(path).status_code == 404


def test_a_change_of_what_somebody_else_changed_is_rejected(api: Api):
    path = f"/v1/subscriptions/{create(api)['id']}"

    assert api.client.patch(path, json={"enabled": False}).status_code == 428
    stale = api.client.patch(path, json={"enabled": False}, headers={"If-Match": '"7"'})

    assert stale.status_code == 412
    assert api.client.get(path).json()["spec"]["enabled"] is True


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"filters": [{"sql": "true"}]}, "sql"),
        ({"filters": [{"exact": {"type": "x"}, "prefix": {"type": "x"}}]}, "exactly one"),
        ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, "RE2"),
        ({"sink": {"kind": "webhook", "url": "ftp://receiver"}}, "http"),
        ({"sink": {"kind": "webhook", "url": "https://user:pass@receiver"}}, "headers"),
        ({"sink": {"kind": "kafka", "topic": "vigie.verdicts"}}, "itself"),
        ({"sink": {"kind": "pigeon"}}, "pigeon"),
        ({"hours": [{"time_zone": "Mars/Olympus"}]}, "time zone"),
        ({"template": {"title": "{{ x"}}, "template.title"),
        ({"escalate": {"to": str(uuid4())}}, "escalate.to"),
        ({"group": {"by": ["site"]}, "cooldown_s": 5}, "interval_s"),
        ({"nmae": "typo"}, "nmae"),
        ({"sink": {"kind": "webhook", "url": "http://127.0.0.1:9000/"}}, "allow_targets"),
        ({"sink": {"kind": "webhook", "url": "https://[fd00::1]/"}}, "allow_targets"),
        ({"sink": {"kind": "webhook", "url": "http://2130706433/"}}, "allow_targets"),
        ({"sink": {"kind": "alertmanager", "urls": ["http://10.0.0.1:9093"]}}, "allow_targets"),
        ({"sink": {"kind": "webhook", "url": "https://receiver.example/…"}}, "whole"),
    ],
)
def test_a_wrong_subscription_is_rejected_with_its_reason(
    api: Api, spec: dict[str, Any], said: str
):
    answer = api.client.post("/v1/subscriptions", json={"name": "a", "sink": HOOK, **spec})

    assert answer.status_code == 422
    assert said in answer.text
    assert api.client.get("/v1/subscriptions").json()["items"] == []


def test_secrets_are_shown_by_no_answer_and_lie_in_no_column(api: Api, tmp_path: Path):
    sink = HOOK | {"headers": {"Authorization": "Bearer swordfish"}}
    made = create(api, sink=sink)

    shown = api.client.get(f"/v1/subscriptions/{made['id']}").text
    with api.gateway.database.engine.connect() as connection:
        connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    assert "swordfish" not in shown + str(made) + api.client.get("/v1/audit").text
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("vigie.db*"))
    assert b"swordfish" not in kept
    assert made["secret"].encode() not in kept


def test_asterisks_keep_a_secret_only_where_it_went_before(api: Api):
    sink = HOOK | {"headers": {"Authorization": "Bearer swordfish"}}
    path = f"/v1/subscriptions/{create(api, sink=sink)['id']}"
    masked = api.client.get(path).json()["spec"]
    assert masked["sink"]["headers"] == {"Authorization": "**********"}

    kept = api.client.put(path, json=masked | {"name": "b"}, headers={"If-Match": '"1"'})
    masked["sink"]["url"] = "https://thief.example/"
    stolen = api.client.put(path, json=masked, headers={"If-Match": '"2"'})

    assert kept.status_code == 200
    assert stolen.status_code == 422
    with api.gateway.database.read() as connection:
        (entry,) = api.gateway.book.read(connection).entries.values()
    assert entry.spec.sink.headers["Authorization"].get_secret_value() == "Bearer swordfish"


def test_a_request_that_is_sent_twice_under_one_key_makes_one(api: Api):
    key = {"Idempotency-Key": "k"}
    body = {"name": "a", "sink": HOOK}
    first, second = (api.client.post("/v1/subscriptions", json=body, headers=key) for _ in range(2))

    assert first.json() == second.json()
    assert len(api.client.get("/v1/subscriptions").json()["items"]) == 1


def test_a_rotated_secret_signs_beside_the_old_one_for_a_while(api: Api):
    made = create(api)
    rotated = api.client.post(
        f"/v1/subscriptions/{made['id']}/secret:rotate", json={"overlap_s": 60}
    ).json()

    assert rotated["secret"] not in {"", made["secret"]}
    assert rotated["old_until"] == as_time(api.clock() + 60 * 10**9).isoformat().replace(
        "+00:00", "Z"
    )


def test_so_many_secrets_sign_at_once_and_no_more(api: Api):
    path = f"/v1/subscriptions/{create(api)['id']}/secret:rotate"

    answers = [api.client.post(path, json={"overlap_s": 60}).status_code for _ in range(5)]
    api.clock.go_on(61)

    assert answers == [200] * 4 + [409]
    assert api.client.post(path, json={"overlap_s": 60}).status_code == 200


def test_addresses_of_ones_own_network_are_taken_where_they_are_allowed(tmp_path: Path):
    with served(tmp_path, open_access=True, allow_targets=("127.0.0.0/8",)) as api:
        path = f"/v1/subscriptions/{create(api, sink=HOOK | {'url': 'http://127.0.0.1:9/a'})['id']}"
    with served(tmp_path, open_access=True) as api:
        before = {"If-Match": '"1"'}
        elsewhere = {"sink": {"url": "http://127.0.0.2:9/a"}}
        assert api.client.patch(path, json=elsewhere, headers=before).status_code == 422
        assert api.client.patch(path, json={"enabled": False}, headers=before).status_code == 200


def test_where_a_webhook_goes_is_shown_whole_to_those_alone_who_may_change_it(tmp_path: Path):
    with served(tmp_path) as api:
        read, operate, admin = (api.bearer(scope) for scope in Scope)
        url = "https://receiver.example:8443/T0/swordfish?key=trout"
        body = {"name": "a", "sink": HOOK | {"url": url}}
        made = api.client.post("/v1/subscriptions", json=body, headers=operate).json()
        path = f"/v1/subscriptions/{made['id']}"
        masked = api.client.get(path, headers=read).json()["spec"]
        listed = api.client.get("/v1/subscriptions", headers=read)

        assert masked["sink"]["url"] == "https://receiver.example:8443/…"
        assert listed.json()["items"][0]["spec"] == masked
        assert api.client.get(path, headers=operate).json()["spec"]["sink"]["url"] == url
        back = {**operate, "If-Match": '"1"'}
        assert api.client.put(path, json=masked, headers=back).status_code == 422
        assert api.client.put(path, json=body | {"name": "b"}, headers=back).status_code == 200
        gone = {**operate, "If-Match": "*"}
        assert api.client.delete(path, headers=gone).status_code == 204
        log = api.client.get("/v1/audit", headers=admin)
        assert {one["action"] for one in log.json()["items"]} >= {
            "subscription.create",
            "subscription.change",
            "subscription.delete",
        }
        for text in (log.text, listed.text):
            assert "swordfish" not in text
            assert "trout" not in text


def test_a_subscription_to_ones_own_escalation_is_rejected(api: Api):
    boss, a = create(api, name="boss"), create(api, name="a")
    path = f"/v1/subscriptions/{a['id']}"

    ok = api.client.patch(path, json={"escalate": {"to": boss["id"]}}, headers={"If-Match": '"1"'})
    circle = api.client.patch(path, json={"escalate": {"to": a["id"]}}, headers={"If-Match": '"2"'})

    assert (ok.status_code, circle.status_code) == (200, 422)


def test_deliveries_are_listed_and_sent_again(api: Api, rig: Rig):
    made = create(api)
    rig.opens("pump-1")
    rig.opens("pump-2")
    rig.receivers.outcomes = {}
    path = f"/v1/subscriptions/{made['id']}"
    page = api.client.get(f"{path}/deliveries?limit=1").json()
    rest = api.client.get(f"{path}/deliveries?cursor={page['next']}").json()
    assert [one["state"] for one in page["items"] + rest["items"]] == ["waiting", "waiting"]
    assert page["items"][0]["id"] > rest["items"][0]["id"]
    number = page["items"][0]["id"]
    assert api.client.post(f"{path}/deliveries/{number}:resend").status_code == 409
    with api.gateway.database.begin() as connection:
        due = leases.lease(
            connection,
            holder="x",
            now_ns=api.clock(),
            until_ns=api.clock() + 10**9,
            limit=9,
            per_subscription=9,
            busy=(),
        )
        assert len(due) == 2
        connection.exec_driver_sql("UPDATE deliveries SET state = 'dead'")

    resent = api.client.post(f"{path}/deliveries/{number}:resend").json()

    assert (resent["state"], resent["event_id"]) == ("waiting", page["items"][0]["event_id"])
    assert api.client.get(f"{path}/deliveries/{number}/attempts").json() == []
    assert api.client.get(f"{path}/deliveries/99999/attempts").status_code == 404


def test_recover_tells_what_was_given_up_and_what_came_before(api: Api, rig: Rig):
    rig.opens("before")
    api.clock.go_on(1000)
    rig.clock.go_on(1000)
    made = create(api)
    rig.opens("pump-1")
    with api.gateway.database.begin() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET state = 'dead'")
    path = f"/v1/subscriptions/{made['id']}"

    since = as_time(api.clock() - 2000 * 10**9).isoformat()
    done = api.client.post(f"{path}:recover", json={"since": since}).json()
    again = api.client.post(f"{path}:recover", json={"since": since}).json()

    assert (done, again) == ({"resent": 1, "added": 1}, {"resent": 0, "added": 0})


def test_a_preview_shows_what_people_would_read(api: Api):
    answer = api.client.post(
        "/v1/subscriptions:preview",
        json={"template": {"title": "{{ sensor }} is {{ severity }}"}},
    )
    wrong = api.client.post(
        "/v1/subscriptions:preview", json={"template": {"text": "{{ 9 ** 9 ** 9 }}"}}
    )

    assert answer.json()["title"] == "example-pump is medium"
    assert wrong.status_code == 422
