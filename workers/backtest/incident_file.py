"""The file of a backtest's incidents: documents as the stream publishes them, or a flat table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.wire.incident import IncidentChannel
from schemas.wire.timestamp import format_ns
from workers.backtest.explained import ExplainedIncident
from workers.data.writer import write_table

_LINES = {".json", ".jsonl", ".ndjson"}
_TEXT, _FLOAT, _COUNT = pa.string(), pa.float64(), pa.int64()
COLUMNS = pa.schema(
    [
        *((name, _TEXT) for name in ("id", "kind", "sensor_id")),
        *((name, _TEXT) for name in ("first", "opened", "last", "until", "end", "end_reason")),
        ("duration_s", _FLOAT),
        *((name, _TEXT) for name in ("severity", "seen_by", "raised_by", "held_back_by")),
        ("suppressed", _TEXT),
        *((name, _FLOAT) for name in ("p_value", "peak", "mean", "charge")),
        *((name, _COUNT) for name in ("readings", "flagged")),
        *((name, _TEXT) for name in ("direction", "channel", "unit")),
        *((name, _FLOAT) for name in ("share", "observed", "expected", "band")),
        ("false", pa.bool_()),
    ]
)
"""Of the table. channel is the main one, empty of a drift; false is empty without labels."""


def write_incidents(incidents: Sequence[ExplainedIncident], path: Path) -> None:
    """Write incidents in their last state, in order of time.

    Args:
        incidents: of all sensors.
        path: `.jsonl`, `.ndjson` and `.json` are lines of JSON, each a document of
            `schemas.wire.incident`; `.parquet` and everything else, which is CSV, are a table with
            `COLUMNS`. An existing file is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in _LINES:
        lines = (f"{one.incident.told.model_dump_json()}\n" for one in incidents)
        path.write_text("".join(lines), encoding="utf-8")
    else:
        write_table(path, pa.Table.from_pylist(list(map(_row, incidents)), schema=COLUMNS))


def _row(one: ExplainedIncident) -> dict[str, Any]:
    told = one.incident.told
    same = told.model_dump(
        mode="json",
        include={"id", "kind", "sensor_id", "end_reason", "severity", "p_value", "peak", "mean",
                 "readings", "flagged", "direction", "duration_s", "seen_by", "charge"},
    )  # fmt: skip
    return {
        **same,
        "first": format_ns(told.first_ns),
        "opened": format_ns(told.opened_ns),
        "last": format_ns(told.last_ns),
        "until": format_ns(told.until_ns),
        "raised_by": ", ".join(told.raised_by),
        "held_back_by": ", ".join(told.held_back_by),
        "suppressed": "" if told.suppressed is None else told.suppressed.reason,
        "end": None if told.end_ns is None else format_ns(told.end_ns),
        **(_main(told.channels[0]) if told.channels else {}),
        "false": one.is_false,
    }


def _main(channel: IncidentChannel) -> dict[str, Any]:
    return channel.model_dump(include={"channel", "unit", "share", "observed", "expected", "band"})
