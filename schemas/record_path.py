"""Where something is in a record: `tags.host`, `payload?.after`, `/device`, `data.0.v`, `.`.

Names are separated by dots. A name that holds a dot or another mark goes into quotes
(`tags."site.line"`); a name of digits is also the place in an array; a name with `?` behind it may
be absent, and is then passed over. A path begins where the reading is, with `/` in front at the top
of the record. `.` is that beginning itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from schemas.wire.errors import InvalidRecordError, excerpt

MAX_PATH_CHARS = 500

_STEP = re.compile(r'(?:"([^"]+)"|([^."?/\[\]]+))(\?)?(?:\.|$)')


@dataclass(frozen=True, slots=True)
class _Step:
    """One name of a path."""

    name: str
    is_quoted: bool = False
    is_optional: bool = False

    def column(self, items: list[Any]) -> list[Any]:
        """What lies under the name in each; raises LookupError or TypeError if one lacks it."""
        if self.is_optional or self.is_place:
            return [self.of(item) for item in items]
        return list(map(itemgetter(self.name), items))

    def of(self, item: Any) -> Any:
        """What lies under the name in one object or array."""
        if type(item) is list and self.is_place:
            return item[int(self.name)]
        if type(item) is not dict:
            raise TypeError
        return item.get(self.name, item) if self.is_optional else item[self.name]

    @property
    def is_place(self) -> bool:
        """Whether the name is also a place in an array."""
        return not self.is_quoted and self.name.isdecimal() and self.name.isascii()


@dataclass(frozen=True, slots=True)
class RecordPath:
    """A parsed path.

    Attributes:
        text: as it was written.
        from_top: whether it begins at the top of the record rather than at the reading.
    """

    text: str
    steps: tuple[_Step, ...]
    from_top: bool

    @classmethod
    def parse(cls, text: str) -> RecordPath:
        """Parse a path.

        Raises:
            ValueError: it is none.
        """
        from_top = text.startswith("/")
        rest = text[from_top:]
        if rest == "." or (from_top and not rest):
            return cls(text, (), from_top)
        found: list[_Step] = []
        at = 0
        while match := _STEP.match(rest, at):
            quoted, plain, optional = match.groups()
            found.append(_Step(quoted or plain, quoted is not None, optional is not None))
            at = match.end()
        if at < len(rest) or not found or rest.endswith(".") or len(text) > MAX_PATH_CHARS:
            raise ValueError(
                f"{excerpt(text)} is no path: names with dots between, such as tags.host; a name"
                ' with a dot or another mark in it goes into quotes, such as tags."my.host"'
            )
        return cls(text, tuple(found), from_top)

    def column(self, items: list[Any]) -> list[Any]:
        """What lies there in each of some objects, in C speed.

        Raises:
            LookupError, TypeError: one of them lacks it; `of` says what.
        """
        for step in self.steps:
            items = step.column(items)
        return items

    def of(self, item: Any) -> Any:
        """What lies there in one object.

        Raises:
            InvalidRecordError: it is not there, and what is there.
        """
        for depth, step in enumerate(self.steps):
            try:
                item = step.of(item)
            except (LookupError, TypeError):
                raise InvalidRecordError(
                    f"{step.name!r} is missing; {self._place(depth)} {_contents(item)}"
                ) from None
        return item

    def _place(self, depth: int) -> str:
        """What to call the place that a step starts from."""
        if depth:
            return repr(".".join(step.name for step in self.steps[:depth]))
        return "the record" if self.from_top else "it"


def _contents(item: Any) -> str:
    """What an object has, or what stands in its place."""
    if type(item) is dict:
        return f"has: {excerpt(', '.join(map(str, list(item)[:20])) or 'nothing', 200)}"
    return f"is {excerpt(item)}"
