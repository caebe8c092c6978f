"""A console that shows text as it is: no markup, no emoji codes, no control characters."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from workers.printable import printable_lines


class PlainConsole(Console):
    """Shows strings letter by letter, since any of them may hold a name of the user's.

    What shall be bold is a `Text` or has a style. A name that could hold a line break goes through
    `printable` before.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is shown comes by here."""
        return super().render_str(printable_lines(text), **options)
