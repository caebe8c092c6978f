"""From the bytes of records to plain objects: the first of two steps of reading foreign records.

A record that does not come in one of Vigie's own formats is read in two steps that know nothing of
each other: a `Parser` makes a plain object of its bytes (`input.format` names it), and
`schemas.codec.envelope` finds sensor, time and values in that object (the rest of `[input]`). So a
format is a parser and nothing else, and every envelope works in every format.

*Plain* means what JSON can say: a dict with text keys, a list, str, int, float, bool, None. NaN is
allowed and means missing. Other types of a format are turned into these by its parser: a time into
epoch numbers of one unit or into RFC 3339 text (both are read to the nanosecond), a decimal into a
float or a text number, bytes into text. A type that is left over is reported as no number, text or
object where `[input]` looks for one, and ignored elsewhere.

`JsonParser` is the only one in this package. A parser that needs a service (a schema registry)
lives above and is handed to the decoder; by then it must know the schemas of the batch, for parsing
is a pure function: a restart reads the same records again and must get the same readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from schemas.columns import Gathering


class Parser(Protocol):
    """Makes plain objects of the bytes of records; pure, and picklable if its owner is."""

    def parse(
        self, values: Sequence[bytes], positions: Sequence[int], into: Gathering
    ) -> tuple[list[Any], Sequence[int]]:
        """Parse each record by itself: what else is in the batch changes nothing.

        Args:
            values: the bytes of each record, not empty of records, each within the size limit.
            positions: index of each record in the whole batch, ascending.
            into: receives what cannot be parsed, by `Gathering.reject` with a `RecordError` (a
                `MalformedRecordError` for bytes that are not of the format).

        Returns:
            The plain objects, and the positions of the records they come from: as many, ascending.
            No exception but for programming errors.
        """
        ...
