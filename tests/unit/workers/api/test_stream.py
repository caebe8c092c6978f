"""`/v1/stream`: nothing missed, nothing twice, wherever a client was cut off."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests.support.api import opened_gateway
from workers.api.routes.stream import EventStream
from workers.gateway import fan
from workers.gateway.fan import EventFan, Listener, Told
from workers.gateway.gateway import Gateway
from workers.gateway.principals import ANYONE, Principal, Scope
from workers.gateway.store import events

BLUE = Principal(name="blue", id="blue", scopes=frozenset({Scope.READ}), tenant="blue")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with opened_gateway(tmp_path) as found:
        yield found


@contextmanager
def new_gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory() as folder, opened_gateway(Path(folder)) as found:
        yield found


def happens(gateway: Gateway, number: int, *, tenant: str = "") -> None:
    """So many events, in one transaction."""
    made = [
        events.made_here("incident.opened", subject=f"pump-{one}", data={}, at_ns=one)
        for one in range(number)
    ]
    with gateway.database.begin() as connection:
        happened = [events.Happened(document=one, tenant=tenant) for one in made]
        events.append(connection, happened, now_ns=1)
    gateway.signal.notify()


@asynccontextmanager
async def fanning(gateway: Gateway) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    running = asyncio.create_task(gateway.fan.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        gateway.signal.notify()
        await running


class Client:
    """One who listens, and counts."""

    def __init__(
        self,
        gateway: Gateway,
        since: int | None,
        principal: Principal = ANYONE,
        *,
        keep_alive_s: float = 15.0,
    ) -> None:
        self.is_good = True
        self.heard = asyncio.Event()
        self.left = asyncio.Event()
        self.chunks: list[str] = []
        self._stream = EventStream(
            gateway, principal, since, frozenset(), holds=self.holds, place=nullcontext(),
            keep_alive_s=keep_alive_s,
        )  # fmt: skip

    def holds(self) -> bool:
        return self.is_good

    async def listen(self) -> None:
        """Until the other side ends it."""
        await self._stream({}, self.receive, self.send)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.chunks.append(message["body"].decode())
            self.heard.set()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def until(self, number: int) -> list[tuple[str, int]]:
        """Listen until so many events came, then leave."""
        running = asyncio.create_task(self._stream({}, self.receive, self.send))
        async with asyncio.timeout(20):
            while len(self.events) < number:
                self.heard.clear()
                await self.heard.wait()
        self.left.set()
        await running
        return self.events[:number]

    @property
    def events(self) -> list[tuple[str, int]]:
        """Type and number of each."""
        found = []
        for event in "".join(self.chunks).split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            if "event" in lines:
                found.append((lines["event"], int(lines["id"])))
        return found


@settings(max_examples=12, deadline=None)
@given(
    before=st.lists(st.integers(1, 3), max_size=3),
    during=st.lists(st.integers(1, 3), max_size=3),
    cuts=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_a_client_that_is_cut_off_anywhere_gets_every_event_once(
    before: list[int], during: list[int], cuts: list[int]
):
    total = sum(before) + sum(during)

    async def listen(gateway: Gateway) -> list[tuple[str, int]]:
        got: list[tuple[str, int]] = []
        async with fanning(gateway):

            async def write() -> None:
                for number in during:
                    await asyncio.to_thread(happens, gateway, number)

            writing = asyncio.create_task(write())
            for cut in cuts:
                want = min(cut, total - len(got))
                got += await Client(gateway, got[-1][1] if got else 0).until(want)
            await writing
            got += await Client(gateway, got[-1][1] if got else 0).until(total - len(got))
        return got

    with new_gateway() as gateway:
        for number in before:
            happens(gateway, number)
        got = asyncio.run(listen(gateway))

    assert got == [("incident.opened", number) for number in range(1, total + 1)]


def test_without_a_number_a_client_hears_what_comes_from_now_on(gateway: Gateway):
    happens(gateway, 3)

    async def listen() -> list[tuple[str, int]]:
        async with fanning(gateway):
            client = Client(gateway, None)
            listening = asyncio.create_task(client.until(2))
            while not client.chunks:
                await client.heard.wait()
            await asyncio.to_thread(happens, gateway, 2)
            return await listening

    assert [number for _, number in asyncio.run(listen())] == [4, 5]


@pytest.mark.parametrize("since", [0, 1, 99])
def test_a_number_that_is_not_kept_any_more_or_never_was_resets(gateway: Gateway, since: int):
    happens(gateway, 3)
    with gateway.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq < 3")

    async def listen() -> list[tuple[str, int]]:
        async with fanning(gateway):
            return await Client(gateway, since).until(1)

    assert asyncio.run(listen()) == [("reset", 3)]


def test_a_number_at_the_edge_of_what_is_kept_does_not_reset(gateway: Gateway):
    happens(gateway, 3)
    with gateway.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq < 3")

    async def listen() -> list[tuple[str, int]]:
        async with fanning(gateway):
            return await Client(gateway, 2).until(1)

    assert asyncio.run(listen()) == [("incident.opened", 3)]


def test_a_tenant_hears_of_its_own_events_alone(gateway: Gateway):
    happens(gateway, 1, tenant="red")
    happens(gateway, 1, tenant="blue")
    happens(gateway, 1)
    happens(gateway, 1, tenant="blue")

    async def listen() -> list[tuple[str, int]]:
        async with fanning(gateway):
            return await Client(gateway, 0, BLUE).until(2)

    assert [number for _, number in asyncio.run(listen())] == [2, 4]


def test_a_client_whose_token_is_revoked_hears_no_more_however_much_happens(gateway: Gateway):
    async def listen() -> tuple[int, int]:
        async with fanning(gateway), asyncio.timeout(20):
            client = Client(gateway, 0, keep_alive_s=0.05)
            listening = asyncio.create_task(client.listen())
            while "still here" not in "".join(client.chunks):
                client.heard.clear()
                await client.heard.wait()
            client.is_good = False
            while not listening.done():
                await asyncio.to_thread(happens, gateway, 1)
            heard = len(client.events)
            await asyncio.to_thread(happens, gateway, 1)
            return heard, len(client.events)

    heard, later = asyncio.run(listen())
    assert heard == later


def test_a_client_hears_that_it_may_still_listen_while_its_token_holds(gateway: Gateway):
    async def listen() -> bool:
        async with fanning(gateway), asyncio.timeout(20):
            client = Client(gateway, None, keep_alive_s=0.02)
            listening = asyncio.create_task(client.listen())
            while "".join(client.chunks).count("still here") < 5:
                client.heard.clear()
                await client.heard.wait()
            client.left.set()
            await listening
            return True

    assert asyncio.run(listen())


def test_when_the_gateway_ends_its_clients_go_and_none_is_let_in(gateway: Gateway):
    async def listen() -> int:
        async with fanning(gateway), asyncio.timeout(20):
            before, after = Client(gateway, 0), Client(gateway, 0)
            listening = asyncio.create_task(before.listen())
            while not before.chunks:
                await before.heard.wait()
            gateway.fan.end()
            await listening
            await after.listen()
            return gateway.fan.listeners

    assert asyncio.run(listen()) == 0


def test_who_does_not_keep_up_is_dropped_and_the_others_are_not():
    async def tell() -> tuple[Listener, Listener]:
        slow, quick = Listener(), Listener()
        event = events.StoredEvent(
            seq=1, type="x", subject="x", incident_id=None, tenant="", text="{}"
        )
        for _ in range(fan.BACKLOG + 1):
            slow.tell([Told.of(event)])
            quick.tell([Told.of(event)])
            assert len(await quick.next(1.0)) == 1
        assert not await slow.next(1.0)
        return slow, quick

    slow, quick = asyncio.run(tell())
    assert slow.is_dropped
    assert not quick.is_dropped


def test_a_fan_that_ends_lets_its_listeners_go(gateway: Gateway):
    async def listen() -> bool:
        one = EventFan(gateway.database, gateway.signal)
        stopping = asyncio.Event()
        running = asyncio.create_task(one.run(stopping))
        with one.listening() as listener:
            stopping.set()
            gateway.signal.notify()
            await running
            await listener.next(1.0)
            return listener.is_dropped

    assert asyncio.run(listen())
