"""`/v1/stream`: all that happens, as server-sent events.

The id of an event is its number in the order of the commits. Who comes again with `Last-Event-ID`
gets all that it missed; if that is not kept any more, `event: reset` says so: read the lists anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from schemas.api.subscriptions import EventType
from workers.api.auth import Principal, Reader, still_holds
from workers.api.problems import RESPONSES
from workers.api.streams import StreamPlaces
from workers.gateway.fan import Listener, Told
from workers.gateway.gateway import Gateway
from workers.gateway.store import events

router = APIRouter(tags=["stream"], responses=RESPONSES)

_SEND_WITHIN_S: Final = 10.0
_KEEP_ALIVE_S: Final = 15.0
_LASTS_S: Final = 900.0
"""Then the client comes again."""
_MAX_ID: Final = 2**63 - 1


@router.get(
    "/v1/stream",
    operation_id="stream",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: id, event (the type), data (the CloudEvent).",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": "id: 42\nevent: incident.opened\ndata: {...}\n\n",
                }
            },
        }
    },
)
async def stream(
    request: Request,
    principal: Reader,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=32, pattern="^[0-9]+$")
    ] = None,
    after: Annotated[
        int | None, Query(ge=0, le=_MAX_ID, description="As Last-Event-ID, for who cannot set it.")
    ] = None,
    types: Annotated[
        list[EventType], Query(alias="type", description="Of these types alone; repeat it.")
    ] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """All that happens, as it happens; see the module."""
    gateway: Gateway = request.app.state.gateway
    places: StreamPlaces = request.app.state.streams
    places.check(principal)
    since = after if last_event_id is None else min(int(last_event_id), _MAX_ID)
    return EventStream(
        gateway,
        principal,
        since,
        frozenset(types),
        holds=still_holds(request),
        place=places.held(principal),
    )


class EventStream(Response):
    """The events that one client may see, from a number on."""

    def __init__(
        self,
        gateway: Gateway,
        principal: Principal,
        since: int | None,
        types: frozenset[EventType],
        *,
        holds: Callable[[], bool],
        place: AbstractContextManager[None],
        keep_alive_s: float = _KEEP_ALIVE_S,
    ) -> None:
        """Of a client.

        Args:
            gateway: what happens there.
            principal: who listens.
            since: number of the event to go on behind; None is from now on.
            types: of these alone; empty is all.
            holds: whether the client may still listen, asked at each sign of life; it may block.
            place: held while it listens.
            keep_alive_s: how often there is a sign of life, at least.
        """
        super().__init__(
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )
        self._gateway, self._principal = gateway, principal
        self._since, self._types = since, types
        self._holds, self._place, self._keep_alive_s = holds, place, keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send until the client leaves, is too slow, or its time is over."""
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        gone = asyncio.ensure_future(_until_gone(receive))
        with self._place, self._gateway.fan.listening() as listener:
            sending = asyncio.ensure_future(self._send(send, start, listener))
            await asyncio.wait([gone, sending], return_when=asyncio.FIRST_COMPLETED)
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)

    async def _send(self, send: Send, start: dict[str, Any], listener: Listener) -> None:
        await send(start)
        async for text in self._texts(listener):
            async with asyncio.timeout(_SEND_WITHIN_S):
                await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self, listener: Listener) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        ends = clock() + _LASTS_S
        first, last = await asyncio.to_thread(self._bounds)
        seq = last if self._since is None else self._since
        yield b"retry: 2000\n\n"
        if not first <= seq <= last:
            seq = last
            yield f"id: {last}\nevent: reset\ndata: {{}}\n\n".encode()
        while missed := await asyncio.to_thread(self._missed, seq):
            if text := self._text(missed):
                yield text
            seq = missed[-1].event.seq
        check_at = clock() + self._keep_alive_s
        while not listener.is_dropped and clock() < ends:
            told = await listener.next(max(min(check_at, ends) - clock(), 0.0))
            if clock() >= check_at:
                if not await asyncio.to_thread(self._holds):
                    return
                check_at = clock() + self._keep_alive_s
            new = [one for one in told if one.event.seq > seq]
            if new:
                seq = new[-1].event.seq
            if not told:
                yield b": still here\n\n"
            elif text := self._text(new):
                yield text

    def _text(self, told: Sequence[Told]) -> bytes:
        """What is shown of these events."""
        return b"".join(one.text for one in told if self._is_shown(one))

    def _is_shown(self, told: Told) -> bool:
        event, tenant = told.event, self._principal.tenant
        return (not tenant or event.tenant == tenant) and (
            not self._types or event.type in self._types
        )

    def _bounds(self) -> tuple[int, int]:
        with self._gateway.database.read() as connection:
            return events.bounds(connection)

    def _missed(self, seq: int) -> list[Told]:
        with self._gateway.database.read() as connection:
            return [Told.of(one) for one in events.read_after(connection, seq)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
