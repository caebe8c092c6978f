"""The receiver of a run, a process of its own: it notes each request in a file before it answers.

``python -m tests.chaos.gateway.receiver PORT FILE``. The query ``trouble`` of a path is the share
of notifications that it does not take at first: it answers 500 or 429, hangs, closes without a
word, or takes it and closes, so that only it knows. Which, depends on the id alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from random import Random
from typing import IO, Any, Final
from urllib.parse import parse_qs, urlsplit

HANG_S: Final = 4.0
ANSWERS: Final = ("error", "busy", "hang", "close", "take and close", "slow")
TAKEN: Final = frozenset({"take", "take and close", "slow"})
"""What leaves a notification with the receiver."""


class Receiver:
    """Takes notifications."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._seen = Counter[tuple[str, str]]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._request(reader, writer):
                pass
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        target = urlsplit(head[0].split(" ")[1])
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in head)
        }
        body = (await reader.readexactly(int(headers["content-length"]))).decode()
        id_ = headers["webhook-id"]
        trouble = float(parse_qs(target.query).get("trouble", ["0"])[0])
        answer = self._answer(target.path, id_, trouble)
        self._note(target.path, headers, body, answer)
        if answer in {"close", "take and close"}:
            return False
        if answer in {"hang", "slow"}:
            await asyncio.sleep(HANG_S if answer == "hang" else 0.8)
        status = {"error": "500 Broken", "busy": "429 Busy\r\nRetry-After: 1", "hang": "503 Late"}
        line = status.get(answer, "200 OK")
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        return True

    def _answer(self, path: str, id_: str, trouble: float) -> str:
        self._seen[path, id_] += 1
        chance = Random(f"{path} {id_}")
        if self._seen[path, id_] > 1 or chance.random() >= trouble:
            return "take"
        return chance.choice(ANSWERS)

    def _note(self, path: str, headers: dict[str, str], body: str, answer: str) -> None:
        note: dict[str, Any] = {
            "at_ns": time.time_ns(),
            "name": path.strip("/"),
            "id": headers["webhook-id"],
            "timestamp": headers["webhook-timestamp"],
            "signature": headers.get("webhook-signature", ""),
            "body": body,
            "answer": answer,
        }
        self._file.write(json.dumps(note) + "\n")
        self._file.flush()


async def _main(port: int, path: str) -> None:
    with open(path, "a", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - before it begins
        server = await asyncio.start_server(Receiver(file).serve, "127.0.0.1", port)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
