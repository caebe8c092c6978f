"""The options of commands that ask a gateway: where it is, who asks; times as people say them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from schemas.wire.timestamp import to_ns
from workers.cli.options import SettingsOptions, usage_errors
from workers.errors import SettingsError, VigieError

if TYPE_CHECKING:
    from workers.api.gateway_client import GatewayClient

__all__ = [
    "NOBODY_WATCHES",
    "TOKEN_VARIABLE",
    "GatewayOptions",
    "as_instant",
    "find_subscription",
    "parse_matches",
    "parse_seconds",
    "read_secret",
]

TOKEN_VARIABLE: Final = "VIGIE_TOKEN"  # noqa: S105 - the name of the variable
NOBODY_WATCHES: Final = (
    "Nobody is told when Vigie itself fails: no subscription wants detector.unhealthy. Make one: "
    "vigie subscriptions create ... --type detector.unhealthy --type detector.healthy"
)
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|min|m|h|d|w)?", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EVERY_ADDRESS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
_MAX_SECRET_BYTES: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """Which gateway is asked, and by whom."""

    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help="Address of the gateway. Default: gateway.url, else its host and port.",
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with a token. Default: the variable VIGIE_TOKEN."),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="Settings file. Default: vigie.toml here, if there is one."
        ),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="One setting, such as gateway.port=8081."
        ),
    ] = None

    @contextmanager
    def asking(self) -> Iterator[GatewayClient]:
        """The gateway, to be asked.

        Raises:
            SettingsError: it cannot be told where it is, or the file of the token cannot be read.
        """
        from workers.api.gateway_client import GatewayClient

        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if self.token_file is not None:
            token = read_secret(self.token_file, "--token-file")
        with GatewayClient.open(self._address(), token) as client:
            yield client

    def _address(self) -> str:
        if self.url:
            return self.url
        settings = SettingsOptions(config=self.config, assignments=self.assignments).load({})
        gateway = settings.gateway
        if gateway.url:
            return gateway.url
        if not gateway.port:
            raise SettingsError("gateway.port is 0, a free one: say which it became with --url")
        host = _EVERY_ADDRESS.get(gateway.host, gateway.host)
        shown = f"[{host}]" if ":" in host.strip("[]") and not host.startswith("[") else host
        return f"http://{shown}:{gateway.port}"


def read_secret(path: Path, hint: str) -> str:
    """What is in a file, without the blanks around it.

    Raises:
        typer.BadParameter: it cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {path}: {error}", param_hint=hint) from error
    if not text:
        raise typer.BadParameter(f"{path} is empty", param_hint=hint)
    return text


def parse_seconds(text: str, hint: str) -> float:
    """A time span: 90, 90s, 15m, 2h, 1d, 1w."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time span: 90s, 15m, 2h, 1d", param_hint=hint)
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def as_instant(text: str, hint: str, *, sign: int) -> str:
    """A time (RFC 3339), or a span before (`sign` -1) or from (+1) now, as the gateway takes it."""
    if _DURATION.fullmatch(text.strip()):
        with usage_errors(hint):
            try:
                at = datetime.now(UTC) + sign * timedelta(seconds=parse_seconds(text, hint))
            except OverflowError as error:
                raise ValueError("so long that it is never: leave it out") from error
        return at.isoformat()
    with usage_errors(hint):
        to_ns(text)
    return text


def parse_matches(texts: list[str] | None) -> list[dict[str, Any]]:
    """The matchers of `--match`, as the gateway takes them."""
    from workers.alerts.matcher_text import parse_matcher

    with usage_errors("--match"):
        return [parse_matcher(text).model_dump(mode="json") for text in texts or ()]


def find_subscription(client: GatewayClient, named: str) -> str:
    """The id of a subscription that is named by it, or by its name.

    Raises:
        VigieError: there is none, or several are called so.
    """
    try:
        return str(UUID(named))
    except ValueError:
        pass
    listed = client.entries("/v1/subscriptions", {}, most=None)
    found = [str(one["id"]) for one in listed if one["spec"]["name"] == named]
    if not found:
        raise VigieError(f"No subscription is called {named}: see vigie subscriptions list.")
    if len(found) > 1:
        raise VigieError(f"{len(found)} subscriptions are called {named}: {', '.join(found)}.")
    return found[0]
