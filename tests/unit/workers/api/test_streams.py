"""Places of streams, and what a stream of the page does while it goes on."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.types import Message

from workers.api.live_stream import LiveStream
from workers.api.problems import ProblemError
from workers.api.streams import MOST_OF_ONE, StreamPlaces
from workers.gateway.principals import ANYONE, Principal, Scope

ANN = Principal(name="ann", id="token:1", scopes=frozenset({Scope.READ}))
BOB = Principal(name="bob", id="token:2", scopes=frozenset({Scope.READ}))


def test_one_token_cannot_take_the_places_of_all_others():
    places = StreamPlaces(100)
    with ExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            places.check(ANN)
            stack.enter_context(places.held(ANN))
        with pytest.raises(ProblemError) as caught:
            places.check(ANN)
        assert caught.value.status_code == 429
        places.check(BOB)
    places.check(ANN)


def test_where_nobody_is_asked_only_the_number_of_all_counts():
    places = StreamPlaces(MOST_OF_ONE + 5)
    with ExitStack() as stack:
        for _ in range(MOST_OF_ONE + 5):
            places.check(ANYONE)
            stack.enter_context(places.held(ANYONE))
        with pytest.raises(ProblemError) as caught:
            places.check(BOB)
        assert caught.value.status_code == 503


class Follower:
    """One who follows the page's stream."""

    def __init__(self) -> None:
        self.places = StreamPlaces(1)
        self.ending = asyncio.Event()
        self.heard = asyncio.Event()
        self.is_good = True
        self.text = ""
        self.is_complete = False
        self.stream = LiveStream(
            lambda: "data: news\n\n",
            every_s=0.01,
            holds=lambda: self.is_good,
            place=self.places.held(ANN),
            ending=self.ending,
            keep_alive_s=0.02,
        )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.text += message["body"].decode()
            self.is_complete = not message["more_body"]
            self.heard.set()

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def begun(self) -> asyncio.Task[None]:
        running = asyncio.create_task(self.stream({}, self.receive, self.send))
        while "news" not in self.text:
            self.heard.clear()
            await self.heard.wait()
        return running


@pytest.mark.parametrize("why", ["revoked", "ending"])
def test_a_stream_of_the_page_ends_with_its_token_and_with_the_server(why: str):
    async def follow() -> Follower:
        async with asyncio.timeout(20):
            one = Follower()
            running = await one.begun()
            with pytest.raises(ProblemError):
                one.places.check(BOB)
            if why == "revoked":
                one.is_good = False
            else:
                one.ending.set()
            await running
            return one

    one = asyncio.run(follow())
    assert one.is_complete
    one.places.check(BOB)  # its place is free again
