"""Asking a running pipeline over HTTP: its status, and another number of workers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from workers.errors import SettingsError, VigieError

_STATUS_WITHIN_S: Final = 5.0
_SCALE_WITHIN_S: Final = 30.0
_MAX_ANSWER_BYTES: Final = 4 * 2**20
_REJECTED: Final = frozenset({400, 403, 409})


def ask_status(url: str) -> dict[str, Any]:
    """The `/status` of a running pipeline; the `url` may be that of any of its pages.

    Raises:
        SettingsError: not an http address.
        VigieError: nothing answers there, or something else than a pipeline.
    """
    return _ask(url, "status", within_s=_STATUS_WITHIN_S, expected="workers")


def ask_scale(url: str, request: Mapping[str, int | str]) -> dict[str, Any]:
    """Have a running pipeline change its numbers of workers; see `ScaleRequest`.

    Returns:
        The numbers from now on; see `scaling_as_json`.

    Raises:
        SettingsError: not an http address, or the pipeline rejects it and says why.
        VigieError: nothing answers there, or something else than a pipeline.
    """
    body = json.dumps(request).encode()
    return _ask(url, "scale", within_s=_SCALE_WITHIN_S, expected="ingest", body=body)


def _ask(
    url: str, page: str, *, within_s: float, expected: str, body: bytes | None = None
) -> dict[str, Any]:
    base = url.rstrip("/")
    for name in ("/status", "/metrics", "/scale"):
        base = base.removesuffix(name)
    if not base.startswith(("http://", "https://")):
        raise SettingsError(f"the pipeline's address {url!r} does not begin with http://")
    request = urllib.request.Request(  # noqa: S310 - http only, see above
        f"{base}/{page}", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310 - as above
            found = json.loads(answer.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            reason = _reason(error) if error.code in _REJECTED else ""
        if reason:
            raise SettingsError(f"the pipeline rejects it: {reason}") from error
        raise VigieError(f"{base}/{page} answers {error}: correct its address") from error
    except (OSError, ValueError) as error:
        raise VigieError(
            f"no pipeline answers at {base}/{page} ({error}): start it with vigie run "
            "--metrics-port PORT, or correct its address"
        ) from error
    if not isinstance(found, dict) or expected not in found:
        raise VigieError(f"{base}/{page} is not that of a pipeline: correct its address")
    return found


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MAX_ANSWER_BYTES))["error"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
