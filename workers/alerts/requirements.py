"""What an event must have for a subscription to want it, as far as an index can look it up.

A requirement is a list of alternatives, one of which every event that is wanted has: a text that
the subject or a label is, begins with, or ends with. It may let events through that are not wanted;
it never keeps one back that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from schemas.api.matchers import Filter
from workers.alerts.matchers import LabelMatcher

__all__ = ["MAGIC", "SUBJECT", "Fit", "Key", "Requirement", "of_filters", "of_globs", "of_matchers"]

SUBJECT: Final = ""
"""Stands for the event's subject where the name of a label is expected: no label has no name."""
MAGIC: Final = re.compile(r"[*?\[]")
"""Characters that make a name a pattern."""
_SYNTAX: Final = re.compile(r"[.*+?()\[\]{}\\^$|]")
"""Characters of a regular expression that may be something else than themselves."""
_MAY_DROP: Final = frozenset("*?{(\\")
"""Before these, the last character may be missing: also in `a(?i)*` and `a\\Q\\E*`."""


class Fit(IntEnum):
    """How a text fits a key; the narrower one is less."""

    EQUAL = 0
    START = 1
    END = 2


@dataclass(frozen=True)
class Key:
    """A text that a label, or the subject, has to fit."""

    name: str
    """The label, or `SUBJECT`."""
    fit: Fit
    """How."""
    text: str
    """The text; never empty, as a label that is missing is the empty text."""


Requirement = tuple[Key, ...]
"""Keys, one of which is there in every event that is wanted."""


def of_globs(exact: Iterable[str], globs: Iterable[str]) -> Requirement | None:
    """The requirement of names and patterns of sensors; None if there is none.

    A pattern that may begin and end with anything requires nothing.
    """
    keys = [Key(SUBJECT, Fit.EQUAL, name) for name in exact]
    for glob in globs:
        found = MAGIC.search(glob)
        start = glob[: found.start()] if found else glob
        # What follows the last `*` or `?` may belong to a set in brackets.
        end = "" if "[" in glob or "]" in glob else re.split(r"[*?]", glob)[-1]
        if not (start or end):
            return None
        keys.append(Key(SUBJECT, Fit.START, start) if start else Key(SUBJECT, Fit.END, end))
    return tuple(keys)


def of_matchers(matchers: Iterable[LabelMatcher]) -> Iterator[Requirement]:
    """Requirements of matchers that all have to match."""
    for one in matchers:
        if one.required is not None:
            yield (Key(one.name, Fit.EQUAL, one.value),)
        elif one.pattern is not None and one.is_equal and (keys := _of_pattern(one)):
            yield keys


def of_filters(rules: Iterable[Filter]) -> Iterator[Requirement]:
    """Requirements of filters that all have to pass."""
    for rule in rules:
        dialects = ((Fit.EQUAL, rule.exact), (Fit.START, rule.prefix), (Fit.END, rule.suffix))
        for fit, texts in dialects:
            if texts is not None and "subject" in texts:
                yield (Key(SUBJECT, fit, texts["subject"]),)
        if rule.all is not None:
            yield from of_filters(rule.all)
        if rule.any is not None:
            branches = [next(of_filters([branch]), None) for branch in rule.any]
            if None not in branches:
                yield tuple(key for branch in branches for key in branch or ())


def _of_pattern(matcher: LabelMatcher) -> Requirement | None:
    """The requirement of a regular expression, such as `lyon|paris` and `pump-[0-9]+`."""
    pattern = matcher.value
    parts = pattern.split("|")
    if len(parts) > 1 and re.search(r"[()\[\]\\]", pattern):
        # The bar may stand within something.
        return None
    keys = []
    for part in parts:
        found = _SYNTAX.search(part)
        if found is None:
            start, fit = part, Fit.EQUAL
        else:
            is_optional = found[0] in _MAY_DROP
            start, fit = part[: max(found.start() - is_optional, 0)], Fit.START
        if not start:
            return None
        keys.append(Key(matcher.name, fit, start))
    return tuple(keys)
