"""What looks wrong with readings, on a terminal. Names are data: never markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from workers.errors import VigieError

if TYPE_CHECKING:
    from workers.data.finding import Finding

_MOST_OF_A_KIND = 3
_MOST_NAMES = 8
_MOST_SAID = 12


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Each with the options that mend it; many of one kind in a line."""
    by_kind: dict[str, list[Finding]] = {}
    for one in findings:
        by_kind.setdefault(one.kind, []).append(one)
    for kind, of_kind in by_kind.items():
        if len(of_kind) > _MOST_OF_A_KIND:
            names = [repr(one.channel) for one in of_kind]
            more = len(names) - _MOST_NAMES
            said = ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
            text = f"{len(of_kind):,} channels: {said}"
            options = " ".join(one.option for one in of_kind if one.option)
            _print(kind, text, options, console)
        else:
            for one in of_kind:
                _print(kind, one.text, one.option, console)


def print_warnings(findings: Sequence[Finding], console: Console) -> None:
    """The same before a training, which they do not stop."""
    if findings:
        console.print("[bold yellow]What looks wrong[/] (vigie inspect shows more)")
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


def _print(kind: str, text: str, option: str, console: Console) -> None:
    words = Text.assemble((kind.replace("-", " "), "yellow"), f": {text}")
    console.print(Padding(words, (0, 0, 0, 2)), highlight=False)
    if option:
        # On a line of its own, and not folded: it is there to be copied.
        console.print(Text(f"    {option}", "bold cyan"), highlight=False, soft_wrap=True)


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
