"""E-mail, as a real server receives it."""

from __future__ import annotations

import asyncio
import email
import ssl
import threading
from contextlib import contextmanager
from email.policy import default
from types import SimpleNamespace

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from schemas.api.sinks import EmailSink
from schemas.settings import GatewaySettings, Settings, SmtpSettings
from tests.support.certificates import authority_and_server
from tests.support.notifications import incident_event, message_of
from tests.support.receivers import open_receiver
from workers.gateway.sinks.email import mail_of
from workers.gateway.sinks.outcome import Verdict
from workers.gateway.sinks.sender import Senders

SINK = EmailSink(to=("ana@example.org", "bo@example.org"))


PLAIN = {"auth_exclude_mechanism": ["LOGIN"]}


class Mailbox:
    def __init__(self):
        self.envelopes, self.refuses, self.data_answer = [], {}, "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):  # noqa: N802
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.envelopes.append(
            SimpleNamespace(
                to=list(envelope.rcpt_tos),
                sender=envelope.mail_from,
                mail=email.message_from_bytes(envelope.content, policy=default),
                user=getattr(session.auth_data, "login", b"").decode(),
            )
        )
        return self.data_answer


@contextmanager
def mail_server(*, ssl_context=None, **options):
    mailbox, loop = Mailbox(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start():
        return await loop.create_server(
            lambda: SMTP(mailbox, loop=loop, hostname="mail.example", **options),
            "127.0.0.1",
            0,
            ssl=ssl_context,
        )

    async def stop():
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield mailbox, server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def send(port, *, message=None, sink=SINK, tls=None, within=5.0, **smtp):
    settings = Settings(
        gateway=GatewaySettings(deliver_timeout_s=within),
        smtp=SmtpSettings(
            **{"host": "127.0.0.1", "port": port, "security": "none", "sender": "v@plant.example"}
            | smtp
        ),
    )

    async def run():
        async with Senders.open(settings, tls=tls) as senders:
            return await senders.send(sink, (), message or message_of())

    return asyncio.run(run())


def test_a_mail_arrives_with_title_text_and_link():
    with mail_server() as (mailbox, port):
        assert send(port).is_delivered
    (envelope,) = mailbox.envelopes
    assert envelope.to == list(SINK.to)
    assert envelope.sender == "v@plant.example"
    assert envelope.mail["Subject"].startswith("HIGH pump-7: bearing temperature 81.2 °C")
    assert message_of().url in envelope.mail.get_content()
    assert envelope.mail["Auto-Submitted"] == "auto-generated"


def test_every_attempt_has_the_same_message_id_and_an_incident_is_a_thread():
    opened, again, resolved, elsewhere = (
        mail_of("v@plant.example", SINK.to, message)
        for message in (
            message_of(),
            message_of(),
            message_of(incident_event("resolved")),
            message_of(subscription="another"),
        )
    )
    assert opened.as_bytes() == again.as_bytes()
    assert len({one["Message-ID"] for one in (opened, resolved, elsewhere)}) == 3
    assert opened["References"] == resolved["References"] != elsewhere["References"]
    assert opened["Message-ID"].endswith("@plant.example>")


def test_no_name_adds_a_header_or_a_recipient():
    hostile = "pump\r\nBcc: mallory@example.org\r\n\r\nbody"
    with mail_server() as (mailbox, port):
        outcome = send(port, message=message_of(incident_event(sensor=hostile), name=hostile))
    assert outcome.is_delivered
    (envelope,) = mailbox.envelopes
    assert envelope.mail["Bcc"] is None
    assert envelope.to == list(SINK.to)
    assert "Bcc: mallory@example.org" in envelope.mail["Subject"]


def test_a_line_with_a_dot_ends_no_mail():
    with mail_server() as (mailbox, port):
        send(port, message=message_of(text="one\n.\ntwo"))
    assert mailbox.envelopes[0].mail.get_content().split() == ["one", ".", "two"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_goes_encrypted_to_a_server_that_is_known(security, tmp_path):
    authority, server = authority_and_server(tmp_path, "localhost")
    options = {"tls_context": server, "require_starttls": True}
    trusting = ssl.create_default_context(cafile=authority)
    with mail_server(**(options if security == "starttls" else {"ssl_context": server})) as (
        mailbox,
        port,
    ):
        given = {"host": "localhost", "security": security}
        assert send(port, tls=trusting, **given).is_delivered
        assert send(port, **given).verdict is Verdict.RETRY
    assert len(mailbox.envelopes) == 1


def test_a_server_without_starttls_gets_nothing():
    with mail_server() as (mailbox, port):
        assert send(port, security="starttls").verdict is Verdict.RETRY
    assert not mailbox.envelopes


def test_it_logs_in_and_no_error_has_the_password():
    def known(server, session, envelope, mechanism, data):
        return AuthResult(success=data.password == b"s3cret", handled=False, auth_data=data)

    with mail_server(authenticator=known, auth_require_tls=False, **PLAIN) as (mailbox, port):
        assert send(port, user="vigie", password="s3cret").is_delivered
        failed = send(port, user="vigie", password="wr0ng")
    assert mailbox.envelopes[0].user == "vigie"
    assert (failed.verdict, failed.status) == (Verdict.RETRY, 535)
    assert "wr0ng" not in repr(failed)


def test_recipients_that_are_refused_for_good_are_rejected_others_tried_again():
    with mail_server() as (mailbox, port):
        mailbox.refuses = dict.fromkeys(SINK.to, "550 no such user")
        assert send(port).verdict is Verdict.REJECTED
        mailbox.refuses["bo@example.org"] = "451 later"
        assert send(port).verdict is Verdict.RETRY
        del mailbox.refuses["ana@example.org"]
        outcome = send(port)
    assert outcome.is_delivered
    assert outcome.error == "not to bo@example.org"
    assert mailbox.envelopes[0].to == ["ana@example.org"]


def test_a_server_that_does_not_take_it_is_tried_again():
    with mail_server() as (mailbox, port):
        mailbox.data_answer = "451 busy"
        outcome = send(port)
    assert (outcome.verdict, outcome.status, outcome.response) == (Verdict.RETRY, 451, "busy")


def test_a_server_that_is_not_there_or_hangs_or_is_none_is_tried_again(free_port):
    assert send(free_port).verdict is Verdict.RETRY
    with open_receiver(mode="hang") as receiver:
        assert send(receiver.port, within=0.5).verdict is Verdict.RETRY


def test_without_a_server_it_is_rejected_with_advice():
    outcome = send(25, host="")
    assert outcome.verdict is Verdict.REJECTED
    assert "smtp.host" in outcome.error


def test_an_address_that_is_none_is_rejected():
    outcome = send(25, sink=EmailSink(to=('"@example.org',)))
    assert outcome.verdict is Verdict.REJECTED
