"""What a Dockerfile says of an image: the parts that decide how its processes run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_REFERENCE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(kw_only=True)
class Image:
    """How an image runs, as its Dockerfile has it.

    Attributes:
        base: the image that it begins with, without arguments: ``python:3.13-slim``.
        copied: stages that files come from, with the paths there and here.
        entrypoint, command: words; the second is what `docker run` replaces.
    """

    base: str = ""
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    copied: list[tuple[str, str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def read_images(dockerfile: Path) -> dict[str, Image]:
    """The image of each stage, with what it has from the stages below.

    Raises:
        AssertionError: an instruction that is not known here: then this reader lacks it.
    """
    images: dict[str, Image] = {}
    arguments: dict[str, str] = {}
    image = Image()
    for word, rest in _instructions(dockerfile.read_text(encoding="utf-8")):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            base = _filled(base, arguments)
            below = images.get(base, Image(base=base))
            image = images[name] = Image(
                base=below.base,
                env=dict(below.env),
                user=below.user,
                folder=below.folder,
                entrypoint=below.entrypoint,
                command=below.command,
                copied=list(below.copied),
                runs=list(below.runs),
            )
        elif word == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default
        elif word == "ENV":
            pairs = [pair.partition("=") for pair in shlex.split(rest)]
            image.env |= {name: value for name, _, value in pairs}
        elif word == "COPY":
            *options, source, target = shlex.split(rest)
            stage = next((o.partition("=")[2] for o in options if o.startswith("--from=")), "")
            image.copied.append((stage, source, target))
        elif word == "RUN":
            image.runs.append(rest)
        else:
            _set(image, word, rest)
    return images


def _set(image: Image, word: str, rest: str) -> None:
    match word:
        case "USER":
            image.user = rest
        case "WORKDIR":
            image.folder = rest
        case "ENTRYPOINT":
            image.entrypoint, image.command = json.loads(rest), []
        case "CMD":
            image.command = json.loads(rest)
        case "LABEL":
            pass
        case _:
            raise AssertionError(f"{word} is not known to this reader")


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Word and rest of each instruction, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, " ".join(rest.split())


def _filled(text: str, arguments: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda found: arguments[found[1]], text)
