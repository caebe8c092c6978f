"""What stands for a number in a foreign record, and on request only: texts, words, booleans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Float64

from schemas.codec.json_readings import float_array
from schemas.wire.errors import InvalidRecordError, excerpt

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_ONE = re.compile(rf"\s*{_NUMBER}\s*", re.ASCII)
_LINES = re.compile(rf"(?:[^\S\n]*{_NUMBER}[^\S\n]*\n)+", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """Reads numbers; null is a missing value always.

    Attributes:
        reads_text: whether "50.1" is 50.1. Only a decimal point and an exponent are read: "1,039"
            may be 1.039 or 1,039, so it is an error.
        reads_booleans: whether true is 1 and false is 0.
        words: number of each text that stands for one, NaN for a missing value; goes before
            `reads_text`.
    """

    reads_text: bool = False
    reads_booleans: bool = False
    words: Mapping[str, float]

    def array(self, wire: list[Any]) -> Float64[np.ndarray, " numbers"]:
        """Parsed values as an array, null as NaN.

        Raises:
            ValueError: one of them stands for no finite number; `one` says why.
            OverflowError: an integer that no float holds.
        """
        try:
            return float_array(wire)
        except ValueError:
            return float_array(self._translated(wire))

    def one(self, value: Any, name: str) -> float:
        """One value; `name` is what to call it.

        Raises:
            InvalidRecordError: says what is wrong, and which setting would read it.
        """
        try:
            return float(self.array([value])[0])
        except (ValueError, OverflowError):
            raise InvalidRecordError(
                f"{name}: must be a finite number or null, got {excerpt(value)}{self._hint(value)}"
            ) from None

    def _translated(self, wire: list[Any]) -> list[Any]:
        """The values with numbers in place of what stands for them."""
        kinds = set(map(type, wire))
        if self.reads_booleans and bool in kinds:
            wire = [float(value) if type(value) is bool else value for value in wire]
        if str not in kinds:
            return wire
        if self.words:
            words = self.words
            wire = [words.get(value, value) if type(value) is str else value for value in wire]
        if not self.reads_text:
            return wire
        texts = [value for value in wire if type(value) is str]
        # float() would take "nan", "1_0" and figures of other scripts too.
        if texts and not _LINES.fullmatch("\n".join([*texts, ""])):
            raise ValueError("not a number")
        if len(texts) == len(wire):
            return list(map(float, wire))
        return [float(value) if type(value) is str else value for value in wire]

    def _hint(self, value: Any) -> str:
        if type(value) is bool and not self.reads_booleans:
            return ' (input.booleans = "numbers" reads true as 1 and false as 0)'
        if type(value) is str and not self.reads_text and _ONE.fullmatch(value):
            return ' (input.numbers = "text" reads numbers that are written as text)'
        if type(value) is str and "," in value and _ONE.fullmatch(value.replace(",", "")):
            return (
                " (a comma may set off decimals or thousands: send a number, or a text with a"
                " decimal point and nothing between thousands)"
            )
        if type(value) is str:
            return " (a word: input.words gives it a number, input.missing_words makes it missing)"
        if type(value) is dict:
            return " (input.value_field says where the value is in an object)"
        return ""


def numbers_of(
    *, text: bool, booleans: bool, words: Mapping[str, float], missing: list[str]
) -> Numbers:
    """The numbers of these settings."""
    return Numbers(
        reads_text=text,
        reads_booleans=booleans,
        words={**words, **dict.fromkeys(missing, nan)},
    )
