"""Write the description of the interface: `python -m workers.api.export docs/openapi.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from pydantic import SecretStr

from schemas.settings import GatewaySettings, Settings
from workers.api.app import create_app
from workers.gateway.gateway import Gateway

__all__ = ["description"]


def description() -> str:
    """The OpenAPI document as it is written; the same on every machine."""
    with tempfile.TemporaryDirectory() as folder:
        database = SecretStr(f"sqlite:///{folder}/vigie.db")
        settings = Settings(gateway=GatewaySettings(database=database, live="off"))
        with Gateway.open(settings) as gateway:
            document = create_app(gateway).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(description(), encoding="utf-8")
