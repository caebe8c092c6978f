"""Sending a notification to any sink, within the time allowed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from schemas.api.sinks import (
    AlertmanagerSink,
    AppriseSink,
    EmailSink,
    KafkaSink,
    PagerDutySink,
    Sink,
    WebhookSink,
)
from schemas.settings import Settings
from workers.alerts.message import Message
from workers.gateway.sinks.addresses import AddressGuard
from workers.gateway.sinks.alertmanager import send_alerts
from workers.gateway.sinks.apprise import send_by_apprise
from workers.gateway.sinks.blocking import BlockingCalls
from workers.gateway.sinks.email import send_mail
from workers.gateway.sinks.guarded import HttpPoster, Resolve
from workers.gateway.sinks.kafka import KafkaTopics
from workers.gateway.sinks.outcome import Outcome, Verdict
from workers.gateway.sinks.pagerduty import send_to_pagerduty
from workers.gateway.sinks.webhook import send_webhook

__all__ = ["Senders"]

_THREADS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Senders:
    """One for a gateway: it holds the connections and threads that are used again."""

    settings: Settings
    http: HttpPoster
    kafka: KafkaTopics
    mails: BlockingCalls
    apprise: BlockingCalls
    tls: ssl.SSLContext | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[Self]:
        """Open what all sinks share; close it at the end.

        Args:
            settings: of the gateway, the mail server, the broker.
            resolve: how names become addresses; the system's way unless given.
            tls: whom to trust; the system's authorities unless given.
        """
        gateway = settings.gateway
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                HttpPoster.open(
                    AddressGuard(gateway.allow_targets),
                    # An Alertmanager sink posts to each of its members at once.
                    max_connections=4 * gateway.max_in_flight,
                    resolve=resolve,
                    tls=tls,
                )
            )
            yield cls(
                settings=settings,
                http=http,
                kafka=stack.enter_context(KafkaTopics.open(settings)),
                mails=stack.enter_context(BlockingCalls.open("mail", threads=_THREADS)),
                apprise=stack.enter_context(BlockingCalls.open("apprise", threads=_THREADS)),
                tls=tls,
            )

    async def send(self, sink: Sink, signing: Sequence[str], message: Message) -> Outcome:
        """Send once; never raises for a fault of the receiver, nor takes longer than allowed.

        Args:
            sink: where to.
            signing: secrets (whsec_...) that sign, the newest first; webhooks only.
            message: what.
        """
        try:
            if isinstance(sink, WebhookSink | AlertmanagerSink | PagerDutySink):
                return await self._post(sink, signing, message)
            return await self._hand_over(sink, message)
        except (LookupError, TypeError, ValueError) as error:
            # An event or a secret of a form that no sink can write: another attempt is no better.
            return Outcome.failed(
                f"it cannot be written for this sink ({type(error).__name__})", Verdict.REJECTED
            )

    async def _post(
        self,
        sink: WebhookSink | AlertmanagerSink | PagerDutySink,
        signing: Sequence[str],
        message: Message,
    ) -> Outcome:
        deadline = self._deadline()
        match sink:
            case WebhookSink():
                return await send_webhook(self.http, sink, signing, message, deadline=deadline)
            case AlertmanagerSink():
                return await send_alerts(self.http, sink, message, deadline=deadline)
            case PagerDutySink():
                return await send_to_pagerduty(self.http, sink, message, deadline=deadline)

    async def _hand_over(
        self, sink: KafkaSink | EmailSink | AppriseSink, message: Message
    ) -> Outcome:
        deadline, gateway = self._deadline(), self.settings.gateway
        match sink:
            case KafkaSink():
                return await self.kafka.send(sink, message, deadline=deadline)
            case EmailSink():
                smtp, timeout_s = self.settings.smtp, gateway.deliver_timeout_s
                return await self.mails.run(
                    lambda: send_mail(smtp, sink, message, timeout_s=timeout_s, tls=self.tls),
                    deadline=deadline,
                )
            case AppriseSink():
                return await self.apprise.run(
                    lambda: send_by_apprise(sink, message), deadline=deadline
                )

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.settings.gateway.deliver_timeout_s
