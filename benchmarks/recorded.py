"""What is recorded of sensors: bytes of a document, what it costs to write, to restore, to watch.

    python -m benchmarks.recorded

10,000 sensors of one partition, one of fifty with an open incident: as large as one gets, with
five channels, a full excerpt and the latent vector of a wide model. Documents are encoded as a
commit does it, written to a compacted topic of an embedded broker, read and restored as a worker
does it that takes the partition up. The best of several rounds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from math import inf

import numpy as np
import structlog
from numpy.typing import NDArray

from benchmarks.table import parser, show, write_json
from schemas.settings import Guarantee, Settings
from schemas.wire.incident import MAX_EXCERPT, MAX_INCIDENT_CHANNELS, MAX_LATENT, SeenBy
from schemas.wire.incident import IncidentKind as Kind
from schemas.wire.sensor_state import encode_sensor_state
from tests.support.broker import produce, topic_maker
from tests.support.models import small_detector
from tests.support.partitions import flags
from workers.broker.embedded import BrokerConfig
from workers.kafka.client import Connection
from workers.kafka.factory import table_of
from workers.stream.state.alarm_model import AlarmModel
from workers.stream.state.alarm_table import QUARTER_NS, ROW_VERSION, AlarmTable, packed
from workers.stream.state.incident import OpenIncident, Place, Points, Told, rounded
from workers.stream.state.recorded import Judge, Met, RecordedState

SENSORS, QUICK_SENSORS = 10_000, 500
ROUNDS = 5
OPEN_EVERY = 50
MOST_BYTES = 2_048
NOW_NS = 1_795_000_000 * 10**9
OFFSET = 3_000_000_000


def rows_of(sensors: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Rows of sensors that begin, with times and openings; packed, all are equally long."""
    table = AlarmTable(AlarmModel.of(small_detector()), sensors)
    table.begin(np.arange(sensors), np.zeros(sensors, np.int64))
    rows = table.rows
    rows["last_ns"] = NOW_NS - rng.integers(0, 10**12, sensors)
    rows["quarter"] = NOW_NS // QUARTER_NS - rng.integers(0, 40, sensors)
    rows["openings"] = rng.poisson(1 / 28, rows["openings"].shape)
    return rows


def incident_of(rng: np.random.Generator) -> OpenIncident:
    """As large as one gets but for wishes and rules."""

    def some(count: int) -> list[float]:
        return [rounded(value) for value in rng.normal(100.0, 10.0, count).tolist()]

    points = Points(3)
    for second in range(MAX_EXCERPT):
        points.add(NOW_NS + second * 10**9, *some(3))
    at = Place(OFFSET, 999, NOW_NS)
    return OpenIncident(
        kind=Kind.ANOMALY,
        seen_by=SeenBy.SHORT,
        first=at,
        opened_ns=NOW_NS,
        last_ns=NOW_NS,
        until=at,
        readings=123_456,
        flagged=98_765,
        total=float(rng.normal(1e5)),
        peak=float(rng.normal(9)),
        strength=float(rng.normal(9)),
        severity=3,
        told=tuple(Told(channel, *some(4)) for channel in range(MAX_INCIDENT_CHANNELS)),
        latent=tuple(float(f"{value:.4g}") for value in rng.normal(0.0, 1.0, MAX_LATENT).tolist()),
        points=points,
        sequence=4_321,
        told_ns=NOW_NS,
        told_severity=3,
    )


def documents(sensors: int) -> dict[bytes, bytes]:
    """By sensor."""
    rng = np.random.default_rng(1)
    return {
        f"plant-7/line-{number % 40}/pump-{number:05}".encode(): encode_sensor_state(
            OFFSET,
            OFFSET // 2,
            12_345_678,
            23_456,
            345,
            state_version=ROW_VERSION,
            state=state,
            incident=incident_of(rng).document() if number % OPEN_EVERY == 0 else None,
        )
        for number, state in enumerate(packed(rows_of(sensors, rng)))
    }


def restored(found: Mapping[bytes, bytes]) -> RecordedState:
    """As a worker goes on with them."""
    detector = small_detector()
    state = RecordedState.restored(
        found,
        next_offset=OFFSET,
        recorded=len(found),
        cold="",
        guarantee=Guarantee.EXACTLY_ONCE,
        judge=Judge(model=AlarmModel.of(detector), group_of=detector.group_of),
    )
    if state.cold:
        raise RuntimeError(state.cold)
    return state


def touched(state: RecordedState, found: Mapping[bytes, bytes]) -> RecordedState:
    """After one more reading of each sensor, so that each is written with the next commit."""
    n = len(found)
    met = Met(
        kept_from=0,
        sensors=[key.decode() for key in found],
        sizes=np.ones(n, np.int64),
        offsets=np.arange(OFFSET, OFFSET + n),
        scored=np.ones(n, np.bool_),
        dropped=np.zeros(n, np.bool_),
    )
    state.judge([met], flags(n), clock_ms=-1)
    return state


def best_s(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest round."""
    best = inf
    for _ in range(rounds):
        began_s = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began_s)
    return best


def read_s(found: Mapping[bytes, bytes], rounds: int) -> float:
    """Seconds to read them from a broker, beginning with a new connection."""
    with BrokerConfig().open() as broker, ExitStack() as stack:
        connection = Connection(bootstrap=broker.bootstrap, wait_timeout_s=30)
        topic = stack.enter_context(topic_maker(connection))(1, **{"cleanup.policy": "compact"})
        produce(connection, topic, ({"key": k, "value": v} for k, v in found.items()))
        settings = Settings.model_validate(
            {"kafka": {"bootstrap": broker.bootstrap}, "topics": {"sensor_state": topic}}
        )

        def read() -> None:
            with table_of(settings).open() as table:
                if len(table.latest(0)) != len(found):
                    raise RuntimeError("documents were lost")

        return best_s(read, rounds)


def main(argv: list[str] | None = None) -> None:
    """Print the figures, and write them where asked to."""
    made = parser(__doc__)
    options = made.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sensors, rounds = (QUICK_SENSORS, 1) if options.quick else (SENSORS, ROUNDS)
    found = documents(sensors)
    sizes = np.array([len(value) for value in found.values()])
    is_open = np.arange(sensors) % OPEN_EVERY == 0
    state = touched(restored(found), found)
    reading_s, restoring_s = read_s(found, rounds), best_s(lambda: restored(found), rounds)
    figures = {
        "bytes without an incident": float(sizes[~is_open].mean()),
        "bytes with an open one, largest": float(sizes.max()),
        "bytes, mean": float(sizes.mean()),
        f"share above {MOST_BYTES:,} bytes": float((sizes > MOST_BYTES).mean()),
        "us to encode one": best_s(lambda: list(state.changes()), rounds) / sensors * 1e6,
        "s to read all from the broker": reading_s,
        "s to restore all": restoring_s,
        "s for both": reading_s + restoring_s,
        "ms to sum up the budget": best_s(lambda: state.budget_use, rounds) * 1e3,
    }
    show(
        f"Recorded state of {sensors:,} sensors",
        [{"": name, "figure": value} for name, value in figures.items()],
    )
    if options.json:
        write_json(
            options.json, benchmark="recorded", figures={"sensors": sensors, "figures": figures}
        )


if __name__ == "__main__":
    main()
