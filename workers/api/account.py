"""The account and the budget: where every reading went, and how many alarms that made.

From the `/status` of `vigie run`, if its address is known, and from the incidents in the database.
What is not known is said, never guessed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from workers.api.client import ask_status
from workers.errors import VigieError
from workers.gateway.store.tables import incidents

__all__ = ["WEEK_NS", "PipelineStatus", "budget_account", "model_account", "sensor_budgets"]

WEEK_NS: Final = 7 * 86_400 * 10**9
_KEEP_S: Final = 1.0
_MAX_MODEL_BYTES: Final = 16 * 2**20


class PipelineStatus:
    """The status of the pipeline, asked at most once a second whoever wants to see it."""

    def __init__(self, url: str, ask: Callable[[str], Mapping[str, Any]] = ask_status) -> None:
        self._url, self._ask = url, ask
        self._lock = threading.Lock()
        self._at_s = float("-inf")
        self._found: dict[str, Any] = {}

    def account(self) -> dict[str, Any]:
        """What the pipeline says: `said` in words, and the rest where it answers."""
        if not self._url:
            return {
                "answers": False,
                "said": "The address of the pipeline is not set: gateway.pipeline, the address "
                "that `vigie run --metrics-port` prints. Without it the account is not known.",
            }
        with self._lock:
            if time.monotonic() - self._at_s >= _KEEP_S:
                self._found = self._asked()
                self._at_s = time.monotonic()
            return self._found

    def _asked(self) -> dict[str, Any]:
        try:
            status = self._ask(self._url)
        except VigieError as error:
            return {"answers": False, "said": f"The pipeline does not answer: {error}"}
        return {
            "answers": True,
            "said": "The pipeline answers.",
            "account": _account(status.get("counts") or {}),
            "lag_records": status.get("lag_records"),
            "latency_ms": status.get("latency_ms"),
            "workers": status.get("workers") or [],
            "scaling": status.get("scaling"),
            "split_sensors": status.get("split_sensors"),
            "budget": status.get("budget"),
        }


def _account(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Read = scored + warming up + dropped + dead letters; see `Counts`."""
    number = {name: int(counts.get(name) or 0) for name in _COUNTED}
    dropped = number["late"] + number["duplicate"]
    read = number["readings"] + number["dead_lettered"]
    parts = number["scored"] + number["warming_up"] + dropped + number["dead_lettered"]
    return {
        **number,
        "read": read,
        "dropped": dropped,
        "balanced": read == parts,
        "missing": read - parts,
    }


_COUNTED: Final = (
    "readings",
    "scored",
    "warming_up",
    "late",
    "duplicate",
    "dead_lettered",
    "anomalies",
    "incidents_opened",
)


def budget_account(
    connection: Connection, *, now_ns: int, tenant: str, sensors: int | None
) -> dict[str, Any]:
    """The alarms of the week against those that the budget allows, by the incidents told of.

    Args:
        connection: of the database.
        now_ns: end of the week, in event time.
        tenant: whose; empty is everybody's.
        sensors: how many there are; None is unknown.
    """
    ours = [] if not tenant else [incidents.c.tenant == tenant]
    week = (incidents.c.opened_event_ns > now_ns - WEEK_NS, *ours)
    rows = connection.execute(
        select(incidents.c.kind, incidents.c.verdict, incidents.c.suppressed, func.count())
        .where(*week)
        .group_by(incidents.c.kind, incidents.c.verdict, incidents.c.suppressed)
    ).all()
    alarms = [row for row in rows if row.kind == "anomaly"]
    newest = connection.execute(
        select(incidents.c.data, incidents.c.opened_event_ns)
        .where(incidents.c.kind == "anomaly", *ours)
        .order_by(incidents.c.opened_event_ns.desc())
        .limit(1)
    ).one_or_none()
    data = {} if newest is None else json.loads(newest.data)
    used = data.get("budget")
    allowed = None if used is None else float(used["allowed_week"])
    return {
        "week": sum(row[3] for row in alarms),
        "suppressed": sum(row[3] for row in alarms if row.suppressed),
        "false_alarms": sum(row[3] for row in alarms if row.verdict == "false_alarm"),
        "faults": sum(row[3] for row in alarms if row.verdict == "fault"),
        "words": None if used is None else used["budget"],
        "certified": None if used is None else used["certified"],
        "allowed_sensor_week": allowed,
        "sensors": sensors,
        "allowed_week": None if allowed is None or sensors is None else allowed * sensors,
        "model": data.get("model"),
        "calibration": data.get("calibration"),
        "drift": _last_drift(connection, ours),
    }


def _last_drift(connection: Connection, ours: Collection[Any]) -> dict[str, Any] | None:
    """The last drift; None if none was ever told of."""
    row = connection.execute(
        select(incidents)
        .where(incidents.c.kind == "drift", *ours)
        .order_by(incidents.c.opened_event_ns.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return {
        "id": row.id,
        "sensor_id": row.sensor_id,
        "state": row.state,
        "opened_at": as_text(row.opened_event_ns),
        "resolved_at": as_text(row.resolved_event_ns),
    }


def sensor_budgets(
    connection: Connection, sensors: Collection[str], *, now_ns: int
) -> dict[str, dict[str, Any]]:
    """How sensors stand with their budget, as their last incident of this week said."""
    rows = connection.execute(
        select(incidents.c.sensor_id, incidents.c.data)
        .where(
            incidents.c.sensor_id.in_(sensors),
            incidents.c.kind == "anomaly",
            incidents.c.opened_event_ns > now_ns - WEEK_NS,
        )
        .order_by(incidents.c.opened_event_ns)
    )
    found = {}
    for row in rows:
        used = json.loads(row.data).get("budget")
        if used is not None:
            found[row.sensor_id] = used
    return found


def model_account(folder: Path | None) -> dict[str, Any] | None:
    """What the artifact of `model.path` says of itself, without loading it; None where it is not.

    The age of the calibration is that of the file: the thresholds are written with the model.
    """
    if folder is None:
        return None
    path = folder / "model.json"
    try:
        if path.stat().st_size > _MAX_MODEL_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        training = document.get("training") or {}
        return {
            "name": str(document["name"]),
            "version": str(document["version"]),
            "calibrated_at": as_text(path.stat().st_mtime_ns),
            "budget_words": training.get("budget_words"),
            "budget_basis": training.get("budget_basis"),
            "warning": training.get("budget_warning"),
        }
    except (OSError, ValueError, LookupError, AttributeError):
        return None


def as_text(at_ns: int | None) -> str | None:
    """RFC 3339 of nanoseconds since 1970."""
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns / 1e9, tz=UTC).isoformat(timespec="milliseconds")
