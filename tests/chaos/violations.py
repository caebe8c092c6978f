"""What judges find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One promise that was not kept.

    Attributes:
        check: which.
        count: how often.
        examples: the first few.
    """

    check: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.check}: {self.count}, such as {'; '.join(self.examples)}"


Violations = list[Violation]


def found(check: str, cases: Iterable[object]) -> Violations:
    """The cases as one violation; nothing when there are none."""
    listed = [str(case) for case in cases]
    if not listed:
        return []
    return [Violation(check=check, count=len(listed), examples=tuple(listed[:SHOWN]))]
