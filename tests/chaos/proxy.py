"""A TCP proxy between the clients and the broker, with weather that changes at run time.

It runs an event loop in a thread of its own. Each connection has two pumps, one a direction; a pump
looks at the weather for each chunk, so a change meets open connections at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

HOST: Final = "localhost"
_CHUNK: Final = 64 * 1024
_QUEUED_CHUNKS: Final = 64
_KIND: Final = slice(4, 6)
"""Of a request, behind its length: what kind it is."""
_LOOK_S: Final = 0.02
_PACE_S: Final = 0.05
_START_TIMEOUT_S: Final = 10.0


class Passage(StrEnum):
    """What becomes of bytes on their way."""

    OPEN = "open"
    """They pass."""
    HELD = "held"
    """They wait until the weather changes, as behind a network that has parted."""
    SWALLOWED = "swallowed"
    """They are lost. The connection is torn when the weather changes: its bytes have a hole."""
    LATE = "late"
    """To the broker only. A connection that was open when the weather came is cut off from its
    client with its next request, and the broker gets that request when the weather changes: what
    becomes of a request whose first copy is still under way while the client repeats it on a new
    connection. New connections pass."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What the proxy does to bytes.

    Attributes:
        up: of the bytes to the broker.
        down: of the bytes to the clients; swallowed answers are the commits that happened and
            that nobody heard of.
        latency_s: each chunk comes so much later; the throughput stays.
        bytes_per_s: of each connection and direction; 0 is no limit.
        slice_bytes: chunks are cut into pieces of so many bytes; 0 leaves them whole.
        close_s: the end of one side reaches the other so much later.
        late_requests: the kinds of request, by the protocol's numbers, that can be late; none named
            is every kind.
    """

    up: Passage = Passage.OPEN
    down: Passage = Passage.OPEN
    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    slice_bytes: int = 0
    close_s: float = 0.0
    late_requests: tuple[int, ...] = ()


FAIR: Final = Weather()


@dataclass(eq=False)
class _Link:
    """One connection: both its ends, and what became of its bytes.

    Attributes:
        born: how often it had begun to be late when the connection was made.
        torn: some bytes are lost.
        late: its client is cut off, and the broker is still to get what it said last.
    """

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    born: int
    torn: bool = False
    late: bool = False
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        """End both sides as a crash of the network would: RST, nothing more is delivered."""
        _reset(self.client)
        _reset(self.broker)

    def cut_off_client(self) -> None:
        """End the client's side alone."""
        self.late = True
        _reset(self.client)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """Passes connections on from `port`; made by `open_proxy`."""

    def __init__(self, target_port: int, target_host: str) -> None:
        self.port = 0
        self.weather = FAIR
        self.connections = 0
        self.late_requests = 0
        """Bytes that were held for being late, so often."""
        self.late_answers = 0
        """How often the broker answered such bytes; nobody hears it."""
        self._begun_late = 0
        self._target = (target_host, target_port)
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    def set_weather(self, weather: Weather) -> None:
        """Change the weather; connections that lost bytes in the old one are torn."""
        if weather.up is Passage.LATE and self.weather.up is not Passage.LATE:
            self._begun_late += 1
        self.weather = weather
        self._loop.call_soon_threadsafe(self._tear)

    def cut(self) -> None:
        """Reset every open connection; new ones may come at once."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def serve(self) -> None:
        """Run until `end`; the body of the proxy's thread."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    def wait_ready(self) -> None:
        """Return when it listens."""
        if not self._ready.wait(_START_TIMEOUT_S):
            raise RuntimeError("the proxy did not come up")

    def end(self) -> None:
        """Reset everything and stop."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._accept, HOST, 0, family=socket.AF_INET)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        links = list(self._links)
        self._reset_all()
        await asyncio.gather(*(pump for link in links for pump in link.pumps))

    async def _accept(
        self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        try:
            broker_reader, broker = await asyncio.open_connection(
                *self._target, family=socket.AF_INET
            )
        except OSError:  # the broker is down: so is the way to it
            client.transport.abort()
            return
        link = _Link(client, broker, born=self._begun_late)
        self._links.add(link)
        link.pumps = [
            asyncio.ensure_future(self._pump(link, client_reader, broker, "up")),
            asyncio.ensure_future(self._pump(link, broker_reader, client, "down")),
        ]
        await asyncio.gather(*link.pumps)
        self._links.discard(link)
        link.reset()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        """Read at once, deliver when the weather lets it; two tasks, so that latency adds up."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)
        delivery = asyncio.ensure_future(self._deliver(link, queue, writer, way))
        try:
            while chunk := await reader.read(_CHUNK):
                await queue.put((self._loop.time() + self.weather.latency_s, chunk))
            await asyncio.sleep(self.weather.close_s)
        except OSError:  # reset by somebody
            pass
        await queue.put((0.0, b""))
        await delivery

    async def _deliver(
        self,
        link: _Link,
        queue: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        way: str,
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, chunk = await queue.get()
                if not chunk:
                    break
                await asyncio.sleep(max(due_s - self._loop.time(), 0.0))
                if way == "up" and self._is_late(link, chunk):
                    self.late_requests += 1
                    link.cut_off_client()
                if await self._may_pass(link, way):
                    await self._write(writer, chunk)
            if writer.can_write_eof() and not writer.transport.is_closing():
                writer.write_eof()
            return
        link.reset()
        while (await queue.get())[1]:  # nobody reads it any more, and the reader must not block
            pass

    def _is_late(self, link: _Link, chunk: bytes) -> bool:
        """Whether the request at the beginning of a chunk shall reach the broker late."""
        weather = self.weather
        if weather.up is not Passage.LATE or link.late or link.born >= self._begun_late:
            return False
        kind = int.from_bytes(chunk[_KIND])
        return not weather.late_requests or kind in weather.late_requests

    async def _may_pass(self, link: _Link, way: str) -> bool:
        if link.late and way == "down":
            self.late_answers += 1
            return False
        while (passage := getattr(self.weather, way)) is Passage.HELD or (
            link.late and passage is Passage.LATE
        ):
            if link.client.transport.is_closing() and not link.late:
                return False
            await asyncio.sleep(_LOOK_S)
        if passage is Passage.SWALLOWED:
            link.torn = True
        return not link.torn

    async def _write(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        weather = self.weather
        size = len(chunk)
        if weather.bytes_per_s:
            size = max(int(weather.bytes_per_s * _PACE_S), 1)
        if weather.slice_bytes:
            size = min(size, weather.slice_bytes)
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            if weather.bytes_per_s:
                await asyncio.sleep(len(piece) / weather.bytes_per_s)
            else:
                await asyncio.sleep(0)  # a packet each, as far as we can ask for it
            writer.write(piece)
            await writer.drain()

    def _tear(self) -> None:
        for link in [link for link in self._links if link.torn]:
            link.reset()

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()


@contextmanager
def open_proxy(target_port: int, target_host: str = HOST) -> Iterator[Proxy]:
    """A proxy to a port, of this machine unless said otherwise, until the block ends."""
    proxy = Proxy(target_port, target_host)
    thread = threading.Thread(target=proxy.serve, name="chaos-proxy", daemon=True)
    thread.start()
    proxy.wait_ready()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(timeout=10)
