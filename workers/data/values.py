"""Columns of files to columns of readings: times, numbers, labels and names.

Each function takes one Arrow array and gives one numpy array. The first value that cannot be read
raises `ValueReadError` with its position, so that the caller can name file, row and column.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MISSING = pa.array(["", "nan", "null", "na", "n/a", "none", "-"])
_NUMBER = r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$"
_ZONE = r"([zZ]|[+-]\d{2}:?\d{2})$"
_SHOWN_CHARACTERS = 40


class ValueReadError(ValueError):
    """A value cannot be read; `index` is its position in the column."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class EpochUnit(Enum):
    """Unit of times given as numbers since 1970-01-01 UTC; the value is in nanoseconds."""

    AUTO = 0  # by the size of the first time: seconds below 1e11, then ms, us, ns
    SECONDS = 1_000_000_000
    MILLISECONDS = 1_000_000
    MICROSECONDS = 1_000
    NANOSECONDS = 1

    @classmethod
    def guess(cls, column: Any) -> EpochUnit:
        """Unit that puts the first time between 1973 and 5138; AUTO if it is no number."""
        if pa.types.is_temporal(column.type):  # says its unit itself
            return cls.AUTO
        first = next((value.as_py() for value in column if value.is_valid), None)
        try:
            size = abs(float(first))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return cls.AUTO
        for unit, limit in (
            (cls.SECONDS, 1e11),
            (cls.MILLISECONDS, 1e14),
            (cls.MICROSECONDS, 1e17),
        ):
            if size < limit:
                return unit
        return cls.NANOSECONDS


def to_times(column: Any, unit: EpochUnit) -> npt.NDArray[np.int64]:
    """Event times in nanoseconds UTC, int64 [n].

    Text is RFC 3339 or ISO 8601; without an offset it is taken as UTC. Numbers, also as text, are
    time since the epoch in `unit`; fractions are rounded to microseconds.
    """
    column = _plain(column)
    _refuse(pc.is_null(column), column, "the time is missing")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        zoneless = pa.timestamp("ns", getattr(column.type, "tz", None))
        return _to_int64(pc.cast(pc.cast(column, zoneless), pa.int64()))
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        if not pc.all(pc.match_substring_regex(column, _NUMBER)).as_py():
            return _parse_times(column)
        column = _cast_numbers(column)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueReadError(0, f"cannot read {column.type} as a time")
    factor = EpochUnit.SECONDS.value if unit is EpochUnit.AUTO else unit.value
    numbers = column.to_numpy(zero_copy_only=False)
    bad = ~np.isfinite(numbers) | (np.abs(numbers.astype(np.float64)) * factor >= 2.0**63)
    _refuse(pa.array(bad), column, "the time is out of range")
    if numbers.dtype.kind in "iu":
        whole: npt.NDArray[np.int64] = numbers.astype(np.int64) * factor
        return whole
    microseconds: npt.NDArray[np.int64] = np.rint(numbers * (factor / 1e3)).astype(np.int64)
    return microseconds * 1_000


def to_floats(column: Any, decimal: str) -> npt.NDArray[np.float64]:
    """Numbers, float64 [n]; NaN where empty, `nan`, `null`, `na`, `n/a`, `none` or `-`."""
    column = _plain(column)
    if pa.types.is_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        missing = pc.is_in(pc.utf8_lower(text), _MISSING)
        text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
        if decimal == ",":
            text = pc.replace_substring(text, ",", ".")
        column = _cast_numbers(text)
    elif pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    elif not _is_number(column.type):
        raise ValueReadError(0, f"cannot read {column.type} as numbers")
    numbers: npt.NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    _refuse(pa.array(np.isinf(numbers)), column, "not a finite number")
    return numbers


def to_labels(column: Any, decimal: str) -> npt.NDArray[np.bool_]:
    """True where the label is true or a number other than 0, bool [n]; missing is False."""
    column = _plain(column)
    if pa.types.is_string(column.type):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        lower = pc.if_else(pc.equal(lower, "true"), "1", lower)
        column = pc.if_else(pc.equal(lower, "false"), "0", lower)
    labels: npt.NDArray[np.bool_] = np.nan_to_num(to_floats(column, decimal)) != 0
    return labels


def to_names(column: Any) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Distinct names in order of appearance, and the name of each row, int32 [n]."""
    column = _plain(column)
    _refuse(pc.is_null(column), column, "the sensor id is missing")
    names = pc.dictionary_encode(pc.cast(column, pa.string()))
    _refuse(pc.equal(pc.cast(column, pa.string()), ""), column, "the sensor id is empty")
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return tuple(names.dictionary.to_pylist()), codes


def _plain(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type):
        column = pc.cast(column, pa.string())
    return column


def _is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _cast_numbers(text: Any) -> Any:
    """Text to int64 where every value is whole, else to float64."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
    for index, value in enumerate(text):
        try:
            pc.cast(value, pa.float64())
        except pa.ArrowInvalid as error:
            raise ValueReadError(index, f"{_shown(value)} is not a number") from error
    raise AssertionError("a column cannot be cast, yet each of its values can")


def _parse_times(text: Any) -> npt.NDArray[np.int64]:
    nothing = pa.scalar(None, pa.string())
    zoned = pc.match_substring_regex(text, _ZONE)
    try:
        local = _cast_times(pc.if_else(zoned, nothing, text), None)
        return _to_int64(pc.coalesce(_cast_times(pc.if_else(zoned, text, nothing), "UTC"), local))
    except pa.ArrowInvalid:
        for index, value in enumerate(text):
            try:
                _cast_times(value, "UTC" if zoned[index].as_py() else None)
            except pa.ArrowInvalid as error:
                raise ValueReadError(
                    index, f"{_shown(value)} is not a time such as 2026-01-31T12:00:00Z"
                ) from error
        raise


def _cast_times(text: Any, zone: str | None) -> Any:
    return pc.cast(pc.cast(text, pa.timestamp("ns", zone)), pa.int64())


def _refuse(bad: Any, column: Any, message: str) -> None:
    index = pc.index(bad, value=True).as_py()
    if index >= 0:
        raise ValueReadError(index, f"{message}: {_shown(column[index])}")


def _shown(value: Any) -> str:
    # Not `as_py` of a time: between microseconds it needs pandas.
    text = str(value) if pa.types.is_temporal(value.type) else repr(value.as_py())
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _to_int64(column: Any) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
    return numbers
