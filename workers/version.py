"""The version of Vigie that is installed here."""

from __future__ import annotations

from functools import cache

__all__ = ["own_version"]


@cache
def own_version() -> str:
    """As its package says; read once, and imported only then: `vigie --help` needs none of it."""
    from importlib.metadata import version

    return version("vigie")
