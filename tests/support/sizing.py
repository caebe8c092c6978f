"""Figures for the model of `vigie size`, round enough to reckon with by hand."""

from __future__ import annotations

from typing import Any

from workers.sizing.measured import DetectorKind, Encoding, Measured


def round_figures(**processor: Any) -> Measured:
    """A reading costs 100 us: 20 to read, 40 to score, 40 to publish, however many channels."""

    def flat(base: float) -> dict[str, float]:
        return {"base": base, "per_channel": 0.0}

    costs: dict[str, Any] = {
        "read": {Encoding.READING: flat(10), Encoding.FRAME: flat(1)},
        "frame_record": 100,
        "fetch_record": 10,
        "score": {DetectorKind.FULL: flat(40), DetectorKind.PLAIN: flat(20)},
        "score_call": 0,
        "network": flat(10),
        "ship": 5,
        "publish": flat(10),
        "publish_sensor": 30,
        "commit": 0,
        "restore": {Encoding.READING: flat(10), Encoding.FRAME: flat(1)},
        "broker_record": 10,
    }
    return Measured.model_validate(
        {
            "at": "2026-11-30",
            "machine": "made up",
            "protocol": "made up",
            "processor": {**costs, **processor},
            "sizes": {
                "record": {Encoding.READING: flat(100), Encoding.FRAME: flat(50)},
                "cleaned": flat(50),
                "cleaned_record": 50,
                "state": 1000,
                "incident": 2000,
            },
            "memory": {"worker_mb": 500, "driver_mb": 1000, "sensor_bytes": 1000},
            "gateway": {"event_ms": 2, "delivery_ms": 2},
            "start_s": 10,
        }
    )
