"""Short ways to decode foreign records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from schemas.codec import Decoder, Envelope
from schemas.columns import Decoded
from schemas.settings import InputSettings

CHANNELS = ("flow", "pressure", "temp")
VALUES = {"flow": 50.0, "pressure": 4.0, "temp": 40.0}
NOW_MS = 1_760_920_000_000
NOW_NS = NOW_MS * 1_000_000


class Carrier(NamedTuple):
    """What a record says beside its value."""

    key: bytes | None = b"pump-1"
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = NOW_MS


def as_bytes(record: Any) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record).encode()


class SlowEnvelope(Envelope):
    """Reads every record step by step: the naive twin of the columns."""

    def _columns(self, *_: object) -> Any:
        raise TypeError


def decode(
    records: Sequence[Any],
    *,
    kind: Any = Envelope,
    channels: Any = CHANNELS,
    wire_names: Any = None,
    carriers: Any = None,
    **settings: Any,
) -> Decoded:
    """Decode records (bytes, or what is dumped as JSON) with these keys of `[input]`."""
    envelope = kind(InputSettings(**settings))
    decoder = Decoder(channels, wire_names=wire_names, envelope=envelope)
    values = [as_bytes(record) for record in records]
    return decoder.decode(values, [None] * len(values), carriers or [Carrier()] * len(values))


Reading = tuple[int, str, int, list[float]]


def readings_of(decoded: Decoded) -> list[Reading]:
    """Position, sensor, time and values of each reading, in order."""
    readings = decoded.readings
    heads = [
        (int(position), sensor)
        for position, sensor, count in zip(
            readings.positions, readings.sensors, readings.counts, strict=True
        )
        for _ in range(count)
    ]
    rows = zip(heads, readings.ts_ns.tolist(), readings.values.tolist(), strict=True)
    return [(position, sensor, ts_ns, row) for (position, sensor), ts_ns, row in rows]


def only(decoded: Decoded) -> tuple[str, int, list[float]]:
    """Sensor, time and values of the only reading."""
    assert decoded.failures == []
    ((_, *reading),) = readings_of(decoded)
    return tuple(reading)  # type: ignore[return-value]


def message_of(decoded: Decoded) -> str:
    """Why the only record failed."""
    assert len(decoded.readings) == 0
    (failure,) = decoded.failures
    return failure.message


def named(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An array of named values, as Sparkplug has it."""
    return [{"name": name, "value": value} for name, value in values.items()]
