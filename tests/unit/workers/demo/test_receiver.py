"""The demo's receiver of webhooks: what is signed by our secret is taken, nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from workers.demo.receiver import open_receiver

OURS = "whsec_" + "b3VycyBhbmQgbm9ib2R5IGVsc2Uncw=="
OTHER = "whsec_" + "c29tZWJvZHkgZWxzZSdzIGluZGVlZA=="
BODY = json.dumps({"type": "incident.opened", "data": {"id": "some-incident"}}).encode()


def signed(secret: str, *, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "Webhook-Id": "event-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("event-1", at, BODY.decode()),
    }


def post(url: str, headers: dict[str, str], body: bytes = BODY) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request("POST", parts.path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_webhook_with_a_valid_signature_is_taken_with_its_id_and_its_incident():
    with open_receiver() as receiver:
        receiver.trust(OURS)
        assert post(receiver.url, signed(OURS)) == 204

    (one,) = receiver.came
    assert (one.id, one.incident, one.is_valid) == ("event-1", "some-incident", True)
    assert receiver.valid == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(OTHER),
        signed(OURS) | {"webhook-signature": "v1"},
        signed(OURS) | {"webhook-signature": "v1,?"},
        signed(OURS) | {"Webhook-Id": "another"},
        signed(OURS, at=datetime(2020, 1, 1, tzinfo=UTC)),
    ],
    ids=["none", "another secret", "no signature", "garbage", "another id", "years old"],
)
def test_one_without_a_valid_signature_is_rejected_and_noted(headers):
    with open_receiver() as receiver:
        receiver.trust(OURS)
        assert post(receiver.url, headers) == 401

    (one,) = receiver.came
    assert not one.is_valid
    assert receiver.valid == 0


def test_before_a_secret_is_known_nothing_is_valid():
    with open_receiver() as receiver:
        assert post(receiver.url, signed(OURS)) == 401


def test_one_that_is_too_large_is_not_read():
    with open_receiver() as receiver:
        receiver.trust(OURS)
        assert post(receiver.url, {"Content-Length": str(2**30)}, b"") == 400

    assert receiver.came == []
