"""Runs docs/autoencoders.md: `python -m tests.docs.walkthrough`, which is `make docs-figures`.

The commands of the page are run in their order, as they stand there; the pictures that they draw
replace those of the page, and what they print replaces the `text` block that follows the command,
in every language of the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "autoencoders.md", DOCS / "autoencoders.fr.md")
PICTURES = DOCS / "images" / "autoencoders"

WIDEST_PIXELS = 1_000
COLOURS = 128
LARGEST_BYTES = 118_000
_BLOCK = re.compile(
    r"^```console\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(images/autoencoders/([\w-]+\.png)\)")
_TIMING = re.compile(r", in \d+ s\b")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A block of commands, and what the page says that they print.

    Attributes:
        commands: without the `$`, a continued line as one.
        output: of the last `text` block's content; None where the page shows none.
    """

    commands: tuple[str, ...]
    output: str | None


def steps(page: str) -> list[Step]:
    """The steps of a page, in their order."""
    return [
        Step(commands=tuple(_commands(block[1])), output=block[2])
        for block in _BLOCK.finditer(page)
    ]


def pictures(page: str) -> list[str]:
    """Names of the pictures that a page shows, in their order."""
    return [name for _, name in _PICTURE.findall(page)]


def with_outputs(page: str, outputs: Sequence[str]) -> str:
    """The page with other outputs, one for each step; a step that shows none keeps none."""
    left = iter(outputs)

    def put(found: re.Match[str]) -> str:
        output = next(left)
        if found[2] is None:
            return found[0]
        return f"```console\n{found[1]}```\n\n```text\n{output}```\n"

    return _BLOCK.sub(put, page)


def run(step: Step, folder: Path, environment: Mapping[str, str]) -> str:
    """What the commands of a step print, without the time that they took.

    Raises:
        RuntimeError: one of them failed.
    """
    printed = ""
    for command in step.commands:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
        printed += done.stdout
    lines = [line.rstrip() for line in _TIMING.sub("", printed).strip("\n").splitlines()]
    return "".join(f"{line}\n" for line in lines)


def shrunk(source: Path, target: Path) -> None:
    """A picture at the page's width and with few colours; narrower still until it is small enough.

    An octree keeps the colours of small things, which a median cut gives up for shades of grey.
    """
    from PIL import Image

    with Image.open(source) as picture:
        whole = picture.convert("RGB")
    width = min(WIDEST_PIXELS, whole.width)
    while True:
        size = (width, round(whole.height * width / whole.width))
        small = whole.resize(size, Image.Resampling.LANCZOS)
        few = small.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(target, optimize=True)
        if target.stat().st_size <= LARGEST_BYTES:
            return
        width = width * 19 // 20


def environment() -> dict[str, str]:
    """Of the commands: those of this Python first, one thread, lines of 96 letters."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "96"}


def walk(pages: Sequence[Path], folder_of_pictures: Path) -> None:
    """Run the first page; write what it prints into each, and its pictures into a folder.

    Raises:
        RuntimeError: a command failed; nothing was written.
    """
    first = pages[0].read_text(encoding="utf-8")
    outputs = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for step in steps(first):
            began_s = time.monotonic()
            outputs.append(run(step, folder, environment()))
            sys.stderr.write(f"{time.monotonic() - began_s:5.1f} s  {step.commands[-1]}\n")
        folder_of_pictures.mkdir(parents=True, exist_ok=True)
        for name in pictures(first):
            shrunk(folder / name, folder_of_pictures / name)
    for page in pages:
        told = with_outputs(page.read_text(encoding="utf-8"), outputs)
        page.write_text(told, encoding="utf-8")


def main() -> int:
    """Run the page of the documentation, in all its languages."""
    walk(PAGES, PICTURES)
    return 0


def _commands(block: str) -> list[str]:
    return re.findall(r"^\$ (.+)$", block.replace("\\\n", " "), re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main())
