"""Names by shell patterns: which sensors an entry of the settings is about."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_NAMES = 65_536
"""Names remembered; beyond, all are forgotten and matched anew."""


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns or fits it; letters count as written."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


class ByName(Generic[T]):
    """What holds for a name, made once of the entries whose patterns it fits. Picklable.

    Args:
        patterns: of each entry.
        make: of the places of the entries that a name fits; must not depend on anything else.
    """

    def __init__(
        self, patterns: Sequence[Sequence[str]], make: Callable[[tuple[int, ...]], T]
    ) -> None:
        self._patterns = patterns
        self._make = make
        self._found: dict[str, T | None] = {}
        self._made: dict[tuple[int, ...], T] = {}

    def get(self, name: str) -> T | None:
        """What holds for the name; None when it fits no entry."""
        if name not in self._found:
            if len(self._found) >= _MOST_NAMES:
                self._found.clear()
            self._found[name] = self._of(name)
        return self._found[name]

    def _of(self, name: str) -> T | None:
        places = tuple(i for i, own in enumerate(self._patterns) if matches(name, own))
        if not places:
            return None
        if places not in self._made:
            self._made[places] = self._make(places)
        return self._made[places]
