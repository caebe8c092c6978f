"""Subscriptions as people send and see them: who may make which, and what is shown of where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import Url
from sqlalchemy import Connection, Row

from schemas.api.sinks import AppriseSink, KafkaSink
from schemas.api.subscriptions import SubscriptionSpec
from workers.alerts import templates
from workers.alerts.interest import Interest
from workers.api.problems import ProblemError
from workers.gateway.gateway import Gateway
from workers.gateway.principals import Principal, Scope
from workers.gateway.sinks.addresses import AddressGuard
from workers.gateway.store import subscriptions as stored
from workers.kafka.factory import topic_specs

__all__ = ["checked_spec", "without_paths"]

_HIDDEN: Final = "/\N{HORIZONTAL ELLIPSIS}"
"""Stands for the path and the query of a URL."""


def without_paths(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription as it is shown to those who may not change it, and kept in the audit log.

    The path or the query of a webhook's URL is a secret with many receivers.
    """
    sink = dict(spec["sink"])
    if isinstance(sink.get("url"), str):
        sink["url"] = _without_path(sink["url"])
    if "urls" in sink:
        sink["urls"] = [_without_path(url) for url in sink["urls"]]
    return {**spec, "sink": sink}


def _without_path(url: str) -> str:
    parts = urlsplit(url)
    if not parts.netloc or (parts.path in {"", "/"} and not parts.query):
        return url
    return f"{parts.scheme}://{parts.netloc}{_HIDDEN}"


def checked_spec(
    spec: SubscriptionSpec,
    principal: Principal,
    gateway: Gateway,
    connection: Connection,
    *,
    before: Row[Any] | None = None,
) -> SubscriptionSpec:
    """The subscription as it is kept, if its author may make it so.

    Args:
        spec: what they want.
        principal: they.
        gateway: where.
        connection: a transaction.
        before: what it was, if it is a change.

    Raises:
        ProblemError: they may not (403), or nobody may (422).
    """
    spec = _of_tenant(spec, principal)
    _check_rights(spec, principal, gateway)
    _check_targets(spec, gateway, before)
    try:
        Interest.of(spec)
        templates.check(spec.template)
    except ValueError as error:
        raise _wrong(str(error)) from error
    if spec.escalate is not None:
        target, own = str(spec.escalate.to), "" if before is None else before.id
        if (
            target == own
            or stored.get_subscription(connection, target, tenant=spec.tenant or None) is None
        ):
            raise _wrong("escalate.to names no other subscription.")
    return spec


def _of_tenant(spec: SubscriptionSpec, principal: Principal) -> SubscriptionSpec:
    if not principal.tenant or spec.tenant == principal.tenant:
        return spec
    if spec.tenant:
        raise ProblemError(HTTPStatus.FORBIDDEN, "The token is of another tenant.")
    try:
        return SubscriptionSpec.model_validate(stored.revealed(spec) | {"tenant": principal.tenant})
    except ValidationError as error:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "The tenant of the token has letters that none may have: a to z, 0 to 9 and - alone.",
        ) from error


def _check_rights(spec: SubscriptionSpec, principal: Principal, gateway: Gateway) -> None:
    if isinstance(spec.sink, KafkaSink) and spec.sink.topic in _own_topics(gateway):
        raise _wrong("Vigie reads or writes this topic itself: another one.")
    if principal.may(Scope.ADMIN):
        return
    if isinstance(spec.sink, AppriseSink):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "An Apprise URL can reach anything: that needs the scope admin."
        )
    if isinstance(spec.sink, KafkaSink):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "Vigie may write to topics that others read: to name one needs the scope admin.",
        )


def _check_targets(spec: SubscriptionSpec, gateway: Gateway, before: Row[Any] | None) -> None:
    """Reject what no attempt could ever reach; what a name stands for is found out by each one."""
    known = set[str]() if before is None else _urls(json.loads(before.spec)["sink"])
    guard = AddressGuard(gateway.settings.gateway.allow_targets)
    for url in _urls(spec.sink.model_dump(mode="json")) - known:
        if url.endswith(_HIDDEN):
            raise _wrong("The URL is as it is shown to those who may not change it: give it whole.")
        host = (Url(url).host or "").strip("[]")
        if _is_address(host) and not guard.admits(host):
            raise _wrong(
                f"{host} is not public. If the receiver is in your network, whoever runs Vigie has "
                "to allow it: gateway.allow_targets."
            )


def _urls(sink: Mapping[str, Any]) -> set[str]:
    """Those that are dialled as they stand."""
    if sink["kind"] == "apprise":
        return set()
    return {url for url in (sink.get("url"), *(sink.get("urls") or ())) if url}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _wrong(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _own_topics(gateway: Gateway) -> set[str]:
    repartition = gateway.settings.repartition
    names = {spec.name for spec in topic_specs(gateway.settings.topics)}
    return names | {repartition.source, repartition.shuffled}
