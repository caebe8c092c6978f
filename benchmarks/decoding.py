"""What it costs to read records in Vigie's own envelope and in other people's.

``python -m benchmarks.decoding``: microseconds per record of one sensor's reading of three
channels, in batches as the stream polls them; the best of many rounds in turn. No broker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

from benchmarks.table import parser, show, write_json
from schemas.codec import Decoder, Envelope
from schemas.settings import InputSettings

_CHANNELS = ("flow", "pressure", "temp")
_RECORDS = 5_000
_ROUNDS = 30
_NOW_MS = 1_760_920_000_000


class _Carrier(NamedTuple):
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


def _own(i: int, values: dict[str, float]) -> Any:
    return {"sensor_id": f"pump-{i % 50}", "ts": _NOW_MS + i, "values": values}


def _flat(i: int, values: dict[str, float]) -> Any:
    return {"sensorId": f"pump-{i % 50}", "timestamp": _NOW_MS + i, **values}


def _telegraf(i: int, values: dict[str, float]) -> Any:
    tags = {"host": f"pump-{i % 50}"}
    return {"fields": values, "name": "pump", "tags": tags, "timestamp": _NOW_MS // 1000 + i}


def _sparkplug(i: int, values: dict[str, float]) -> Any:
    metrics = [
        {"name": name, "timestamp": _NOW_MS + i, "dataType": "Double", "value": value}
        for name, value in values.items()
    ]
    return {"timestamp": _NOW_MS + i, "metrics": metrics, "seq": i % 256}


def _debezium(i: int, values: dict[str, float]) -> Any:
    row = {"sensor_id": f"pump-{i % 50}", "ts": _NOW_MS + i, **values}
    return {"payload": {"before": None, "after": row, "op": "c", "ts_ms": _NOW_MS + i}}


def _texts(i: int, values: dict[str, float]) -> Any:
    texts = {name: str(value) for name, value in values.items()}
    seconds = i % 60
    return {"sensor_id": f"pump-{i % 50}", "ts": f"2026-11-22 10:30:{seconds:02d}", "values": texts}


_CASES: dict[str, tuple[Callable[[int, dict[str, float]], Any], dict[str, Any] | None]] = {
    "Vigie's own": (_own, None),
    "Vigie's own, as a foreign one": (_own, {"booleans": "numbers"}),
    "flat": (_flat, {"preset": "flat"}),
    "telegraf": (_telegraf, {"preset": "telegraf"}),
    "sparkplug, sensor from the key": (_sparkplug, {"preset": "sparkplug"}),
    "debezium": (_debezium, {"preset": "debezium"}),
    "texts: numbers and local times": (_texts, {"numbers": "text", "timezone": "Europe/Berlin"}),
    "some channels missing": (
        lambda i, values: _own(i, dict(list(values.items())[: 1 + i % 3])),
        {"missing_channels": "missing"},
    ),
}


def measure(rounds: int) -> dict[str, float]:
    """Microseconds per record of each case, the best of so many rounds in turn."""
    carriers = [_Carrier(b"pump-%d" % (i % 50), (), _NOW_MS + i) for i in range(_RECORDS)]
    decoders = {}
    for name, (render, layout) in _CASES.items():
        values = [
            json.dumps(render(i, {"flow": 50 + i / 100, "pressure": 4.0, "temp": 40.5})).encode()
            for i in range(_RECORDS)
        ]
        envelope = None if layout is None else Envelope(InputSettings(**layout))
        decoders[name] = (Decoder(_CHANNELS, envelope=envelope), values)
    best = dict.fromkeys(decoders, inf)
    for _ in range(rounds):
        for name, (decoder, values) in decoders.items():
            begin = time.perf_counter()
            decoded = decoder.decode(values, [None] * _RECORDS, carriers)
            took_s = time.perf_counter() - begin
            if decoded.failures:
                raise RuntimeError(f"{name}: {decoded.failures[0].message}")
            best[name] = min(best[name], took_s / _RECORDS * 1e6)
    return best


def main(argv: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(argv)
    best = measure(1 if options.quick else _ROUNDS)
    rows = [
        {"envelope": name, "us/record": us, "records/s": round(1e6 / us)}
        for name, us in best.items()
    ]
    show("Decoding: one reading of three channels a record", rows)
    if options.json:
        write_json(options.json, benchmark="decoding", figures={"us_per_record": best})


if __name__ == "__main__":
    main()
