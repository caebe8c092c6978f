"""Server-sent events whose content is made when the client is ready for it.

Nothing waits in a queue: each event is what changed since the one before, so a slow client gets
fewer and larger ones, and one that takes nothing at all is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["LiveStream"]

_SEND_WITHIN_S: Final = 10.0
_KEEP_ALIVE_S: Final = 15.0
_LASTS_S: Final = 900.0
"""Then the client comes again."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class LiveStream(Response):
    """Ask for news again and again, and send what there is.

    Args:
        news: the text of events; empty is none. Called in another thread.
        every_s: how often it is asked.
        holds: whether the client may still follow, asked at each sign of life; in another thread.
        place: held while it follows.
        ending: ends it once it is set.
        keep_alive_s: how often there is a sign of life, at least.
    """

    def __init__(
        self,
        news: Callable[[], str],
        *,
        every_s: float,
        holds: Callable[[], bool],
        place: AbstractContextManager[None],
        ending: asyncio.Event,
        keep_alive_s: float = _KEEP_ALIVE_S,
    ) -> None:
        super().__init__(headers=_HEADERS, media_type="text/event-stream")
        self._news, self._every_s, self._keep_alive_s = news, every_s, keep_alive_s
        self._holds, self._place, self._ending = holds, place, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves, is too slow, or its time is over."""
        over = [
            asyncio.ensure_future(_until_gone(receive)),
            asyncio.ensure_future(self._ending.wait()),
        ]
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        try:
            with self._place:
                await send(start)
                await self._run(send, over)
        except (TimeoutError, OSError):
            pass  # it takes nothing: it finds its place by Last-Event-ID
        finally:
            for one in over:
                one.cancel()
            await asyncio.gather(*over, return_exceptions=True)
        del scope

    async def _run(self, send: Send, over: Sequence[asyncio.Future[Any]]) -> None:
        clock = asyncio.get_running_loop().time
        ends, last, checked = clock() + _LASTS_S, clock(), clock()
        await _push(send, "retry: 1000\n\n")
        while clock() < ends:
            if clock() - checked >= self._keep_alive_s:
                if not await anyio.to_thread.run_sync(self._holds):
                    break
                checked = clock()
            text = await anyio.to_thread.run_sync(self._news)
            if not text and clock() - last >= self._keep_alive_s:
                text = ": still here\n\n"
            if text:
                await _push(send, text)
                last = clock()
            ended, _ = await asyncio.wait(
                over, timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED
            )
            if ended:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _push(send: Send, text: str) -> None:
    async with asyncio.timeout(_SEND_WITHIN_S):
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
