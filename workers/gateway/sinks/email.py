"""E-mail, by the server of [smtp]."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256
from typing import Final

from schemas.api.sinks import EmailSink
from schemas.settings import SmtpSettings
from workers.alerts.facts import facts_of
from workers.alerts.message import Message
from workers.alerts.templates import render
from workers.gateway.sinks.outcome import Outcome, Verdict

__all__ = ["mail_of", "send_mail"]

_PERMANENT: Final = 500


def send_mail(
    smtp: SmtpSettings,
    sink: EmailSink,
    message: Message,
    *,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
) -> Outcome:
    """Send a mail; blocks."""
    if not smtp.host:
        return Outcome.failed("smtp.host is not set: name the server", Verdict.REJECTED)
    try:
        mail = mail_of(smtp.sender, sink.to, message)
    except (MessageError, ValueError) as error:
        return Outcome.failed(f"no mail can be written: {error}", Verdict.REJECTED)
    try:
        with _connected(smtp, timeout_s, tls or ssl.create_default_context()) as server:
            if smtp.user:
                server.login(smtp.user, smtp.password.get_secret_value())
            refused = server.send_message(mail, smtp.sender, list(sink.to))
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients)
    except smtplib.SMTPResponseException as error:
        return Outcome(
            verdict=Verdict.RETRY,
            status=error.smtp_code,
            error=f"{smtp.host} answers {error.smtp_code} to {type(error).__name__}",
            response=_text(error.smtp_error),
        )
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return Outcome.failed(f"{smtp.host}: {error or type(error).__name__}")
    left_out = ", ".join(refused)
    return Outcome(
        verdict=Verdict.DELIVERED, status=250, error=f"not to {left_out}" if left_out else ""
    )


def mail_of(sender: str, to: Sequence[str], message: Message) -> EmailMessage:
    """The mail: every attempt has the same Message-ID, every incident one thread.

    Raises:
        ValueError: an address is none.
    """
    shown = render(message)
    domain = Address(addr_spec=sender).domain or "localhost"
    told = facts_of(message)
    story = message.group.key if message.group is not None else told[0].thread if told else ""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = shown.title
    mail["From"] = Address(display_name="Vigie", addr_spec=sender)
    mail["To"] = [Address(addr_spec=one) for one in to]
    mail["Date"] = datetime.fromtimestamp(message.at_ns / 1e9, UTC)
    mail["Message-ID"] = _id(f"{message.id} {message.subscription}", domain)
    if story:
        mail["References"] = _id(f"{story} {message.subscription}", domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Vigie-Event"] = message.type
    mail.set_content(f"{shown.text}\n")
    return mail


def _id(text: str, domain: str) -> str:
    return f"<{sha256(text.encode()).hexdigest()[:32]}@{domain}>"


def _connected(smtp: SmtpSettings, timeout_s: float, tls: ssl.SSLContext) -> smtplib.SMTP:
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout_s, context=tls)
    server = smtplib.SMTP(smtp.host, smtp.port, timeout=timeout_s)
    try:
        if smtp.security == "starttls":
            server.starttls(context=tls)  # raises if the server has it not: never in the clear
    except BaseException:
        server.close()
        raise
    return server


def _refused(recipients: dict[str, tuple[int, bytes]]) -> Outcome:
    address, (status, said) = next(iter(recipients.items()))
    for_good = all(code >= _PERMANENT for code, _ in recipients.values())
    return Outcome(
        verdict=Verdict.REJECTED if for_good else Verdict.RETRY,
        status=status,
        error=f"no recipient is accepted, such as {address}",
        response=_text(said),
    )


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
