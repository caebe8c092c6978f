"""`vigie serve` for the demo: in a process of its own, so that what is measured is not its work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.settings import Settings
from workers.broker.guarded import guarded
from workers.broker.ports import free_port
from workers.gateway.principals import Principal, Scope
from workers.gateway.store import tokens
from workers.gateway.store.database import open_database

HOST: Final = "127.0.0.1"
_DEMO: Final = Principal(name="the demo", scopes=frozenset({Scope.ADMIN}), id="demo")


@dataclass(frozen=True, kw_only=True)
class ServeProcess:
    """The process and how to reach it."""

    url: str  # of the page
    token: str
    process: subprocess.Popen[bytes]

    @property
    def login_url(self) -> str:
        """The page, with what logs in to it: a browser sends the fragment to nobody."""
        return f"{self.url}/#token={self.token}"

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None


@contextmanager
def serve_process(settings: Settings, folder: Path, *, pipeline: str) -> Iterator[ServeProcess]:
    """Run `vigie serve` on a free port of this machine, with a database that knows nothing yet.

    It may not answer yet, or have ended at once: see `is_alive`.

    Args:
        settings: of the pipeline.
        folder: for the database and the settings; those of the last time are removed.
        pipeline: address of the metrics of the pipeline.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "gateway.db"
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
    port, address = free_port(), f"sqlite:///{database}"
    token = _token(address)
    config = folder / "serve.toml"
    content = serve_settings(settings, database=address, port=port, pipeline=pipeline)
    config.write_text(content, encoding="utf-8")
    command = [sys.executable, "-P", "-m", "workers.cli.main", "serve", "--config", str(config)]
    with guarded(command) as process:
        yield ServeProcess(url=f"http://{HOST}:{port}", token=token, process=process)


def _token(database: str) -> str:
    """One that may look and act; made before anybody listens, so that nobody needs none."""
    with open_database(database) as opened:
        opened.migrate()
        with opened.begin() as connection:
            _, token = tokens.create(
                connection,
                _DEMO,
                name="visitor of the demo",
                scopes=[Scope.OPERATE],
                tenant="",
                now_ns=time.time_ns(),
                expires_ns=None,
            )
    return token


def serve_settings(settings: Settings, *, database: str, port: int, pipeline: str) -> str:
    """A settings file for it, of those of the pipeline."""
    model = settings.model.path
    sections: dict[str, Mapping[str, Any]] = {
        "kafka": {"bootstrap": settings.kafka.bootstrap, "group": settings.kafka.group},
        "model": {} if model is None else {"path": str(model.absolute())},
        "gateway": {
            "database": database,
            "host": HOST,
            "port": port,
            "url": f"http://{HOST}:{port}",
            "pipeline": pipeline,
            # The receiver of the demo is on this machine, where webhooks may not go otherwise.
            "allow_targets": ["127.0.0.0/8"],
        },
        "log": {"level": settings.log.level, "format": settings.log.format},
    }
    lines = ["# The settings of the demo's gateway; written anew by every `vigie demo`."]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    # What is written here is the same in JSON and TOML, except that TOML has no DEL in a string.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
