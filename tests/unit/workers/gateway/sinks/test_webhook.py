"""Webhooks: what a receiver gets, how it verifies it, and what its answer means."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.api.sinks import WebhookSink
from schemas.settings import GatewaySettings, Settings
from tests.support.notifications import incident_event, message_of
from tests.support.receivers import open_receiver
from workers.gateway.sinks.http import retry_after_s
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.sinks.sender import Senders
from workers.gateway.sinks.webhook import signed_headers

OLD, NEW, OTHER = ("whsec_" + letter * 32 for letter in "ABC")
LOCAL = Settings(gateway=GatewaySettings(allow_targets=("127.0.0.1/32",), deliver_timeout_s=2))


def send(sink, *, signing=(NEW,), message=None, settings=LOCAL):
    async def run():
        async with Senders.open(settings) as senders:
            return await senders.send(sink, signing, message or message_of())

    return asyncio.run(run())


def test_a_receiver_verifies_the_signature_and_reads_the_incident():
    with open_receiver() as receiver:
        outcome = send(WebhookSink(url=receiver.url()))
    (received,) = receiver.received
    body = Webhook(NEW).verify(received.body, received.headers)
    assert outcome == Outcome(verdict=Verdict.DELIVERED, status=200, response="thank you")
    assert body["type"] == "incident.opened"
    assert body["timestamp"] == incident_event()["time"]
    assert body["data"] == incident_event()["data"]
    assert received.headers["webhook-id"] == message_of().id
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_a_secret_is_rotated_both_verify(secret):
    with open_receiver() as receiver:
        send(WebhookSink(url=receiver.url()), signing=(NEW, OLD))
    (received,) = receiver.received
    assert Webhook(secret).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(received.body, received.headers)


def test_every_attempt_has_the_same_id_and_body_and_a_time_of_its_own():
    early = datetime.now(UTC) - timedelta(hours=3)
    first, second = (
        dict(signed_headers("msg_1", b"{}", [NEW], at)) for at in (early, datetime.now(UTC))
    )
    assert first["webhook-id"] == second["webhook-id"] == "msg_1"
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) in {10_800, 10_801}
    Webhook(NEW).verify(b"{}", second)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(NEW).verify(b"{}", first)


def test_the_time_of_a_signature_holds_in_any_zone():
    at = datetime.now(timezone(timedelta(hours=9)))
    Webhook(NEW).verify(b"{}", dict(signed_headers("msg_1", b"{}", [NEW], at)))


def test_without_a_secret_nothing_is_signed():
    with open_receiver() as receiver:
        send(WebhookSink(url=receiver.url()), signing=())
    assert "webhook-signature" not in receiver.received[0].headers
    assert receiver.received[0].headers["webhook-id"]


def test_headers_of_a_subscription_are_sent_and_override_none_of_ours():
    own = {
        "Authorization": "Bearer abc",
        "WebHook-ID": "forged",
        "webhook-signature": "v1,forged",
        "Webhook-Timestamp": "1",
        "Host": "other.example",
        "Content-Length": "0",
        "Transfer-Encoding": "chunked",
        "content-type": "text/html",
        "User-Agent": "ours",
    }
    with open_receiver() as receiver:
        outcome = send(WebhookSink(url=receiver.url(), headers=own))
    (received,) = receiver.received
    Webhook(NEW).verify(received.body, received.headers)
    assert outcome.is_delivered
    assert received.headers["authorization"] == "Bearer abc"
    assert received.headers["user-agent"] == "ours"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["content-type"] == "application/json"
    assert b"forged" not in str(received.headers).encode()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (202, Verdict.DELIVERED),
        (299, Verdict.DELIVERED),
        (301, Verdict.RETRY),
        (304, Verdict.RETRY),
        (308, Verdict.RETRY),
        (400, Verdict.RETRY),
        (401, Verdict.RETRY),
        (404, Verdict.RETRY),
        (410, Verdict.GONE),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
        (599, Verdict.RETRY),
    ],
)
def test_only_2xx_is_success_and_only_410_the_end(status, verdict):
    with open_receiver(status=status, body=b"" if status == 304 else b"why") as receiver:
        outcome = send(WebhookSink(url=receiver.url()))
    assert (outcome.verdict, outcome.status) == (verdict, status)
    assert bool(outcome.error) != outcome.is_delivered
    assert outcome.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "wait"), [(429, 120), (502, 120), (503, 120), (504, 120), (500, None), (404, None)]
)
def test_retry_after_is_heeded_where_the_specification_has_it(status, wait):
    with open_receiver(status=status, headers={"Retry-After": "120"}) as receiver:
        assert send(WebhookSink(url=receiver.url())).retry_after_s == wait


def test_retry_after_is_seconds_or_a_date_and_a_day_at_most():
    now = datetime(2026, 11, 30, tzinfo=UTC)
    at = format_datetime(now + timedelta(minutes=5), usegmt=True)
    seconds = {
        text: retry_after_s(text, now_s=now.timestamp())
        for text in (at, " 7 ", "0", "9" * 400, "-1", "1.5", "soon", "", "\u0661", "a, b")
    }
    assert list(seconds.values()) == [300.0, 7.0, 0.0, 86_400.0, *[None] * 6]


def test_the_error_of_a_redirect_says_what_to_do_and_no_error_has_the_url():
    with open_receiver(status=302, headers={"Location": "/x"}) as receiver:
        outcome = send(WebhookSink(url=receiver.url("/secret-path?token=s3cret")))
    assert "give the address that it leads to" in outcome.error
    assert "secret" not in repr(outcome)


@pytest.mark.parametrize("mode", ["hang", "drip headers", "close", "no http"])
def test_a_receiver_that_does_not_answer_is_tried_again_and_its_url_not_told(mode):
    settings = Settings(
        gateway=GatewaySettings(allow_targets=("127.0.0.1/32",), deliver_timeout_s=0.3)
    )
    with open_receiver(mode=mode) as receiver:
        began = time.monotonic()
        outcome = send(WebhookSink(url=receiver.url("/s3cret")), settings=settings)
        assert time.monotonic() - began < 1.5
    assert (outcome.verdict, outcome.status) == (Verdict.RETRY, None)
    assert outcome.error
    assert "s3cret" not in outcome.error


def test_nobody_behind_the_port_is_tried_again(free_port):
    outcome = send(WebhookSink(url=f"http://127.0.0.1:{free_port}/"))
    assert outcome.verdict is Verdict.RETRY


def test_an_address_that_is_not_public_is_rejected_with_advice():
    with open_receiver() as receiver:
        outcome = send(WebhookSink(url=receiver.url()), settings=Settings())
        assert not receiver.received
    assert outcome.verdict is Verdict.REJECTED
    assert "gateway.allow_targets" in outcome.error


def test_an_answer_is_kept_to_a_kibibyte_that_any_database_takes():
    with open_receiver(body=b"\0\xff" + "é".encode() * 3000) as receiver:
        response = send(WebhookSink(url=receiver.url())).response
    assert "\0" not in response
    assert len(response.encode()) <= 1030


def test_a_secret_that_is_none_is_rejected_not_raised():
    with open_receiver() as receiver:
        outcome = send(WebhookSink(url=receiver.url()), signing=("whsec_",))
        assert not receiver.received
    assert outcome.verdict is Verdict.REJECTED


def test_a_document_that_is_no_json_is_rejected_not_raised():
    event = incident_event(peak=float("nan"))
    with open_receiver() as receiver:
        outcome = send(WebhookSink(url=receiver.url()), message=message_of(event))
    assert outcome.verdict is Verdict.REJECTED


@pytest.mark.parametrize("form", ["cloudevents", "alertmanager"])
def test_other_forms_are_signed_as_well(form):
    with open_receiver() as receiver:
        send(WebhookSink(url=receiver.url(), format=form))
    (received,) = receiver.received
    body = Webhook(NEW).verify(received.body, received.headers)
    assert body == json.loads(received.body)
    assert body["version" if form == "alertmanager" else "specversion"]
