"""The page as `vigie serve` serves it, on a plant of this process: no broker, no detector.

Readings go into the live feed, incidents into the database, both as the gateway's threads would put
them there; everything from there on is the real thing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from schemas.columns import Readings
from schemas.settings import GatewaySettings, Settings
from schemas.wire.anomaly import Anomaly
from schemas.wire.denoised import DenoisedFrame
from workers.alerts.event import AlertEvent
from workers.api.app import create_app
from workers.api.serving import HttpServer, address_of, listening, serving_in_thread
from workers.gateway.gateway import Gateway
from workers.gateway.live import Following, LiveFeed
from workers.gateway.principals import ANYONE, Scope
from workers.gateway.store import events, taking, tokens

CHANNELS = ("discharge_pressure", "flow", "vibration", "bearing_temperature", "motor_current")
LEVELS = np.array([4.9, 182.0, 2.1, 61.0, 38.5])
NOISE = np.array([0.03, 1.4, 0.09, 0.25, 0.4])
SECOND_NS = 10**9
MODEL = {"name": "pumps", "version": "3f9c2a71d0be"}


@dataclass
class Plant:
    """Sensors that measure; a fault is a stretch in which one of them is out of order."""

    sensors: Sequence[str]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    faults: list[tuple[str, int, int, float]] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    frame_rows: int = 100_000

    def feed(self, live: LiveFeed, times_ns: np.ndarray) -> None:
        """Measure, clean and score at these times."""
        phase = times_ns / 1e9 / 47.0
        frames, readings, flagged = [], [], []
        for number, sensor in enumerate(self.sensors):
            course = np.sin(phase[:, None] + number + np.arange(len(CHANNELS))[None, :])
            clean = LEVELS * (1 + 0.012 * course) + 0.02 * LEVELS * np.sin(number)
            push = np.zeros(len(times_ns))
            for name, start, end, peak in self.faults:
                if name == sensor:
                    inside = (times_ns >= start) & (times_ns < end)
                    share = np.clip((times_ns - start) / max(end - start, 1), 0, 1)
                    push += np.where(inside, peak * np.sin(np.pi * share) ** 0.5, 0)
            clean[:, 2] += push * 0.35  # a fault passes the cleaning
            clean[:, 3] += push * 0.9
            measured = clean + NOISE * self.rng.normal(size=clean.shape)
            base = 0.12 + 0.07 * np.abs(self.rng.normal(size=len(times_ns)))
            base *= 1 + 0.35 * (number % 3)
            score = np.round(base + 0.16 * np.sin(phase / 9 + number) ** 2 + push, 4)
            places = _places(number, phase, push)
            for start in range(0, len(times_ns), self.frame_rows):
                part = slice(start, start + self.frame_rows)
                frames.append(
                    cleaned_frame(
                        sensor,
                        times_ns[part].tolist(),
                        score[part].tolist(),
                        dict(zip(CHANNELS, clean[part].T.tolist(), strict=True)),
                        latent=places[part][-1].tolist(),
                    )
                )
            readings.append((sensor, measured))
            flagged += [
                self._anomaly(sensor, int(ts), float(at))
                for ts, at in zip(times_ns, score, strict=True)
                if at >= 1
            ]
        live.add_frames(frames)
        live.add_readings(_readings(times_ns, readings))
        live.add_anomalies(flagged[-2000:])

    def _anomaly(self, sensor: str, ts_ns: int, score: float) -> Anomaly:
        of: dict[str, Any] = {
            "sensor_id": sensor,
            "ts_ns": ts_ns,
            "labels": dict(self.labels.get(sensor, {})),
            "score": score,
            "contribution": dict(zip(CHANNELS, (0.04, 0.03, 0.34, 0.57, 0.02), strict=True)),
        }
        return Anomaly.model_construct(**of)


def _places(number: int, phase: np.ndarray, push: np.ndarray) -> np.ndarray:
    """[k, 2] where a sensor is on the map: it wanders around its own state, a fault leads away."""
    own = 0.75 * np.random.default_rng(number).normal(size=2)
    course = np.stack([np.sin(phase / 5 + number), np.cos(phase / 11 + 2 * number)], axis=1)
    course += 0.4 * np.stack([np.cos(phase / 1.7), np.sin(phase / 2.3 + number)], axis=1)
    away = np.array([np.cos(0.9 * number), np.sin(0.9 * number)])
    bent = np.stack([-away[1] * np.sqrt(push), away[0] * np.sqrt(push)], axis=1)
    places: np.ndarray = np.round(own + 0.3 * course + 2.4 * push[:, None] * away + bent, 3)
    return places


def cleaned_frame(
    sensor: str,
    times_ns: Sequence[int],
    scores: Sequence[float],
    values: Mapping[str, list[float | None]],
    *,
    latent: Sequence[float] | None = None,
    model: str = "pumps@3f9c2a71d0be",
) -> DenoisedFrame:
    """A frame of the cleaned signal, without what the page does not look at."""
    return DenoisedFrame.model_construct(
        sensor_id=sensor,
        ts_ns=list(times_ns),
        values=dict(values),
        score=list(scores),
        offset=[0] * len(times_ns),
        latent=None if latent is None else list(latent),
        model=model,
        topic="vigie.readings",
        partition=0,
    )


def rows_of(live: LiveFeed, sensor: str, since: Sequence[int] = (0, 0, 0)) -> dict[str, Any]:
    """The rows of a sensor that is known."""
    found = live.rows(sensor, since)
    assert found is not None
    return found


def _readings(times_ns: np.ndarray, measured: Sequence[tuple[str, np.ndarray]]) -> Readings:
    return Readings(
        positions=np.arange(len(measured)),
        sensors=[sensor for sensor, _ in measured],
        counts=np.full(len(measured), len(times_ns)),
        ts_ns=np.tile(times_ns, len(measured)),
        values=np.concatenate([values for _, values in measured]),
    )


def incident_document(sensor: str, at_ns: int, **changes: Any) -> dict[str, Any]:
    """An incident as the stream tells of it."""
    at_ms = at_ns // 10**6
    ts = [at_ms - 60_000 + 10_000 * i for i in range(12)]
    course = [0.0, 0.0, 0.1, 0.4, 1.1, 2.2, 3.1, 3.6, 3.2, 2.6, 2.0, 1.4]
    return {
        "id": str(uuid4()),
        "kind": "anomaly",
        "sensor_id": sensor,
        "labels": {},
        "first": at_ms - 20_000,
        "opened": at_ms,
        "last": at_ms + 40_000,
        "end": None,
        "end_reason": None,
        "until": at_ms + 40_000,
        "duration_s": 60.0,
        "readings": 60,
        "flagged": 48,
        "peak": 3.6,
        "mean": 2.1,
        "p_value": 2e-7,
        "severity": "medium",
        "direction": "high",
        "seen_by": "long",
        "channels": [
            _channel("bearing_temperature", "°C", 0.57, 64.31, 61.02, 0.76, "high"),
            _channel("vibration", "mm/s", 0.34, 3.36, 2.1, 0.28, "high"),
            _channel("discharge_pressure", "bar", 0.04, 4.88, 4.9, 0.09, "pattern"),
        ],
        "excerpt": {
            "channel": "bearing_temperature",
            "ts": ts,
            "observed": [round(61 + 0.9 * up, 2) for up in course],
            "expected": [61.0 + 0.02 * (i % 3) for i in range(12)],
            "score": [round(0.2 + up, 2) for up in course],
        },
        "model": MODEL,
        "calibration": MODEL["version"],
        "group": sensor,
        "group_kind": "sensor",
        "source": {
            "topic": "vigie.readings",
            "partition": 2,
            "first_offset": 81_213,
            "last_offset": 81_300,
        },
        "budget": {
            "budget": "1 false alarm per sensor and week",
            "last_day": 1,
            "last_week": 1,
            "allowed_week": 1.0,
            "certified": False,
        },
        **changes,
    }


def _channel(  # noqa: PLR0917 - in the order of the document
    name: str, unit: str, share: float, observed: float, expected: float, band: float, way: str
) -> dict[str, Any]:
    return {
        "channel": name,
        "unit": unit,
        "share": share,
        "observed": observed,
        "expected": expected,
        "band": band,
        "direction": way,
    }


@dataclass
class ServedPage:
    """A page that can be opened, and what is behind it."""

    gateway: Gateway
    app: Any
    url: str = ""
    _port: int = 0
    _serving: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Serve: at a free port first, later at the same."""
        bound = listening("127.0.0.1", self._port)
        server = HttpServer(self.app, most_connections=200, ending=self.gateway.fan.end)
        self._serving.enter_context(serving_in_thread(server, bound, name="page"))
        self.url, self._port = address_of(bound, "127.0.0.1"), bound.getsockname()[1]

    def stop(self) -> None:
        """Serve no more: every connection is cut."""
        self._serving.pop_all().close()

    @property
    def live(self) -> LiveFeed:
        assert self.gateway.live is not None
        return self.gateway.live

    def token(self, *scopes: Scope, tenant: str = "") -> str:
        """A new token."""
        with self.gateway.database.begin() as connection:
            return tokens.create(
                connection,
                ANYONE,
                name="anna",
                scopes=scopes or (Scope.OPERATE,),
                tenant=tenant,
                now_ns=time.time_ns(),
                expires_ns=None,
            )[1]

    def tell(self, what: str, document: Mapping[str, Any], sequence: int = 1) -> None:
        """An incident opened, was updated or resolved."""
        event = {
            "specversion": "1.0",
            "id": f"{document['id']}-{sequence:010d}",
            "source": "/vigie/plant",
            "type": f"incident.{what}",
            "subject": document["sensor_id"],
            "time": "2026-11-30T07:06:40Z",
            "datacontenttype": "application/json",
            "dataschema": "urn:vigie:schema:incident:v1",
            "partitionkey": document["sensor_id"],
            "sequence": f"{sequence:010d}",
            "data": dict(document),
        }
        now_ns = time.time_ns()
        with self.gateway.database.begin() as connection:
            found = AlertEvent.of(event)
            taking.take_in(connection, found, tenant="", now_ns=now_ns)
            happened = events.Happened(document=event, incident_id=document["id"])
            events.append(connection, [happened], now_ns=now_ns)
        self.gateway.signal.notify()


@contextmanager
def served_page(
    folder: Path, *, open_access: bool = True, port: int = 0, **gateway: Any
) -> Iterator[ServedPage]:
    """Serve the page on a new database; nothing is in it yet."""
    settings = Settings(
        gateway=GatewaySettings(
            database=f"sqlite:///{folder / 'vigie.db'}",
            port=port,
            rate_limit="100000/minute",
            **gateway,
        )
    )
    with Gateway.open(settings) as behind:
        assert behind.live is not None
        behind.live.following = Following(said="following the readings", is_following=True)
        app = create_app(behind, open_access=open_access)
        _with_fan(app, behind)
        page = ServedPage(behind, app, _port=port)
        page.start()
        try:
            yield page
        finally:
            page.stop()


def _with_fan(app: Any, gateway: Gateway) -> None:
    """Have events handed to listeners in the loop of the server, as `Gateway.running` does."""
    within = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Any) -> AsyncIterator[None]:
        async with within(served):
            stopping = asyncio.Event()
            task = asyncio.create_task(gateway.fan.run(stopping))
            try:
                yield
            finally:
                stopping.set()
                gateway.signal.notify()
                await task

    app.router.lifespan_context = lifespan
