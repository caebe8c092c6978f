"""The file of a backtest: every row with its score, its incident and its cleaned values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detector.calibration.settled import settled
from workers.backtest.backtest import ScoredSensor
from workers.data.writer import open_readings

COLUMNS = ("score", "flagged", "settled", "incident")


def write_scores(sensors: Sequence[ScoredSensor], channels: Sequence[str], path: Path) -> None:
    """Write every row: ts, sensor_id, `COLUMNS`, cleaned channels, the file's label.

    score is the published one: 1 is the threshold of the sensor at that row. flagged is 0 or 1;
    settled is the score as it looks 63 rows later (`detector.calibration.settled`); incident is the
    number of the sensor's incident that the row belongs to, 0 outside. What has no score is empty.
    A column that is called as a channel begins with `vigie_`.

    Args:
        sensors: as `score_history` gives them.
        channels: of the model.
        path: `.parquet` is Parquet, everything else CSV; an existing file is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = [f"vigie_{name}" if name in channels else name for name in COLUMNS]
    with open_readings(path, (*own, *channels)) as writer:
        for one in sensors:
            n = len(one.ts_ns)
            flagged = np.where(one.scored, one.flagged, np.nan)
            labels = np.zeros(n, np.int8) if one.labels is None else one.labels
            writer.write(
                sensors=[one.sensor] * n,
                ts_ns=one.ts_ns,
                values=np.column_stack(
                    [one.score, flagged, settled(one.score), one.incident, one.denoised]
                ),
                labels=labels.astype(np.int8),
            )
