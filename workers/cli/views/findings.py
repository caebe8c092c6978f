"""What looks wrong with readings, on a terminal. Names are data: never markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from workers.data.finding import Finding, grouped
from workers.errors import VigieError

_MOST_SAID = 12


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Each with the options that mend it; many of one kind in a line."""
    for one in grouped(findings):
        words = Text.assemble((one.kind.replace("-", " "), "yellow"), f": {one.text}")
        console.print(Padding(words, (0, 0, 0, 2)), highlight=False)
        if one.option:
            # On a line of its own, and not folded: it is there to be copied.
            console.print(Text(f"    {one.option}", "bold cyan"), highlight=False, soft_wrap=True)


def print_warnings(findings: Sequence[Finding], console: Console) -> None:
    """The same before a training, which they do not stop."""
    if findings:
        heading = Text.assemble(("What looks wrong", "bold yellow"), " (vigie inspect shows more)")
        console.print(heading)
        print_findings(findings, console)
        console.print()


def refuse(findings: Sequence[Finding]) -> None:
    """What `--strict` does.

    Raises:
        VigieError: names every warning, and its options; if there is one.
    """
    if findings:
        said = "; ".join(
            one.text + (f" ({one.option})" if one.option else "") for one in findings[:_MOST_SAID]
        )
        more = len(findings) - _MOST_SAID
        raise VigieError(
            f"--strict, and {len(findings):,} things look wrong: {said}"
            + (f"; and {more:,} more" if more > 0 else "")
        )


def as_documents(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [
        {
            "kind": str(one.kind),
            "text": one.text,
            "option": one.option,
            "channel": one.channel or None,
            "certain": one.certain,
        }
        for one in findings
    ]
