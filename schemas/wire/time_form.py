"""Event time as other people write it: epoch numbers of any unit, ISO 8601, a strptime form.

Exact to the nanosecond, but for epoch numbers with a fraction: they are rounded to the microsecond,
which is what a float holds of today's seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from schemas.wire.errors import excerpt
from schemas.wire.time_zone import to_utc
from schemas.wire.timestamp import MAX_NS, TimestampError, in_range, parse_iso

TimeUnit = Literal["s", "ms", "us", "ns"]

NS_PER: Final = MappingProxyType({"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1})
_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(?:\.\d{0,20})?", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with the clock on the wall
# Times of 1990 to 2100, taken for numbers of a finer unit, lie in the first weeks of 1970.
_SIXTY_DAYS_NS: Final = 60 * 86_400 * 10**9
_PLAUSIBLE_S: Final = (631_152_000, 4_102_444_800)
SPREADSHEET_DAYS: Final = range(20_000, 80_000)
"""What the days of 1954 to 2119 are in a spreadsheet, which counts them from 1899-12-30."""
"""Days of 1954 to 2119, as spreadsheets count them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeForm:
    """How times are written.

    Attributes:
        unit: of epoch numbers.
        pattern: form of the text for `datetime.strptime`; None reads numbers and ISO 8601.
        zone: named time zone of texts without an offset; None rejects them.
        reads_text_numbers: whether "1760920000" is the number 1760920000.
    """

    unit: TimeUnit = "ms"
    pattern: str | None = None
    zone: str | None = None
    reads_text_numbers: bool = False

    def array(
        self, wire: list[Any], stamps_ms: Int64[np.ndarray, " times"] | None
    ) -> Int64[np.ndarray, " times"]:
        """Nanoseconds since the epoch; fast when all are numbers of one type.

        Args:
            wire: the times as they were parsed.
            stamps_ms: timestamp of the record of each, below 0 for none; may be None if there is
                no `zone`.

        Raises:
            TimestampError: one of them is no such time.
        """
        kinds = set(map(type, wire))
        ns = None
        if self.pattern is None and kinds == {int}:
            ns = self._of_integers(wire)
        elif self.pattern is None and kinds == {float} and self.unit != "ns":
            ns = self._of_floats(wire)
        if ns is not None and not ((ns >= 0) & (ns < _SIXTY_DAYS_NS)).any():
            return ns
        stamps = [-1] * len(wire) if stamps_ms is None else stamps_ms.tolist()
        one = self.one
        return np.array([one(value, s) for value, s in zip(wire, stamps, strict=True)], np.int64)

    def one(self, value: object, stamp_ms: int) -> int:
        """Nanoseconds since the epoch of one time; arguments and errors as for `array`."""
        if type(value) is str:
            if self.pattern is not None:
                return self._of_pattern(value, self.pattern, stamp_ms)
            is_number = _NUMBER.fullmatch(value) is not None
            if is_number and self.reads_text_numbers:
                return self._plausible(round(Decimal(value) * NS_PER[self.unit]), value)
            if is_number:
                raise TimestampError(
                    f"{excerpt(value)} is a number written as text, and is not ISO 8601"
                    ' (input.numbers = "text" reads it as a number)'
                )
            ns, has_offset = parse_iso(value)
            return ns if has_offset else self._to_utc(ns, value, stamp_ms)
        if self.pattern is None and type(value) is int:
            return self._plausible(value * NS_PER[self.unit], value)
        if self.pattern is None and type(value) is float and isfinite(value):
            return self._plausible(self._of_float(value), value)
        wanted = (
            f'a text of the form "{self.pattern}" (input.time_format)'
            if self.pattern is not None
            else f"a number of {self.unit} since 1970 (input.time_unit) or an ISO 8601 text"
        )
        raise TimestampError(f"must be {wanted}, got {excerpt(value)}")

    def _of_integers(self, wire: list[int]) -> NDArray[np.int64] | None:
        factor = NS_PER[self.unit]
        try:
            numbers = np.array(wire, dtype=np.int64)
        except OverflowError:
            return None
        most = MAX_NS // factor
        return numbers * factor if numbers.min() >= -most and numbers.max() <= most else None

    def _of_floats(self, wire: list[float]) -> NDArray[np.int64] | None:
        numbers, factor = np.array(wire), NS_PER[self.unit]
        # Also false of NaN; beyond it the product would overflow.
        if not (np.abs(numbers) < MAX_NS // factor).all():
            return None
        return np.rint(numbers * (factor / 1e3)).astype(np.int64) * 1_000

    def _of_float(self, value: float) -> int:
        if self.unit == "ns":
            return round(value)
        scaled = value * (NS_PER[self.unit] / 1e3)
        return round(scaled) * 1_000 if isfinite(scaled) else MAX_NS + 1

    def _of_pattern(self, text: str, pattern: str, stamp_ms: int) -> int:
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is applied below
        except ValueError:
            raise TimestampError(
                f'{excerpt(text)} has not the form "{pattern}" (input.time_format)'
            ) from None
        local_ns = (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND * 1_000
        offset = moment.utcoffset()
        if offset is None:
            return self._to_utc(in_range(local_ns, text), text, stamp_ms)
        return in_range(local_ns - offset // _MICROSECOND * 1_000, text)

    def _to_utc(self, local_ns: int, text: str, stamp_ms: int) -> int:
        if self.zone is None:
            raise TimestampError(
                f"{excerpt(text)} has no offset, so it could be any hour of the day: say in"
                ' input.timezone which clock it is, such as "Europe/Berlin" or "UTC"'
            )
        return to_utc(local_ns, self.zone, stamp_ms=stamp_ms)

    def _plausible(self, ns: int, value: object) -> int:
        """The nanoseconds, unless they are out of range or only make sense in another unit."""
        is_early = 0 <= ns < _SIXTY_DAYS_NS
        if is_early or not -MAX_NS <= ns <= MAX_NS:
            low, high = _PLAUSIBLE_S
            for unit, factor in NS_PER.items():
                seconds = ns // NS_PER[self.unit] * factor // NS_PER["s"]
                if unit != self.unit and low <= seconds <= high:
                    raise TimestampError(
                        f"{excerpt(value)} in {self.unit} since 1970 lies in"
                        f" {'January or February 1970' if abs(ns) <= MAX_NS else 'no known year'};"
                        f' in {unit} it would be today: is input.time_unit = "{unit}" right?'
                    )
        if is_early:
            raise TimestampError(
                f"{excerpt(value)} in {self.unit} since 1970 lies in January or February 1970"
                f"{self._early_hint(ns)}"
            )
        return in_range(ns, value)

    def _early_hint(self, ns: int) -> str:
        """What such a number may be instead."""
        low, high = SPREADSHEET_DAYS.start, SPREADSHEET_DAYS.stop
        if low * NS_PER[self.unit] <= ns <= high * NS_PER[self.unit]:
            return (
                "; a spreadsheet means a day of this century by it, counted from 1900: send seconds"
                " since 1970, (days - 25569) * 86400 less the offset of its clock, or ISO 8601"
            )
        return (
            ", as that of a clock that was not set does: set it, or take the record's own"
            ' (input.time = "record:timestamp")'
        )
