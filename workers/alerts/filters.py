"""Filters of the CloudEvents Subscriptions API: the dialects that its specification requires.

An attribute that the event does not have matches no text; so `not` of a filter about it passes.
Texts compare as written, letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.api.matchers import Filter

__all__ = ["passes", "passes_all"]


def passes(rule: Filter, attributes: Mapping[str, str]) -> bool:
    """Whether an event with these attributes passes a filter."""
    if rule.exact is not None:
        return all(attributes.get(name) == text for name, text in rule.exact.items())
    if rule.prefix is not None:
        return all(
            name in attributes and attributes[name].startswith(text)
            for name, text in rule.prefix.items()
        )
    if rule.suffix is not None:
        return all(
            name in attributes and attributes[name].endswith(text)
            for name, text in rule.suffix.items()
        )
    if rule.all is not None:
        return passes_all(rule.all, attributes)
    if rule.any is not None:
        return any(passes(one, attributes) for one in rule.any)
    assert rule.not_ is not None
    return not passes(rule.not_, attributes)


def passes_all(rules: Iterable[Filter], attributes: Mapping[str, str]) -> bool:
    """Whether an event with these attributes passes every filter."""
    return all(passes(rule, attributes) for rule in rules)
