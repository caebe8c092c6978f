"""Alertmanager's, PagerDuty's and Apprise's receivers, as their documents describe them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys

import pytest

from schemas.api.sinks import AlertmanagerSink, AppriseSink, KafkaSink, PagerDutySink
from schemas.settings import GatewaySettings, Settings
from tests.support.notifications import incident_event, message_of
from tests.support.receivers import open_receiver
from workers.gateway.sinks import apprise
from workers.gateway.sinks.outcome import Verdict
from workers.gateway.sinks.sender import Senders

# Apprise imports a module that Python 3.13 has no more, if it is there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def settings_within(seconds):
    return Settings(
        gateway=GatewaySettings(allow_targets=("127.0.0.1/32",), deliver_timeout_s=seconds)
    )


LOCAL, HASTY = settings_within(5.0), settings_within(0.5)
KEY = "R0UT1NGKEY" * 3


def send(sink, message=None, settings=LOCAL):
    async def run():
        async with Senders.open(settings) as senders:
            return await senders.send(sink, (), message or message_of())

    return asyncio.run(run())


def test_every_member_of_a_cluster_gets_the_alert():
    with open_receiver() as one, open_receiver() as two:
        assert send(AlertmanagerSink(urls=(one.url("/"), two.url("/prefix")))).is_delivered
    assert [one.received[0].path, two.received[0].path] == [
        "/api/v2/alerts",
        "/prefix/api/v2/alerts",
    ]
    assert one.received[0].body == two.received[0].body
    assert json.loads(one.received[0].body)[0]["labels"]["sensor_id"] == "pump-7"


def test_one_member_that_took_it_is_enough():
    with open_receiver(mode="hang") as one, open_receiver() as two:
        sink = AlertmanagerSink(urls=(one.url(""), two.url("")))
        assert send(sink, settings=HASTY).is_delivered
        assert one.received
        two.status = 500
        failed = send(AlertmanagerSink(urls=(two.url(""), one.url(""))), settings=HASTY)
    assert (failed.verdict, failed.status) == (Verdict.RETRY, 500)


def test_pagerduty_gets_what_its_limits_allow():
    with open_receiver(status=202) as receiver:
        for what in ("opened", "acknowledged", "resolved"):
            sink = PagerDutySink(routing_key=KEY, url=receiver.url("/v2/enqueue"))
            assert send(sink, message_of(incident_event(what))).status == 202
    events = [json.loads(one.body) for one in receiver.received]
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert {event["routing_key"] for event in events} == {KEY}
    payload = events[0]["payload"]
    assert len(payload["summary"]) <= 1024
    assert payload["severity"] in {"critical", "error", "warning", "info"}


@pytest.mark.parametrize(
    ("status", "verdict", "wait"),
    [(400, Verdict.REJECTED, None), (429, Verdict.RETRY, 120.0), (500, Verdict.RETRY, None)],
)
def test_pagerduty_s_answers_mean_what_it_says(status, verdict, wait):
    body = f'{{"message":"Invalid routing key {KEY}"}}'.encode()
    with open_receiver(status=status, body=body) as receiver:
        outcome = send(PagerDutySink(routing_key=KEY, url=receiver.url()))
    assert (outcome.verdict, outcome.retry_after_s) == (verdict, wait)
    assert KEY not in repr(outcome)
    assert "Invalid routing key ***" in outcome.response


def test_pagerduty_cannot_be_pointed_at_this_machine():
    with open_receiver() as receiver:
        outcome = send(PagerDutySink(routing_key=KEY, url=receiver.url()), settings=Settings())
        assert not receiver.received
    assert outcome.verdict is Verdict.REJECTED


def test_a_topic_of_vigie_is_no_sink():
    outcome = send(KafkaSink(topic=LOCAL.topics.incidents))
    assert outcome.verdict is Verdict.REJECTED
    assert "would read what it writes" in outcome.error


def test_a_broker_that_is_not_there_is_tried_again():
    settings = HASTY.model_copy(
        update={"kafka": HASTY.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})}
    )
    assert send(KafkaSink(topic="alerts"), settings=settings).verdict is Verdict.RETRY


def test_apprise_sends_title_and_text():
    with open_receiver() as receiver:
        url = f"json://127.0.0.1:{receiver.port}/s3cret"
        assert send(AppriseSink(url=url), message_of(title="{{ sensor }}!")).is_delivered
    body = json.loads(receiver.received[0].body)
    assert (body["title"], body["type"]) == ("pump-7!", "failure")
    assert body["message"].startswith("bearing temperature")


def test_apprise_s_failures_are_told_without_its_url_and_not_logged():
    # Not caplog: it listens to loggers that pass nothing on as well.
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    try:
        with open_receiver(status=503, body=b"s3cret") as receiver:
            outcome = send(AppriseSink(url=f"json://127.0.0.1:{receiver.port}/s3cret"))
    finally:
        logging.getLogger().removeHandler(handler)
    assert (outcome.verdict, outcome.status) == (Verdict.RETRY, 503)
    assert "s3cret" not in repr(outcome)
    assert not logged.getvalue()


def test_apprise_follows_no_redirect():
    with open_receiver() as inner, open_receiver(status=307) as outer:
        outer.headers["Location"] = inner.url()
        assert send(AppriseSink(url=f"json://127.0.0.1:{outer.port}/")).verdict is Verdict.RETRY
        assert not inner.received


@pytest.mark.parametrize("url", ["s3cret://x", "nonsense s3cret", "json://"])
def test_a_url_that_apprise_does_not_know_is_rejected_and_not_repeated(url):
    outcome = send(AppriseSink(url=url))
    assert outcome.verdict is Verdict.REJECTED
    assert "s3cret" not in repr(outcome)


def test_without_apprise_the_advice_is_to_install_it(monkeypatch):
    apprise._library.cache_clear()
    monkeypatch.setitem(sys.modules, "apprise", None)
    outcome = send(AppriseSink(url="json://localhost/"))
    assert outcome.verdict is Verdict.REJECTED
    assert "pip install 'vigie[notify]'" in outcome.error


def test_a_hanging_receiver_of_apprise_is_left_at_the_deadline():
    with open_receiver(mode="hang") as receiver:
        url = f"json://127.0.0.1:{receiver.port}/"
        outcome = send(AppriseSink(url=url), settings=HASTY)
    assert outcome.verdict is Verdict.RETRY
    assert outcome.error == "no answer in time"
