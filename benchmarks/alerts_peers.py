"""The processes around the gateway in `benchmarks.alerts`: who writes, who receives, who listens.

    python -m benchmarks.alerts_peers writer BOOTSTRAP TOPIC RATE SECONDS FILE
    python -m benchmarks.alerts_peers receiver PORT FILE
    python -m benchmarks.alerts_peers streams URL CLIENTS FILE

Each keeps in memory what it saw, and writes it to its file when it ends: by itself, or by SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from kafka import KafkaProducer

from tests.support.lives import SEVERITIES, event_of, fleet, record_of
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import producer_options

SITES, PER_SITE = 170, 50
HOSTS: Final = tuple(f"127.0.0.{number}" for number in range(1, 65))
"""Addresses of the receivers, all of one process."""
EVERY_S: Final = 0.05
"""Time between two transactions of the writer."""
FOLLOWED: Final = 20
"""Clients of the stream whose every event is timed; of the others the events are counted."""
_ID: Final = re.compile(rb'"id":"([^"]+)"')
_CONNECTING: Final = 50


def write(bootstrap: str, topic: str, rate: float, seconds: float, file: str) -> None:
    """Open incidents at a rate, in transactions; note when each was committed."""
    producer = KafkaProducer(
        **producer_options(Connection(bootstrap=bootstrap)) | {"transactional_id": "bench"}
    )
    producer.init_transactions()
    sensors, rng = fleet(SITES, PER_SITE), Random(1)
    committed: dict[str, int] = {}
    began_s, written = time.monotonic(), 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = int(passed_s * rate) - written
        ids = []
        if due:
            producer.begin_transaction()
            for _ in range(due):
                now_ns = time.time_ns()
                event = event_of(
                    "opened",
                    sensor=rng.choice(sensors),
                    incident=str(UUID(int=rng.getrandbits(128), version=4)),
                    sequence=1,
                    severity=rng.choices(SEVERITIES, (0.5, 0.3, 0.2))[0],
                    opened_ns=now_ns,
                    now_ns=now_ns,
                )
                producer.send(topic, **record_of(event))
                ids.append(event["id"])
            producer.commit_transaction()
            committed |= dict.fromkeys(ids, time.time_ns())
            written += due
        time.sleep(max(EVERY_S - (time.monotonic() - began_s - passed_s), 0.001))
    producer.close()
    Path(file).write_text(json.dumps(committed))


class _Receiver(asyncio.Protocol):
    """Takes what is posted; /hang is never answered, /drip a byte a second."""

    def __init__(self, seen: list[tuple[str, int]]) -> None:
        self._seen, self._buffer = seen, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(_header(head, b"content-length"))
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._seen.append((_header(head, b"webhook-id").decode(), time.time_ns()))
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"post /hang"):
            return
        if head.startswith(b"post /drip"):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            self._drip()
            return
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b".")
            asyncio.get_running_loop().call_later(1.0, self._drip)


def _header(head: bytes, name: bytes) -> bytes:
    begin = head.index(b"\r\n" + name + b":") + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : len(head) if end < 0 else end].strip()


async def receive(port: int, file: str) -> None:
    """Take what is posted until SIGTERM."""
    seen: list[tuple[str, int]] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: _Receiver(seen), HOSTS, port, backlog=512
    )
    await _until_told()
    server.close()
    _keep(file, seen)


class _Listeners:
    """Clients of the stream."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.events = 0
        self.ended = 0

    async def listen(self, host: str, port: int, number: int) -> None:
        """One client, for as long as it is served."""
        reader, writer = await asyncio.open_connection(host, port, limit=2**20)
        writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        try:
            while data := await reader.read(2**18):
                # An event that two reads share is counted with its end.
                self.events += data.count(b"\nevent: incident")
                if number < FOLLOWED:
                    now_ns = time.time_ns()
                    self.seen += [(id_.decode(), now_ns) for id_ in _ID.findall(data)]
        except OSError:
            pass
        self.ended += 1


async def listen(url: str, clients: int, file: str) -> None:
    """Listen with many until SIGTERM."""
    target, listeners = urlsplit(url), _Listeners()
    assert target.hostname is not None
    assert target.port is not None
    tasks = []
    for number in range(clients):
        tasks.append(asyncio.create_task(listeners.listen(target.hostname, target.port, number)))
        if number % _CONNECTING == _CONNECTING - 1:
            await asyncio.sleep(0.2)
    await _until_told()
    _keep(file, {"seen": listeners.seen, "events": listeners.events, "ended": listeners.ended})


def _keep(file: str, seen: object) -> None:
    Path(file).write_text(json.dumps(seen))


async def _until_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await told.wait()


ROLES: Final[dict[str, Callable[..., None]]] = {
    "writer": lambda bootstrap, topic, rate, seconds, file: write(
        bootstrap, topic, float(rate), float(seconds), file
    ),
    "receiver": lambda port, file: asyncio.run(receive(int(port), file)),
    "streams": lambda url, clients, file: asyncio.run(listen(url, int(clients), file)),
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
