"""Columns and models to bytes.

The JSON of a frame is built from Python lists by `pydantic_core.to_json`; measured against
`json.dumps` (4 times slower), `repr` and Arrow's text cast it is the fastest here without another
dependency. Numbers are written as they are: round before, digits cost time and space.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pydantic import ValidationError
from pydantic_core import to_json

from schemas.codec import arrow_encoding
from schemas.codec.channel_map import ChannelMap
from schemas.codec.content_type import DENOISED_ARROW, DENOISED_JSON, FRAME_ARROW, FRAME_JSON
from schemas.wire.anomaly import Anomaly
from schemas.wire.denoised import DenoisedFrame
from schemas.wire.errors import InvalidRecordError, unknown_content_type
from schemas.wire.timestamp import array_to_wire, to_wire


def encode_anomaly(anomaly: Anomaly) -> bytes:
    """`ANOMALY_JSON` of one flagged reading."""
    return anomaly.model_dump_json().encode()


class ReadingEncoder:
    """Writes readings of the same channels as `READING_JSON`, fast.

    Args:
        channels: names of the value columns on the wire.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self._channels = ChannelMap.of(channels, {}).names

    def encode(self, sensor: str, ts_ns: int, values: Sequence[float | None]) -> bytes:
        """One reading.

        Args:
            sensor: sensor id.
            ts_ns: event time in nanoseconds.
            values: [C] Python floats; None or NaN is missing.

        Raises:
            ValueError: not one value per channel.
        """
        return to_json(
            {
                "sensor_id": sensor,
                "ts": to_wire(ts_ns),
                "values": dict(zip(self._channels, values, strict=True)),
            },
            inf_nan_mode="null",
        )


class FrameEncoder:
    """Writes frames of the same channels.

    Args:
        channels: names of the value columns on the wire.
        content_type: `FRAME_JSON` or `FRAME_ARROW`.

    Raises:
        UnknownContentTypeError: neither of the two.
    """

    def __init__(self, channels: Sequence[str], content_type: str = FRAME_JSON) -> None:
        self._channels = ChannelMap.of(channels, {}).names
        self._write = _writer_of(content_type, (FRAME_JSON, FRAME_ARROW))

    def encode(
        self,
        sensor: str,
        ts_ns: Int64[np.ndarray, " readings"],
        values: Float64[np.ndarray, "readings channels"],
    ) -> bytes:
        """One frame.

        Args:
            sensor: sensor id.
            ts_ns: event times in nanoseconds.
            values: NaN is missing.

        Raises:
            ValueError: shapes that do not fit.
        """
        _check_shapes(values, len(self._channels), ts_ns)
        return self._write(self._channels, values, ts_ns, {"sensor_id": sensor}, {}, None)


class DenoisedEncoder:
    """Writes the cleaned signal, one frame per sensor and micro-batch. On the hot path.

    Args:
        channels: model channels, the order of the value columns.
        content_type: `DENOISED_JSON` or `DENOISED_ARROW`.

    Raises:
        UnknownContentTypeError: neither of the two.
    """

    def __init__(self, channels: Sequence[str], content_type: str = DENOISED_JSON) -> None:
        self._channels = ChannelMap.of(channels, {}).names
        self._write = _writer_of(content_type, (DENOISED_JSON, DENOISED_ARROW))

    def encode(  # noqa: PLR0917 - columns in their order on the wire; this is the hot path
        self,
        sensor: str,
        ts_ns: Int64[np.ndarray, " readings"],
        values: Float64[np.ndarray, "readings channels"],
        score: Float64[np.ndarray, " readings"],
        offsets: Int64[np.ndarray, " readings"],
        indices: Int64[np.ndarray, " readings"],
        *,
        off: Bool[np.ndarray, " readings"] | None = None,
        latent: Sequence[float] | None = None,
        settled: "Settled | None" = None,
        model: str,
        source: tuple[str, int],
    ) -> bytes:
        """One frame of readings of one sensor.

        Args:
            sensor: sensor id.
            ts_ns: event times in nanoseconds.
            values: cleaned values, rounded by the detector; NaN becomes null.
            score: normalised scores.
            offsets: offset of each reading's record.
            indices: index of each reading in its record.
            off: whether each was not judged; None where all were.
            latent: place of the last reading on the model's map; None, or not finite, is left out.
            settled: lag in readings, and the settled value of the reading so far before each; NaN
                becomes null.
            model: name@version.
            source: topic and partition of the readings.

        Raises:
            ValueError: shapes that do not fit.
        """
        _check_shapes(values, len(self._channels), ts_ns, score, offsets, indices)
        if settled is not None:
            _check_shapes(settled[1], len(self._channels), ts_ns)
        columns = {"score": score, "offset": offsets}
        if np.count_nonzero(indices):
            columns["index"] = indices
        if off is not None and off.any():
            columns["off"] = off
        topic, partition = source
        facts: Facts = {"sensor_id": sensor, "model": model, "topic": topic, "partition": partition}
        if latent is not None and all(map(isfinite, latent)):
            facts["latent"] = list(latent)
        return self._write(self._channels, values, ts_ns, facts, columns, settled)


