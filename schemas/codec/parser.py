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
lives above and is handed to the decoder (`schemas.codec.confluent`, `workers.registry`). Parsing is
a function of the log all the same: a restart reads the same records and must get the same readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pydantic_core import from_json

from schemas.codec.json_readings import not_json
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
            No exception but for programming errors, and what a parser above raises because a
            service is away: then nothing was decoded, and the batch is read again.
        """
        ...


@dataclass(frozen=True, slots=True)
class JsonParser:
    """JSON, one document a record: any value, not objects only.

    Each record is parsed by itself: with more than a handful of fields that is as fast as the
    joined parse of `schemas.codec.json_readings`, and needs no proof. Of a key that comes twice in
    an object the last one counts, as there.

    Attributes:
        reads_nan: whether the token NaN is read, as missing. An infinity never becomes a value.
    """

    reads_nan: bool = False

    def parse(
        self, values: Sequence[bytes], positions: Sequence[int], into: Gathering
    ) -> tuple[list[Any], Sequence[int]]:
        """See `Parser`."""
        parse = partial(from_json, allow_inf_nan=self.reads_nan)
        try:
            return list(map(parse, values)), positions
        except ValueError:
            pass
        items: list[Any] = []
        kept: list[int] = []
        for value, position in zip(values, positions, strict=True):
            try:
                items.append(parse(value))
            except ValueError as error:
                into.reject(position, not_json(value, error))
            else:
                kept.append(position)
        return items, kept
