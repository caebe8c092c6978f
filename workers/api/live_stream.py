"""Server-sent events whose content is made when the client is ready for it.

Nothing waits in a queue: each event is what changed since the one before, so a slow client gets
fewer and larger ones, and one that takes nothing at all is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["LiveStream"]

_SEND_WITHIN_S: Final = 10.0
_KEEP_ALIVE_S: Final = 15.0
_LASTS_S: Final = 900.0
"""Then the client comes again, and is asked again who it is."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class LiveStream(Response):
    """Ask for news again and again, and send what there is.

    Args:
        news: the text of events; empty is none. Called in another thread.
        every_s: how often it is asked.
        closed: called at the end, whatever ended it.
    """

    def __init__(
        self, news: Callable[[], str], *, every_s: float, closed: Callable[[], None]
    ) -> None:
        super().__init__(headers=_HEADERS, media_type="text/event-stream")
        self._news, self._every_s, self._closed = news, every_s, closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves, is too slow, or its time is over."""
        gone = asyncio.ensure_future(_until_gone(receive))
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        try:
            await send(start)
            await self._run(send, gone)
        except (TimeoutError, OSError):
            pass  # it takes nothing: it finds its place by Last-Event-ID
        finally:
            gone.cancel()
            self._closed()
        del scope

    async def _run(self, send: Send, gone: asyncio.Future[None]) -> None:
        clock = asyncio.get_running_loop().time
        ends, last = clock() + _LASTS_S, clock()
        await _push(send, "retry: 1000\n\n")
        while not gone.done() and clock() < ends:
            text = await anyio.to_thread.run_sync(self._news)
            if not text and clock() - last >= _KEEP_ALIVE_S:
                text = ": still here\n\n"
            if text:
                await _push(send, text)
                last = clock()
            await asyncio.wait([gone], timeout=self._every_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _push(send: Send, text: str) -> None:
    async with asyncio.timeout(_SEND_WITHIN_S):
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
