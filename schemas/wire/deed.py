"""A wish that was heeded, and files of such deeds: one a line, as JSON.

The stream publishes a deed when a wish begins to hold for a sensor, and another when the wish was
withdrawn. A file of deeds tells a backtest or a training the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from uuid import UUID

from pydantic import Field, ValidationError, model_validator

from schemas.wire.fields import Name, Offset, Partition, WireModel
from schemas.wire.timestamp import TimestampNs
from schemas.wire.verdict import Off, Wish, told

__all__ = ["Deed", "format_deed", "parse_deeds", "standing_at_the_end"]


class Deed(WireModel):
    """From where on a wish holds for a sensor, or holds no more."""

    sensor: Name
    """The sensor; in a file also a pattern of sensors, for a wish that turns them off."""
    after_ns: TimestampNs | None = Field(default=None, alias="after")
    """It holds for the sensor's readings later than this event time; absent: from its first one on.

    Of a sensor that begins, or begins anew, this is just before its first reading.
    """
    partition: Partition | None = None
    """Partition of the readings; absent in a file that nothing streamed."""
    offset: Offset | None = None
    """Offset of the record from which it holds; absent in a file that nothing streamed."""
    withdrawn: bool = False
    """Whether the wish holds no more from there on."""
    wish: Wish | None = None
    """The wish; absent where one was withdrawn whose words are gone."""
    id: UUID | None = None
    """The wish's id; absent in a file where the wish is there."""

    @model_validator(mode="after")
    def _check_wish(self) -> Deed:
        if self.wish is None and not (self.withdrawn and self.id is not None):
            raise ValueError("a deed needs its wish, or withdrawn and the wish's id")
        if self.wish is not None and self.id not in {None, self.wish.id}:
            raise ValueError("the id is not the wish's")
        return self

    @property
    def wish_id(self) -> UUID:
        """The wish's id."""
        found = self.id if self.wish is None else self.wish.id
        assert found is not None
        return found

    def concerns(self, sensor: str) -> bool:
        """Whether it is of this sensor."""
        return self.sensor == sensor or (
            isinstance(self.wish, Off) and fnmatchcase(sensor, self.sensor)
        )


def format_deed(deed: Deed) -> str:
    """One line of a file, without its end."""
    return deed.model_dump_json(exclude_none=True)


def parse_deeds(lines: Iterable[str | bytes]) -> list[Deed]:
    """The deeds of a file, in its order; empty lines are skipped.

    Raises:
        ValueError: names the first line that is no deed, and what is wrong with it.
    """
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Deed.model_validate_json(line))
        except ValidationError as error:
            raise ValueError(f"line {number} is no deed: {told(error)}") from error
    return found


def standing_at_the_end(deeds: Iterable[Deed]) -> list[Deed]:
    """Those whose wish was not withdrawn from their sensor later, each once, the last word."""
    last: dict[tuple[str, UUID], Deed] = {}
    for deed in deeds:
        last.pop((deed.sensor, deed.wish_id), None)
        if not deed.withdrawn:
            last[deed.sensor, deed.wish_id] = deed
    return list(last.values())