def decode_denoised(value: bytes, content_type: str | bytes = DENOISED_JSON) -> DenoisedFrame:
    """Read a denoised frame back; for those who consume Vigie's output.

    Raises:
        UnknownContentTypeError: not a content type of denoised frames.
        InvalidRecordError: the bytes are no such frame.
    """
    if isinstance(content_type, bytes):
        content_type = content_type.decode("ascii", errors="replace")
    try:
        if content_type == DENOISED_ARROW:
            return DenoisedFrame.model_validate(arrow_encoding.read_denoised(value))
        if content_type == DENOISED_JSON:
            return DenoisedFrame.model_validate_json(value)
    except ValidationError as error:
        raise InvalidRecordError(f"not a denoised frame: {error}") from error
    raise unknown_content_type(content_type, (DENOISED_JSON, DENOISED_ARROW))


Facts = dict[str, str | int | list[float]]
"""What a frame says once."""
Columns = dict[str, Any]
"""What a frame says per reading, beside time and values: an int64 or float64 array each."""
Values = Float64[np.ndarray, "readings channels"]
Times = Int64[np.ndarray, " readings"]
Settled = tuple[int, Values]
"""Readings of look-ahead, and what they make of the values."""
Writer = Callable[[tuple[str, ...], Values, Times, Facts, Columns, Settled | None], bytes]


def _write_json(  # noqa: PLR0917 - a `Writer`
    channels: tuple[str, ...],
    values: Values,
    ts_ns: Times,
    facts: Facts,
    columns: Columns,
    settled: Settled | None,
) -> bytes:
    document: dict[str, Any] = {
        "sensor_id": facts["sensor_id"],
        "ts": array_to_wire(ts_ns),
        "values": dict(zip(channels, values.T.tolist(), strict=True)),
        **{name: column.tolist() for name, column in columns.items()},
        **facts,
    }
    if settled is not None:
        lag, later = settled
        named = dict(zip(channels, later.T.tolist(), strict=True))
        document["settled"] = {"lag": lag, "values": named}
    return to_json(document, inf_nan_mode="null")


ENCODERS: Mapping[str, Writer] = {
    FRAME_JSON: _write_json,
    FRAME_ARROW: arrow_encoding.write,
    DENOISED_JSON: _write_json,
    DENOISED_ARROW: arrow_encoding.write,
}


def _writer_of(content_type: str, allowed: tuple[str, ...]) -> Writer:
    if content_type not in allowed:
        raise unknown_content_type(content_type, allowed)
    return ENCODERS[content_type]


def _check_shapes(
    values: Float64[np.ndarray, "..."], n_channels: int, *columns: np.ndarray[Any, Any]
) -> None:
    """Raise ValueError unless values is [k, n_channels] with k >= 1 and each column is [k]."""
    k = len(columns[0])
    if k < 1 or values.shape != (k, n_channels) or any(len(column) != k for column in columns):
        lengths = ", ".join(str(cast("tuple[int, ...]", column.shape)) for column in columns)
        raise ValueError(
            f"values must be [k, {n_channels}] and all columns [k], k >= 1;"
            f" got {values.shape} and {lengths}"
        )
