"""The demo's gateway from end to end: served, subscribed to, followed; in a thread of its own.

Nothing that goes wrong here ends the show: it is told at the end.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from schemas.api.subscriptions import DeliveryState
from schemas.settings import Settings
from workers.api.gateway_client import GatewayClient
from workers.api.server import MAX_CONNECTIONS, Endpoint, application_of
from workers.api.serving import HttpServer, address_of, listening, serving_in_thread
from workers.demo.ledger import Ledger
from workers.demo.receiver import Receiver, open_receiver
from workers.demo.serve_process import HOST, ServeProcess, serve_process
from workers.demo.told import Told
from workers.demo.webhooks import TOLD, Seen, reconcile
from workers.errors import VigieError
from workers.supervision.supervisor import Supervisor

_READY_WITHIN_S: Final = 60.0
_ATTEMPTS: Final = 2
_LOOK_EVERY_S: Final = 0.1
_ASK_EVERY_S: Final = 0.5


class _OverError(Exception):
    """The show is."""


class DemoGateway(threading.Thread):
    """Starts the gateway, subscribes the receiver, then follows what the page is told.

    Attributes:
        settled: set once all that is done, or cannot be done.
        page: address of the page, with what logs in to it; empty while there is none.
        problem: why there is no gateway; empty otherwise.
        receiver: of the webhooks.
    """

    def __init__(
        self, open_process: Callable[[], AbstractContextManager[ServeProcess]], receiver: Receiver
    ) -> None:
        """Note what to do; `start` begins."""
        super().__init__(name="demo-gateway", daemon=True)
        self.settled, self._stopping = threading.Event(), threading.Event()
        self.page, self.problem = "", ""
        self.receiver = receiver
        self._open_process = open_process
        self._stack = ExitStack()
        self._served: ServeProcess | None = None
        self._client: GatewayClient | None = None
        self._deliveries = ""
        self._seen: dict[str, Seen] = {}

    def run(self) -> None:
        """Do it all, until `stop`."""
        try:
            served = self._start()
            with GatewayClient.open(served.url, served.token) as client:
                self._subscribe(client)
                self._served, self._client, self.page = served, client, served.login_url
                self.settled.set()
                self._follow(client)
        except Exception as error:  # noqa: BLE001 - the summary tells it
            self.problem = str(error) or repr(error)
            self._stack.close()
        finally:
            self.settled.set()

    @property
    def webhooks(self) -> tuple[int, int] | None:
        """How many came, and how many of them with a valid signature; None without a gateway."""
        if not self.page:
            return None
        return len(self.receiver.came), self.receiver.valid

    def dismiss(self) -> None:
        """Have the gateway end, without waiting for it."""
        self._stopping.set()
        if self._served is not None:
            self._served.process.terminate()

    def stop(self) -> None:
        """End the gateway, and wait for it."""
        self._stopping.set()
        self.settled.wait()
        self._stack.close()
        self.join()

    def settle(self, ledger: Ledger, *, within_s: float) -> Told:
        """Wait until all came that is due by the complete ledger, then say what came of it."""
        if self._served is None or self._client is None:
            return Told(page=None, webhooks=None, problem=self.problem or "it was not started")
        deadline = time.monotonic() + within_s
        held_back: set[str] = set()
        while True:
            webhooks = reconcile(
                ledger.incident_events,
                list(self.receiver.came),
                self._seen.copy(),
                held_back=held_back,
            )
            if webhooks.balanced or time.monotonic() > deadline:
                break
            time.sleep(_ASK_EVERY_S)
            held_back |= self._held_back(self._client)
        problem = "" if self._served.is_alive else "it ended early"
        return Told(page=self._served.url, webhooks=webhooks, problem=problem)

    def _start(self) -> ServeProcess:
        """One that takes incidents in."""
        for _ in range(_ATTEMPTS):  # another program may be faster at its port, but hardly twice
            served = self._stack.enter_context(self._open_process())
            if self._becomes_ready(served):
                return served
            self._stack.close()
        raise VigieError("vigie serve ended at once")

    def _becomes_ready(self, served: ServeProcess) -> bool:
        """Wait for it; false if it has ended."""
        deadline = time.monotonic() + _READY_WITHIN_S
        with GatewayClient.open(served.url) as client:
            while served.is_alive:
                with suppress(VigieError):
                    client.get("/readyz")
                    return True
                if time.monotonic() > deadline or self._stopping.wait(_LOOK_EVERY_S):
                    raise VigieError(f"it was not ready within {_READY_WITHIN_S:g} s")
        return False

    def _subscribe(self, client: GatewayClient) -> None:
        made = client.send(
            "POST",
            "/v1/subscriptions",
            {
                "name": "receiver of the demo",
                "types": TOLD,
                "sink": {"kind": "webhook", "url": self.receiver.url},
                "suppressed": True,
            },
        )
        self.receiver.trust(made["secret"])
        self._deliveries = f"/v1/subscriptions/{made['id']}/deliveries"

    def _follow(self, client: GatewayClient) -> None:
        """Note when the page's stream tells of what; it is had again where it was cut."""
        with suppress(_OverError, VigieError):  # what is missing then does not add up
            stream = client.follow(
                {"type": list(TOLD)}, after="0", lost=lambda _: None, sleep=self._pause
            )
            for one in stream:
                at_ns, event = time.time_ns(), json.loads(one.text)
                incident = str((event.get("data") or {}).get("id", ""))
                self._seen.setdefault(
                    event.get("id", ""), Seen(event.get("source", ""), incident, at_ns)
                )

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _OverError

    def _held_back(self, client: GatewayClient) -> set[str]:
        """Incidents that were not to be told, as a silence of somebody on the page covered them."""
        found: set[str] = set()
        for state in (DeliveryState.MUTED, DeliveryState.DROPPED):
            with suppress(VigieError):  # then what is missing stays missing
                listed = client.entries(self._deliveries, {"state": state.value}, most=None)
                found |= {str(one["incident"]) for one in listed}
        return found


@contextmanager
def gateway_of(
    settings: Settings, folder: Path
) -> Iterator[tuple[DemoGateway, Callable[[Supervisor], AbstractContextManager[None]]]]:
    """Run the demo's gateway for the time of the block.

    Args:
        settings: of the pipeline, whose topics are there.
        folder: for the database.

    Yields:
        The gateway, which has begun to start, and what serves the pipeline's account to it: see
        `run_pipeline`.
    """
    bound = listening(HOST, 0)  # now, so that its port is known before the pipeline runs
    pipeline = address_of(bound, HOST)

    def serve(supervisor: Supervisor) -> AbstractContextManager[None]:
        server = HttpServer(application_of(Endpoint(supervisor)), most_connections=MAX_CONNECTIONS)
        return serving_in_thread(server, bound, name="demo-metrics")

    with bound, open_receiver() as receiver:
        gateway = DemoGateway(lambda: serve_process(settings, folder, pipeline=pipeline), receiver)
        gateway.start()
        try:
            yield gateway, serve
        finally:
            gateway.stop()
