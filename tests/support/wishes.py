"""Wishes to test with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from schemas.wire.verdict import (
    FalseAlarm,
    Fault,
    Forget,
    NewNormal,
    Off,
    SensorWishes,
    Wish,
    encode_wishes,
)

WHO = {"by": "ada", "at_ns": 1_700_000_000_000_000_000}
NS = 1_000_000_000


def wish_id(number: int) -> UUID:
    return UUID(int=number)


def fault(number: int, *, incident: int = 1, **more: Any) -> Fault:
    given = {"start_ns": 10 * NS, "end_ns": 20 * NS, "charge": 0.5} | WHO | more
    return Fault(id=wish_id(number), incident=UUID(int=incident), **given)


def false_alarm(number: int, *, incident: int = 1, **more: Any) -> FalseAlarm:
    given = {"profile": {"flow": 0.75, "heat": 0.25}, "latent": (0.5, -1.0), "charge": 1.0}
    return FalseAlarm(id=wish_id(number), incident=UUID(int=incident), **given | WHO | more)


def new_normal(number: int, **more: Any) -> NewNormal:
    return NewNormal(id=wish_id(number), **WHO | more)


def forget(number: int, start_s: int = 10, end_s: int = 20, **more: Any) -> Forget:
    return Forget(id=wish_id(number), start_ns=start_s * NS, end_ns=end_s * NS, **WHO | more)


def off(number: int, **more: Any) -> Off:
    return Off(id=wish_id(number), **WHO | more)


def document(key: str, *wishes: Wish) -> bytes:
    return encode_wishes(SensorWishes(version=1, key=key, wishes=wishes))
