"""Writes the answers of docs/scaling.md anew: `python -m tests.docs.scaling`."""

from __future__ import annotations

import contextlib
import io
import shlex
from pathlib import Path

from tests.docs.walkthrough import Step, steps, with_outputs
from workers.cli import main as cli

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def printed(step: Step) -> str:
    """What the commands of a step print."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for command in step.commands:
            program, *arguments = shlex.split(command)
            if program != "vigie" or cli.main(arguments):
                raise RuntimeError(f"not a command that works: {command}")
    return out.getvalue()


def current(page: str) -> str:
    """The page with what its commands print today, where it shows that."""
    return with_outputs(
        page, ["" if step.output is None else printed(step) for step in steps(page)]
    )


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
