"""JSON as it goes out, and documents made smaller when they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["LIGHTER", "encoded", "fitting", "without"]


def encoded(document: object) -> bytes:
    """Compact JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def without(event: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """An event whose data lacks some fields."""
    data = event.get("data")
    if not isinstance(data, Mapping):
        return dict(event)
    return {**event, "data": {name: value for name, value in data.items() if name not in names}}


Reduction = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _main_channel(event: Mapping[str, Any]) -> dict[str, Any]:
    lighter = without(event, "excerpt", "latent", "labels", "held_back_by", "raised_by", "budget")
    data = lighter.get("data")
    if isinstance(data, dict) and isinstance(data.get("channels"), list):
        lighter["data"] = {**data, "channels": data["channels"][:1]}
    return lighter


LIGHTER: Final[tuple[Reduction, ...]] = (
    dict,
    lambda event: without(event, "latent"),
    lambda event: without(event, "latent", "excerpt"),
    _main_channel,
)
"""An event as it is, and lighter and lighter."""


def fitting(bodies: Iterable[bytes], limit: int) -> bytes:
    """The first body that is small enough, or else the last one."""
    body = b""
    for body in bodies:
        if len(body) <= limit:
            return body
    return body
