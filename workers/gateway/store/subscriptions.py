"""Subscriptions as they are kept: what they say in the open, their secrets encrypted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from schemas.api.subscriptions import Subscription, SubscriptionSpec
from workers.errors import VigieError
from workers.gateway.sealing import Sealer
from workers.gateway.store.sql import MASK, add_to, counter
from workers.gateway.store.tables import counters, secrets, subscriptions
from workers.gateway.store.times import as_time

__all__ = [
    "MaskedSecretError",
    "add_secret",
    "add_subscription",
    "book_version",
    "change_subscription",
    "delete_subscription",
    "disable",
    "get_subscription",
    "list_subscriptions",
    "load_rows",
    "revealed",
    "set_failing",
    "signing_secrets",
    "spec_of",
    "versions",
    "view",
]

_BOOK: Final = "subscriptions"
_AT_ONCE: Final = 500


class MaskedSecretError(VigieError):
    """Asterisks stand where a secret has to be, and there is none to keep."""


def book_version(connection: Connection) -> int:
    """A number that every change of a subscription makes larger."""
    return counter(connection, counters, _BOOK)


def revealed(spec: SubscriptionSpec) -> dict[str, Any]:
    """A subscription as JSON, with its secrets."""
    plain: dict[str, Any] = _revealed(spec)
    return plain


def _revealed(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {
            names[name].alias or name: _revealed(getattr(value, name))
            for name in names
            if getattr(value, name) is not None
        }
    if isinstance(value, Mapping):
        return {key: _revealed(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_revealed(one) for one in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def with_kept_secrets(spec: SubscriptionSpec, old: SubscriptionSpec | None) -> SubscriptionSpec:
    """The subscription with the old secrets where it has asterisks.

    They go where they went before, and nowhere else: who may change a subscription need not know
    them, and must not have them sent to another address.

    Raises:
        MaskedSecretError: there is no old one, or it was for another address.
    """
    sink = revealed(spec)["sink"]
    before = {} if old is None else revealed(old)["sink"]
    if before.get("kind") != sink["kind"] or sink.get("url") not in {MASK, before.get("url")}:
        before = {}
    kept = {name: _kept(value, before.get(name)) for name, value in sink.items()}
    if kept == sink:
        return spec
    return SubscriptionSpec.model_validate(revealed(spec) | {"sink": kept})


def _kept(value: Any, before: Any) -> Any:
    if isinstance(value, dict):
        held = before if isinstance(before, dict) else {}
        return {key: _kept(one, held.get(key)) for key, one in value.items()}
    if value != MASK:
        return value
    if not isinstance(before, str):
        raise MaskedSecretError("asterisks stand where a secret has to be: give the secret itself")
    return before


def _columns(spec: SubscriptionSpec, sealer: Sealer) -> dict[str, Any]:
    return {
        "tenant": spec.tenant,
        "enabled": spec.enabled,
        "spec": spec.model_dump_json(exclude_none=True),
        "sealed": sealer.seal(json.dumps(revealed(spec)).encode()),
    }


def add_subscription(
    connection: Connection, spec: SubscriptionSpec, *, sealer: Sealer, by: str, now_ns: int
) -> str:
    """Keep a subscription; returns its id."""
    id_ = str(uuid4())
    connection.execute(
        insert(subscriptions).values(
            id=id_,
            version=1,
            created_ns=now_ns,
            updated_ns=now_ns,
            created_by=by,
            **_columns(with_kept_secrets(spec, None), sealer),
        )
    )
    add_to(connection, counters, _BOOK, 1)
    return id_


def change_subscription(
    connection: Connection, row: Row[Any], spec: SubscriptionSpec, *, sealer: Sealer, now_ns: int
) -> None:
    """Put a subscription in the place of one that is locked.

    To enable one that was disabled by itself forgets why.
    """
    kept = with_kept_secrets(spec, spec_of(row, sealer))
    values = _columns(kept, sealer) | {"version": row.version + 1, "updated_ns": now_ns}
    if spec.enabled:
        values |= {"disabled_reason": "", "failing_since_ns": None}
    connection.execute(update(subscriptions).where(subscriptions.c.id == row.id).values(**values))
    add_to(connection, counters, _BOOK, 1)


def delete_subscription(connection: Connection, id_: str) -> bool:
    """Delete one, with its secrets and deliveries; says whether there was one."""
    deleted = connection.execute(delete(subscriptions).where(subscriptions.c.id == id_))
    add_to(connection, counters, _BOOK, 1)
    return deleted.rowcount > 0


def get_subscription(
    connection: Connection, id_: str, *, tenant: str | None = None, lock: bool = False
) -> Row[Any] | None:
    """One subscription; None if there is none, or of another tenant."""
    query = select(subscriptions).where(subscriptions.c.id == id_)
    if tenant is not None:
        query = query.where(subscriptions.c.tenant == tenant)
    # Deliveries refer to it: those who add some do not wait.
    locked = query.with_for_update(key_share=True)
    return connection.execute(locked if lock else query).one_or_none()


def list_subscriptions(
    connection: Connection, *, tenant: str | None, after: str, limit: int
) -> Sequence[Row[Any]]:
    """Subscriptions by id behind one."""
    query = (
        select(subscriptions)
        .where(subscriptions.c.id > after)
        .order_by(subscriptions.c.id)
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(subscriptions.c.tenant == tenant)
    return connection.execute(query).all()


def versions(connection: Connection) -> dict[str, int]:
    """The version of each that is enabled, by its id."""
    rows = connection.execute(
        select(subscriptions.c.id, subscriptions.c.version).where(subscriptions.c.enabled)
    )
    return {row.id: row.version for row in rows}


def load_rows(connection: Connection, ids: Sequence[str]) -> list[Row[Any]]:
    """These subscriptions."""
    found: list[Row[Any]] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        found += connection.execute(select(subscriptions).where(subscriptions.c.id.in_(some)))
    return found


def spec_of(row: Row[Any], sealer: Sealer) -> SubscriptionSpec:
    """What a subscription is, with its secrets."""
    return SubscriptionSpec.model_validate_json(sealer.open(row.sealed))


def set_failing(connection: Connection, id_: str, *, since_ns: int | None) -> None:
    """Since when all deliveries fail; None if the last one arrived."""
    connection.execute(
        update(subscriptions).where(subscriptions.c.id == id_).values(failing_since_ns=since_ns)
    )


def disable(connection: Connection, id_: str, *, reason: str, now_ns: int) -> bool:
    """Disable one and keep why; false if it is disabled or gone."""
    row = get_subscription(connection, id_, lock=True)
    if row is None or not row.enabled:
        return False
    connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == id_)
        .values(
            enabled=False,
            spec=json.dumps(json.loads(row.spec) | {"enabled": False}),
            disabled_reason=reason,
            version=row.version + 1,
            updated_ns=now_ns,
        )
    )
    add_to(connection, counters, _BOOK, 1)
    return True


def add_secret(
    connection: Connection, id_: str, secret: str, *, sealer: Sealer, overlap_s: float, now_ns: int
) -> int | None:
    """Sign with a new secret from now on, and with those before until the overlap is over.

    Returns:
        The end of the overlap; None if there was no secret before.
    """
    until_ns = now_ns + round(overlap_s * 1e9)
    had = connection.execute(
        update(secrets)
        .where(secrets.c.subscription_id == id_, secrets.c.until_ns.is_(None))
        .values(until_ns=until_ns)
    ).rowcount
    connection.execute(
        insert(secrets).values(
            subscription_id=id_, sealed=sealer.seal(secret.encode()), created_ns=now_ns
        )
    )
    add_to(connection, counters, _BOOK, 1)
    return until_ns if had else None


def signing_secrets(
    connection: Connection, ids: Sequence[str], *, sealer: Sealer, now_ns: int
) -> dict[str, list[str]]:
    """The secrets that sign now, the newest first, by subscription."""
    found: dict[str, list[str]] = {}
    rows = connection.execute(
        select(secrets.c.subscription_id, secrets.c.sealed)
        .where(
            secrets.c.subscription_id.in_(ids),
            or_(secrets.c.until_ns.is_(None), secrets.c.until_ns > now_ns),
        )
        .order_by(secrets.c.id.desc())
    )
    for row in rows:
        found.setdefault(row.subscription_id, []).append(sealer.open(row.sealed).decode())
    return found


def prune_secrets(connection: Connection, *, before_ns: int) -> int:
    """Delete those that sign no more."""
    return connection.execute(delete(secrets).where(secrets.c.until_ns < before_ns)).rowcount


def view(row: Row[Any]) -> Subscription:
    """A subscription as it is shown."""
    return Subscription(
        id=row.id,
        version=row.version,
        spec=json.loads(row.spec),
        created_at=as_time(row.created_ns),
        updated_at=as_time(row.updated_ns),
        created_by=row.created_by,
        disabled_reason=row.disabled_reason,
        failing_since=as_time(row.failing_since_ns),
    )
