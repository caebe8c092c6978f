r"""Matchers as text, for the command line: `severity="high"`, `sensor_id=~"pump-.*"`, `a=b`.

The grammar is Alertmanager's. A name or a value may stand in double quotes, where \" \\ and \n mean
a quote, a backslash and a new line, and any other backslash is itself, as in "pump-\d+". Without
quotes a name has none of `{}!=~,"\` and no blank, and a value no quote; blanks around both are
skipped. In a list, which may stand in braces, such a value ends at the next comma.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from schemas.api.matchers import Matcher

__all__ = ["MAX_TEXT_CHARS", "format_matcher", "parse_matcher", "parse_matchers"]

MAX_TEXT_CHARS: Final = 16_384
"""Longest text that is parsed."""
# Possessive, so that no text is looked at twice.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_NAME: Final = re.compile(
    rf'\s*+(?P<name>{_QUOTED}|[^\s{{}}!=~,"\\]++)\s*+(?P<how>!~|=~|!=|=)\s*+', re.DOTALL
)
_LAST_VALUE: Final = re.compile(rf'(?P<value>{_QUOTED}\s*+|[^"]*+)\Z', re.DOTALL)
_LISTED_VALUE: Final = re.compile(rf'(?P<value>{_QUOTED}\s*+|[^",]*+)(?:,\s*+|\Z)', re.DOTALL)
_ESCAPE: Final = re.compile(r'\\(["\\n])')
_PLAIN_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def parse_matcher(text: str) -> Matcher:
    """The matcher that a text is.

    Raises:
        ValueError: it is none; says what one looks like.
    """
    _check_length(text)
    matcher, end = _parse(text, 0, _LAST_VALUE)
    assert end == len(text)
    return matcher


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers of a list: `severity="high",sensor_id=~"pump-.*"`, also in braces.

    Raises:
        ValueError: one of them is none; says what one looks like.
    """
    _check_length(text)
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    found: list[Matcher] = []
    end = 0
    while end < len(inner):
        matcher, end = _parse(inner, end, _LISTED_VALUE)
        found.append(matcher)
    return tuple(found)


def format_matcher(matcher: Matcher) -> str:
    """The matcher as text, which `parse_matcher` and Alertmanager read."""
    name = matcher.name if _PLAIN_NAME.fullmatch(matcher.name) else _quote(matcher.name)
    how = ("=~" if matcher.is_equal else "!~") if matcher.is_regex else "="
    if not matcher.is_regex and not matcher.is_equal:
        how = "!="
    return f"{name}{how}{_quote(matcher.value)}"


def _check_length(text: str) -> None:
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(f"matchers have at most {MAX_TEXT_CHARS} characters, got {len(text)}")


def _parse(text: str, start: int, value_form: re.Pattern[str]) -> tuple[Matcher, int]:
    head = _NAME.match(text, start)
    rest = value_form.match(text, head.end()) if head else None
    if head is None or rest is None:
        raise ValueError(
            f'{text[start:]!r} is no matcher, such as severity="high", site!=lyon, '
            'sensor_id=~"pump-.*" or line!~"test.*"'
        )
    how = head["how"]
    try:
        matcher = Matcher(
            name=_plain(head["name"]),
            value=_plain(rest["value"]),
            is_regex=how.endswith("~"),
            is_equal=not how.startswith("!"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{text[start:]!r}: {first['loc'][0]}: {first['msg']}") from error
    return matcher, rest.end()


def _plain(token: str) -> str:
    token = token.rstrip()
    if token.startswith('"'):
        return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], token[1:-1])
    return token


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
