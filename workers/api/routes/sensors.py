"""Sensors as they are now: a list, one with its readings, all as a fleet, and what changes."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import Field
from pydantic_core import to_json

from schemas.api.base import LabelName, Page, ShortText
from schemas.api.base import Response as Document
from workers.api.account import (
    PipelineStatus,
    as_text,
    budget_account,
    model_account,
    sensor_budgets,
)
from workers.api.auth import Principal, Reader, still_holds
from workers.api.live_stream import LiveStream
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES, ProblemError
from workers.api.streams import StreamPlaces
from workers.gateway.live import STEPS, LiveFeed, LiveSensor

__all__ = ["account_view", "fleet_view", "router", "sensor_view"]

router = APIRouter(tags=["sensors"], responses=RESPONSES)

_MAX_FOLLOWED: Final = 8
_FLEET_EVERY_S: Final = 1.0
_ROWS_EVERY_S: Final = 0.35
_CELLS: Final = 96
UNKNOWN: Final = (
    "No reading of this sensor came since the gateway started; its incidents may be known."
)
_BOOT: Final = secrets.token_hex(4)
"""Revisions of another process mean nothing here."""

Step = Annotated[int, Query(description="Width of a cell in seconds: 10, 60 or 300.")]
LabelParameter = Annotated[
    list[str], Query(alias="label", max_length=16, description="A label as name=value; repeat it.")
]


class SensorEntry(Document):
    """A sensor in a list."""

    sensor_id: str
    """Its name."""
    labels: dict[str, str]
    """Its labels: site, line, asset."""
    last_reading_at: str | None
    """Event time of its last reading, RFC 3339; null if none came since the gateway started."""
    score: float | None
    """Score of its last reading that was scored; 1.0 is the threshold."""
    worst_score: float | None
    """Its highest score of the last two hours."""
    budget_used: dict[str, Any] | None = Field(
        default=None, examples=[{"budget": "1 false alarm per sensor and week", "last_week": 1}]
    )
    """Incidents of the sensor against its budget, as its last one said; null if it had none this
    week."""


@router.get("/v1/sensors")
def list_sensors(
    request: Request,
    principal: Reader,
    q: Annotated[str, Query(max_length=249, description="Text in the name or a label.")] = "",
    label: LabelParameter = [],  # noqa: B006 - FastAPI copies it
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[SensorEntry]:
    """Sensors, those with the highest scores of the last two hours first."""
    live, now_ns = live_of(request), request.app.state.clock()
    wanted, may_see = [_label(text) for text in label], sees(request, principal)
    found = [
        sensor
        for sensor in live.sensors(now_ns)
        if may_see(sensor.labels) and _matches(sensor, q.lower(), wanted)
    ]
    found.sort(key=_order)
    if cursor is not None:
        after = decode_cursor(cursor, float, str)
        found = [sensor for sensor in found if _order(sensor) > (after[0], after[1])]
    page, rest = found[:limit], found[limit:]
    with request.app.state.gateway.database.read() as connection:
        used = sensor_budgets(connection, [sensor.sensor_id for sensor in page], now_ns=now_ns)
    return Page[SensorEntry](
        items=[
            SensorEntry(
                sensor_id=sensor.sensor_id,
                labels=dict(sensor.labels),
                last_reading_at=as_text(sensor.last_ns or None),
                score=_number(sensor.score),
                worst_score=_number(sensor.worst),
                budget_used=used.get(sensor.sensor_id),
            )
            for sensor in page
        ],
        next=encode_cursor(*_order(page[-1])) if rest else None,
    )


@router.get("/v1/sensors/{sensor_id:path}", response_model=dict[str, Any])
def get_sensor(request: Request, principal: Reader, sensor_id: ShortText) -> Response:
    """A sensor: its last readings at full resolution, its last day in cells.

    `cleaned` and `measured` are the same readings as the model and as the sensor gave them; they
    come from two topics, so one may be a little ahead. `band` is, for each channel, half the width
    around the cleaned value in which readings usually lie: three robust standard deviations of the
    last readings that were not flagged.
    """
    return document(sensor_view(request, principal, sensor_id))


@router.get("/v1/fleet", response_model=dict[str, Any])
def get_fleet(
    request: Request,
    principal: Reader,
    step: Step = 60,
    cells: Annotated[int, Query(ge=1, le=288)] = _CELLS,
) -> Response:
    """All sensors by time: the highest score of each cell, oldest first; null is no reading."""
    return document(fleet_view(request, principal, step=step, cells=cells))


@router.get("/v1/account", response_model=dict[str, Any])
def get_account(request: Request, principal: Reader) -> Response:
    """Where every reading went, the workers, and the alarms of the week against the budget."""
    return document(account_view(request, principal))


@router.get(
    "/v1/live",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_live(
    request: Request,
    principal: Reader,
    sensor: Annotated[
        list[str], Query(max_length=_MAX_FOLLOWED, description="Sensors to follow; repeat it.")
    ] = [],  # noqa: B006 - FastAPI copies it
    fleet: Annotated[int, Query(description="Width of the fleet's cells in seconds.")] = 0,
    since: Annotated[str, Query(max_length=600)] = "",
    last_event_id: Annotated[str, Header(max_length=600)] = "",
) -> Response:
    """What changes, a few times a second: events `fleet`, `rows`, and `reset`.

    After `reset` ask for the whole again. The id of an event is the place to go on from.
    """
    if fleet and fleet not in STEPS:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "fleet must be 10, 60 or 300")
    live, state = live_of(request), request.app.state
    places: StreamPlaces = state.live_streams
    places.check(principal)
    place = _Place(live, last_event_id or since, sensor, fleet, sees(request, principal))
    return LiveStream(
        lambda: place.news(state.clock()),
        every_s=_ROWS_EVERY_S if sensor else _FLEET_EVERY_S,
        holds=still_holds(request),
        place=places.held(principal),
        ending=state.gateway.fan.ending,
    )


class _Place:
    """Where a client of `/v1/live` is."""

    def __init__(
        self,
        live: LiveFeed,
        at: str,
        sensors: Sequence[str],
        step_s: int,
        may_see: Callable[[Mapping[str, str]], bool],
    ) -> None:
        self._live, self._step_s, self._may_see = live, step_s, may_see
        self._revision: int | None = None
        self._next: dict[str, Sequence[int]] = {}
        epoch, _, rest = at.partition("~")
        self._epoch = epoch_of(live)
        numbers = [int(text) for text in rest.split(".") if text.isascii() and text.isdigit()]
        if epoch == self._epoch and len(numbers) == 1 + 3 * len(sensors):
            self._revision = numbers[0]
            self._next = {name: numbers[1 + 3 * i : 4 + 3 * i] for i, name in enumerate(sensors)}
        self._sensors = sensors

    def news(self, now_ns: int) -> str:
        """The events since the last time."""
        live = self._live
        if self._revision is None or self._epoch != epoch_of(live):
            self._epoch, self._revision = epoch_of(live), live.revision
            self._next = {name: (live.rows(name) or {}).get("next", (0,)) for name in self._sensors}
            return self._event("reset", {"following": following_of(live)})
        parts = []
        if self._step_s and live.revision != self._revision:
            delta = live.fleet_since(self._revision, step_s=self._step_s, now_ns=now_ns)
            self._revision = delta["revision"]
            delta["sensors"] = [
                one for one in delta["sensors"] if self._may_see(live.labels(one["sensor_id"]))
            ]
            parts.append(("fleet", delta))
        for name in self._sensors:
            if not self._may_see(live.labels(name)):
                continue
            rows = live.rows(name, self._next.get(name) or (0, 0, 0))
            if rows is not None and rows["next"] != list(self._next.get(name) or ()):
                self._next[name] = rows["next"]
                parts.append(("rows", rows))
        return "".join(self._event(name, data) for name, data in parts)

    def _event(self, name: str, data: Mapping[str, Any]) -> str:
        numbers = [self._revision or 0]
        for sensor in self._sensors:
            numbers += [*self._next.get(sensor, ()), 0, 0, 0][:3]
        place = ".".join(map(str, numbers))
        body = to_json(data, inf_nan_mode="null").decode()
        return f"id: {self._epoch}~{place}\nevent: {name}\ndata: {body}\n\n"


def fleet_view(
    request: Request, principal: Principal, *, step: int = 60, cells: int = _CELLS
) -> dict[str, Any]:
    """The document of the page `/`."""
    if step not in STEPS:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "step must be 10, 60 or 300")
    live = live_of(request)
    found = live.fleet(step_s=step, cells=cells, now_ns=request.app.state.clock())
    may_see = sees(request, principal)
    found["sensors"] = [one for one in found["sensors"] if may_see(one["labels"])]
    return {
        **found,
        "place": f"{epoch_of(live)}~{found['revision']}",
        "following": following_of(live),
    }


def sensor_view(request: Request, principal: Principal, sensor_id: str) -> dict[str, Any]:
    """The document of the page of a sensor.

    Raises:
        ProblemError: it is not known (404).
    """
    live, now_ns = live_of(request), request.app.state.clock()
    found = live.rows(sensor_id)
    if found is None or not sees(request, principal)(found["labels"]):
        raise ProblemError(HTTPStatus.NOT_FOUND, UNKNOWN)
    with request.app.state.gateway.database.read() as connection:
        used = sensor_budgets(connection, [sensor_id], now_ns=now_ns)
    numbers = ".".join(map(str, [live.revision, *found["next"]]))
    return {
        **found,
        "day": live.day(sensor_id, now_ns),
        "budget_used": used.get(sensor_id),
        "place": f"{epoch_of(live)}~{numbers}",
        "following": following_of(live),
    }


def account_view(request: Request, principal: Principal) -> dict[str, Any]:
    """The document of the page of the account."""
    state, gateway = request.app.state, request.app.state.gateway
    with _LOCK:
        pipeline: PipelineStatus | None = getattr(state, "pipeline_status", None)
        if pipeline is None:
            pipeline = PipelineStatus(gateway.settings.gateway.pipeline)
            state.pipeline_status = pipeline
    said = pipeline.account() if not principal.tenant else dict(_NOT_FOR_TENANTS)
    seen = [
        one.labels for one in ([] if gateway.live is None else gateway.live.sensors(state.clock()))
    ]
    counted = sum(map(sees(request, principal), seen)) or None
    sensors = (said.get("budget") or {}).get("sensors")
    with gateway.database.read() as connection:
        budget = budget_account(
            connection,
            now_ns=state.clock(),
            tenant=principal.tenant,
            sensors=sensors or counted,
        )
    return {
        "pipeline": said,
        "budget": budget,
        "model": model_account(gateway.settings.model.path),
        "following": None if gateway.live is None else following_of(gateway.live),
    }


_LOCK: Final = threading.Lock()
_NOT_FOR_TENANTS: Final[Mapping[str, Any]] = {
    "answers": False,
    "said": "Where every reading went is told for all tenants together, and to none of them.",
}


def document(found: Mapping[str, Any]) -> Response:
    """JSON; a number that is none is null."""
    return Response(
        to_json(found, inf_nan_mode="null"),
        media_type="application/json",
        headers={"Cache-Control": "no-store", "Vary": "Accept, Cookie, Authorization"},
    )


def live_of(request: Request) -> LiveFeed:
    """What follows the readings.

    Raises:
        ProblemError: nothing does (404).
    """
    live: LiveFeed | None = request.app.state.gateway.live
    if live is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "Readings are not followed here: gateway.live is off."
        )
    return live


def sees(request: Request, principal: Principal) -> Callable[[Mapping[str, str]], bool]:
    """Which sensors somebody sees, by their labels: all, or those of their tenant."""
    tenant = principal.tenant
    label = request.app.state.gateway.settings.gateway.tenant_label
    return lambda labels: not tenant or labels.get(label) == tenant


def epoch_of(live: LiveFeed) -> str:
    """Changes whenever numbers of before mean nothing any more."""
    return f"{_BOOT}-{live.epoch}"


def following_of(live: LiveFeed) -> dict[str, Any]:
    """How the readings are followed, as plain values."""
    now = live.following
    return {
        "said": now.said,
        "is_following": now.is_following,
        "skipped": now.skipped,
        "unfollowed": now.unfollowed,
    }


def _label(text: str) -> tuple[LabelName, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "label must be name=value")
    return name, value


def _matches(sensor: LiveSensor, words: str, wanted: Sequence[tuple[str, str]]) -> bool:
    labels = sensor.labels
    if any(labels.get(name, "") != value for name, value in wanted):
        return False
    text = " ".join((sensor.sensor_id, *labels.values())).lower()
    return all(word in text for word in words.split())


def _order(sensor: LiveSensor) -> tuple[float, str]:
    worst = sensor.worst
    return (1.0 if math.isnan(worst) else -worst, sensor.sensor_id)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
