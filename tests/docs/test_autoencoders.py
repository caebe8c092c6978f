"""docs/autoencoders.md: commands that exist, numbers that stand in what they print, two languages.

`make docs-figures` runs the page itself, in minutes; here is what holds between two such runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

from tests.docs.walkthrough import (
    PICTURES,
    Step,
    pictures,
    run,
    shrunk,
    steps,
    walk,
    with_outputs,
)
from workers.cli.main import build_app

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, FRENCH = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("autoencoders.md", "autoencoders.fr.md")
)
LARGEST_BYTES = 120_000
SAID_ELSEWHERE = {32, 100, 256}
"""Readings of a window, and these of 8 channels: said in section 2, used in all; the whole."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.,:/-])(?:\d{1,3}(?:[,\u00a0]\d{3})+|\d+)?(?:\.\d+)?(?!\w|[.,:-]\d)")
_LINK = re.compile(r"\]\((benchmarks[\w-]*\.md)#([\w-]+)\)")


def sections(page: str) -> list[str]:
    return re.split(r"^(?=## )", page, flags=re.MULTILINE)


def prose(section: str) -> str:
    """What a person wrote: no blocks, code, links, exponents."""
    text = _BLOCK.sub("", section)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|pump-\d+|K = .*|^#+ .*|\*\*", " ", text, flags=re.MULTILINE)


def numbers(text: str) -> Iterator[tuple[float, int]]:
    """Each number, with the decimals that it is given to."""
    for found in _NUMBER.findall(text):
        if found.strip("."):
            plain = re.sub(r"[,\u00a0]", "", found)
            yield float(plain), len(plain.partition(".")[2])


def french_numbers(text: str) -> Iterator[tuple[float, int]]:
    return numbers(re.sub(r"(?<=\d),(?=\d)", ".", text))


def figures(name: str, anchor: str) -> str:
    """The section of another page that a link leads to."""
    page = (DOCS / name).read_text(encoding="utf-8")
    found = {slug(one.partition("\n")[0]): one for one in sections(page)}
    assert anchor in found, f"{name} has no section #{anchor}; it has {', '.join(found)}"
    return found[anchor]


def slug(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def unproved(section: str) -> list[float]:
    """Numbers of the prose to which nothing rounds that they could come from.

    They come from the section's blocks, or from the figures that their paragraph links to. Whole
    numbers up to twelve count things on the page and are left to the reader.
    """
    printed = [value for value, _ in numbers("".join(body for _, body in _BLOCK.findall(section)))]
    missing = []
    for paragraph in _BLOCK.sub("", section).split("\n\n"):
        linked = "".join(figures(name, anchor) for name, anchor in _LINK.findall(paragraph))
        known = [*printed, *(value for value, _ in numbers(linked))]
        missing += [
            value
            for value, decimals in numbers(prose(paragraph))
            if (decimals or value > 12)
            and value not in SAID_ELSEWHERE
            and not any(round(one, decimals) == value for one in known)
        ]
    return missing


@pytest.mark.parametrize("section", sections(ENGLISH), ids=lambda one: one.partition("\n")[0][:24])
def test_every_number_of_the_text_stands_in_what_a_command_printed(section):
    assert unproved(section) == []


def test_a_number_that_no_command_printed_is_found():
    section = (
        "## 1. Two\n\n```text\n0.824 of 3,600\n```\n\nIt was 0.82, then 0.83 of 3,600, not 3,700.\n"
    )

    assert unproved(section) == [0.83, 3700.0]


def test_both_languages_have_the_same_sections_pictures_and_commands():
    kinds = [kind for kind, _ in _BLOCK.findall(ENGLISH)]

    assert len(sections(ENGLISH)) == len(sections(FRENCH)) > 10
    assert pictures(ENGLISH) == pictures(FRENCH)
    assert kinds == [kind for kind, _ in _BLOCK.findall(FRENCH)]
    assert steps(ENGLISH) == steps(FRENCH)


def test_both_languages_say_the_same_numbers():
    for english, french in zip(sections(ENGLISH), sections(FRENCH), strict=True):
        told = sorted(one for one in numbers(prose(english)) if one[1] or one[0] > 12)
        again = sorted(one for one in french_numbers(prose(french)) if one[1] or one[0] > 12)
        assert told == again, english.partition("\n")[0]


def test_every_picture_is_there_is_small_and_is_drawn_by_a_command_above_it():
    shown = pictures(ENGLISH)

    assert sorted(shown) == sorted(path.name for path in PICTURES.glob("*.png"))
    for name in shown:
        above = ENGLISH.partition(f"/{name})")[0]
        assert f" {name}" in "".join(body for kind, body in _BLOCK.findall(above))
        assert (PICTURES / name).stat().st_size < LARGEST_BYTES


def test_every_command_has_the_options_that_it_is_given():
    vigie: Any = typer.main.get_command(build_app())
    told = [command for step in steps(ENGLISH) for command in step.commands]
    assert len(told) > 12
    for line in told:
        name, *words = shlex.split(line.partition(" | ")[0])
        assert name == "vigie"
        command = vigie
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_what_a_command_prints_replaces_what_the_page_says_of_it(tmp_path):
    block = "```console\n$ echo a \\\n    b, in 7 s\n```\n\n```text\nold\n```\n"
    page = f"{block}\n```console\n$ true\n```\n"

    first, second = steps(page)

    assert (first.output, second) == ("old\n", Step(commands=("true",), output=None))
    printed = [run(one, tmp_path, {"PATH": "/bin:/usr/bin"}) for one in (first, second)]
    assert with_outputs(page, printed) == page.replace("old", "a b")


def test_a_command_that_fails_stops_the_run_and_says_why(tmp_path):
    broken = Step(commands=("echo before; false | cat",), output=None)

    with pytest.raises(RuntimeError, match="before"):
        run(broken, tmp_path, {"PATH": "/bin:/usr/bin"})


def test_a_picture_keeps_the_colours_of_its_small_things(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(190, 256, (400, 400, 1)).repeat(3, axis=2).astype(np.uint8)
    grey[20:30, 20:30], grey[60:70, 20:30] = (0, 114, 178), (0, 158, 115)
    Image.fromarray(grey).save(tmp_path / "large.png")

    shrunk(tmp_path / "large.png", tmp_path / "small.png")

    assert (tmp_path / "small.png").stat().st_size < LARGEST_BYTES
    with Image.open(tmp_path / "small.png") as picture:
        small, share = np.asarray(picture.convert("RGB")).astype(int), picture.width / 400
    blue, green = (small[round(row * share), round(25 * share)] for row in (25, 65))
    assert np.abs(blue - (0, 114, 178)).max() < 40
    assert np.abs(green - (0, 158, 115)).max() < 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_run_anew_the_page_still_says_what_its_commands_print(tmp_path):
    page = tmp_path / "autoencoders.md"
    page.write_text(ENGLISH, encoding="utf-8")

    walk([page], tmp_path)

    told = page.read_text(encoding="utf-8")
    assert {name: unproved(name) for name in sections(told) if unproved(name)} == {}
    assert all((tmp_path / name).stat().st_size < LARGEST_BYTES for name in pictures(told))
