"""Alertmanager's matchers over the labels of an incident.

A matcher is a label, one of the operators = != =~ !~, and a text or a regular expression. A label
that is not there is the empty text. A regular expression is one of RE2, which never takes longer
than linear time, and has to fit all of the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

import re2

from schemas.api.matchers import Matcher

if TYPE_CHECKING:
    from typing import Any

__all__ = ["LabelMatcher", "LabelMatchers", "is_vacuous"]

MAX_PATTERN_MEMORY: Final = 1 << 18
"""Bytes for one compiled expression: about 4,000 steps."""
_COMPILED: Final = 4096
"""Expressions that are remembered: many subscriptions use the same."""


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    options.never_capture = True
    return options


@lru_cache(maxsize=_COMPILED)
def _compile(pattern: str) -> Any:
    try:
        return re2.compile(pattern.encode(), _options())
    except UnicodeEncodeError as error:
        raise ValueError("the regular expression is not text: it has half a character") from error
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(
            f"{pattern!r} is no regular expression of RE2: {said or 'unknown reason'}"
        ) from error


@dataclass(frozen=True)
class LabelMatcher:
    """A matcher that is ready to be asked."""

    name: str
    """The label."""
    value: str
    """The text or regular expression."""
    is_equal: bool
    """Whether it has to match, or must not."""
    pattern: Any | None
    """The compiled expression; None compares with the text."""

    @classmethod
    def of(cls, matcher: Matcher) -> Self:
        """Get a matcher ready.

        Raises:
            ValueError: its regular expression is not one of RE2, or too large; says why.
        """
        pattern = _compile(matcher.value) if matcher.is_regex else None
        return cls(matcher.name, matcher.value, matcher.is_equal, pattern)

    @property
    def required(self) -> tuple[str, str] | None:
        """The label and the only text with which it matches, if that is not the empty one."""
        if self.pattern is None and self.is_equal and self.value:
            return (self.name, self.value)
        return None

    def matches_text(self, text: str) -> bool:
        """Whether it matches a label with this text."""
        if self.pattern is None:
            return (text == self.value) is self.is_equal
        # A label that is no valid Unicode is compared all the same, byte by byte.
        found = self.pattern.fullmatch(text.encode(errors="surrogatepass")) is not None
        return found is self.is_equal

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it matches an incident with these labels."""
        return self.matches_text(labels.get(self.name, ""))


@dataclass(frozen=True)
class LabelMatchers:
    """Matchers of which all have to match; none at all match everything."""

    matchers: tuple[LabelMatcher, ...]
    """What is compared with a text comes first, as it is cheaper."""

    @classmethod
    def of(cls, matchers: Iterable[Matcher]) -> Self:
        """Get matchers ready.

        Raises:
            ValueError: a regular expression is not one of RE2, or too large; says why.
        """
        ready = [LabelMatcher.of(matcher) for matcher in matchers]
        return cls(tuple(sorted(ready, key=lambda matcher: matcher.pattern is not None)))

    def match(self, labels: Mapping[str, str]) -> bool:
        """Whether all match an incident with these labels."""
        return all(matcher.matches(labels) for matcher in self.matchers)


def is_vacuous(matchers: Sequence[Matcher]) -> bool:
    """Whether all match the empty text, so that they say nothing: a silence of all there is.

    Raises:
        ValueError: a regular expression is not one of RE2, or too large.
    """
    return LabelMatchers.of(matchers).match({})
