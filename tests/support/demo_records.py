"""Records as the demo's topics hold them, and books to enter them into."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from schemas.wire.anomaly import Anomaly, ModelRef, Severity, Source, anomaly_id
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.verdict import Wish
from workers.demo.ledger import Ledger
from workers.plant.faults import Fault, FaultKind

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
INTERVAL_NS = 20 * MS
KEPT_ROWS = 500
PUMPS = ("pump-1", "pump-2")


def make_ledger() -> Ledger:
    return Ledger(
        machines=PUMPS,
        channels=("flow",),
        start_ns=START_NS,
        interval_ns=INTERVAL_NS,
        kept_rows=KEPT_ROWS,
    )


def make_anomaly(pump: str, row: int, *, incident: UUID | None = None) -> Anomaly:
    return Anomaly.model_validate(
        {
            "id": anomaly_id("readings", 0, row, 0),
            "sensor_id": pump,
            "ts": START_NS + row * INTERVAL_NS,
            "score": 2.0,
            "threshold": 1.0,
            "raw_score": 2.0,
            "p_value": 0.01,
            "severity": Severity.MEDIUM,
            "observed": {"flow": 1.0},
            "expected": {"flow": 0.0},
            "contribution": {"flow": 1.0},
            "model": ModelRef(name="m", version="1"),
            "group": "pooled",
            "group_kind": "pooled",
            "source": Source(topic="readings", partition=0, offset=row),
            "incident": incident,
        }
    )


def make_incident(
    pump: str, row: int, end_row: int | None = None, *, number: int = 1, **data: Any
) -> IncidentEvent:
    """What happened to the incident that opened at a row; it is over if it has an end."""
    ts_ns = START_NS + row * INTERVAL_NS
    end_ns = None if end_row is None else START_NS + end_row * INTERVAL_NS
    incident = anomaly_id(f"readings-{pump}", 0, row, 0)
    channel = {"channel": "flow", "unit": "m³/h", "share": 1.0, "observed": 92.0, "band": 1.5}
    known = {
        "id": incident,
        "sensor_id": pump,
        "first": ts_ns,
        "opened": ts_ns,
        "last": ts_ns,
        "until": ts_ns,
        "end": end_ns,
        "end_reason": None if end_row is None else "recovered",
        "duration_s": 0.0,
        "readings": 1,
        "flagged": 1,
        "peak": 2.0,
        "mean": 2.0,
        "p_value": 1e-6,
        "severity": "high",
        "direction": "high",
        "seen_by": "long",
        "channels": [channel | {"expected": 81.25, "direction": "high"}],
        "charge": 1.5,
        "model": {"name": "m", "version": "1"},
        "calibration": "1",
        "group": "pooled",
        "group_kind": "pooled",
        "source": {"topic": "r", "partition": 0, "first_offset": row, "last_offset": row},
    }
    what = "resolved" if end_row is not None else "opened" if number == 1 else "updated"
    return IncidentEvent.model_validate(
        {
            "id": f"{incident}-{number}",
            "source": "/vigie/demo",
            "type": f"incident.{what}",
            "subject": pump,
            "time": "2026-01-01T00:00:00Z",
            "partitionkey": pump,
            "sequence": f"{number:010d}",
            "data": known | data,
        }
    )


def make_deed(pump: str, wish: Wish) -> DeedEvent:
    return DeedEvent.model_validate(
        {
            "id": f"{wish.id}-heeded",
            "source": "/vigie/demo",
            "type": "wish.heeded",
            "subject": pump,
            "time": "2026-01-01T00:00:00Z",
            "partitionkey": pump,
            "data": {"sensor": pump, "wish": wish},
        }
    )


def make_fault(start: int, end: int, *, machine: int = 0) -> Fault:
    return Fault(
        machine=machine,
        kind=FaultKind.LEVEL_SHIFT,
        channels=("flow",),
        start_row=start,
        end_row=end,
        magnitude=10.0,
    )
