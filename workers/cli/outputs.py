"""The files that a command will write: what would do harm or fail is said before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer

_PICTURES = (".png", ".svg", ".pdf")


def check_outputs(
    read: Iterable[Path | None],
    *,
    files: Mapping[str, Path | None],
    pictures: Mapping[str, Path | None],
) -> None:
    """Reject what cannot be written or would replace a file that is read; make missing folders.

    Args:
        read: files that the command reads.
        files: that it writes, by option; None is not written.
        pictures: likewise; their ending chooses the format.

    Raises:
        typer.BadParameter: names the option.
    """
    sources = {path.resolve() for path in read if path is not None}
    options: dict[Path, str] = {}
    for option, path in (*files.items(), *pictures.items()):
        if path is None:
            continue
        place = path.resolve()
        if place in sources:
            raise typer.BadParameter(f"{path} is read: name another file", param_hint=option)
        if place in options:
            raise typer.BadParameter(
                f"{options[place]} writes {path} as well: name another file", param_hint=option
            )
        if option in pictures and path.suffix.lower() not in _PICTURES:
            raise typer.BadParameter(
                f"{path}: a picture ends in {', '.join(_PICTURES)}", param_hint=option
            )
        _check_writable(path, option)
        options[place] = option


def _check_writable(path: Path, option: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"cannot make the folder of {path}: {error.strerror}", param_hint=option
        ) from error
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written", param_hint=option)
