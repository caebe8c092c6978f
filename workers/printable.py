"""Text of others made safe to show: names, units and ids are data, never commands to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text that is safe on a terminal: what is not printable is escaped as Python writes it."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def printable_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))
