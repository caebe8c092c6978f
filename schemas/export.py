"""Write the JSON Schema of every contract: `python -m schemas.export docs/schemas`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from schemas.api.incidents import SilenceSpec
from schemas.api.subscriptions import SubscriptionSpec
from schemas.codec.content_type import (
    ANOMALY_JSON,
    CLOUD_EVENT,
    DENOISED_JSON,
    FRAME_JSON,
    READING_JSON,
)
from schemas.settings import Settings
from schemas.wire.anomaly import Anomaly
from schemas.wire.dead_letter import DeadLetter
from schemas.wire.deed import Deed
from schemas.wire.denoised import DenoisedFrame
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.incident import Incident
from schemas.wire.reading import Frame, Reading
from schemas.wire.sensor_state import SensorState
from schemas.wire.verdict import SensorWishes

DIALECT = "https://json-schema.org/draft/2020-12/schema"

CONTRACTS: dict[str, tuple[type[BaseModel], str | None]] = {
    "reading": (Reading, READING_JSON),
    "frame": (Frame, FRAME_JSON),
    "anomaly": (Anomaly, ANOMALY_JSON),
    "denoised": (DenoisedFrame, DENOISED_JSON),
    "incident": (Incident, None),
    "incident-event": (IncidentEvent, CLOUD_EVENT),
    "deed-event": (DeedEvent, CLOUD_EVENT),
    "dead-letter-headers": (DeadLetter, None),
    "sensor-state": (SensorState, None),
    "verdicts": (SensorWishes, None),
    "deed": (Deed, None),
    "subscription": (SubscriptionSpec, None),
    "silence": (SilenceSpec, None),
    "settings": (Settings, None),
}
"""Model of each contract by file name, and its content type if it is a record's value."""


def documents() -> dict[str, str]:
    """Text of each schema file by file name."""
    texts = {}
    for name, (model, content_type) in CONTRACTS.items():
        head = {"$schema": DIALECT, "$id": f"urn:vigie:schema:{name}:v1"}
        if content_type is not None:
            head["$comment"] = f"content-type: {content_type}"
        schema = model.model_json_schema(by_alias=True)
        texts[f"{name}.json"] = json.dumps(head | schema, indent=2) + "\n"
    return texts


def write(folder: Path) -> list[Path]:
    """Write all schemas into `folder`, which is made if needed; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in documents().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    """Command line: the folder is the only argument."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m schemas.export FOLDER\n")
        return 2
    for path in write(Path(arguments[0])):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
