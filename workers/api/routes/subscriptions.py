"""Subscriptions: who is told of what, where, and what became of it."""

from __future__ import annotations

import base64
import json
import secrets
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import anyio.to_thread
from fastapi import APIRouter, Body, Request, Response
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from schemas.api.base import Page
from schemas.api.sinks import WebhookSink
from schemas.api.subscriptions import (
    Attempt,
    IssuedSecret,
    Preview,
    PreviewRequest,
    Recover,
    Recovered,
    RotateSecret,
    Subscription,
    SubscriptionCreated,
    SubscriptionSpec,
)
from workers.alerts import templates
from workers.api.auth import Operator, Principal, Reader, Scope
from workers.api.changes import (
    Answer,
    IfMatch,
    OnceOnly,
    audit,
    check_if_match,
    etag_of,
    gateway_of,
)
from workers.api.paging import CursorParameter, LimitParameter, decode_cursor, encode_cursor
from workers.api.problems import RESPONSES, ProblemError
from workers.api.specs import checked_spec, without_paths
from workers.gateway.gateway import Gateway
from workers.gateway.recovery import recover
from workers.gateway.store import incidents
from workers.gateway.store import subscriptions as stored
from workers.gateway.store.times import as_time, to_ns
from workers.gateway.trial import trial_message

__all__ = ["router", "subscription_row"]

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], responses=RESPONSES)

_SECRET_BYTES: Final = 32
_MOST_SECRETS: Final = 5
"""That sign at once: each makes the header longer, and a webhook slower."""


@router.get("", operation_id="list_subscriptions")
def list_subscriptions(
    request: Request,
    principal: Reader,
    cursor: CursorParameter = None,
    limit: LimitParameter = 100,
) -> Page[Subscription]:
    """All subscriptions, without their secrets."""
    after = "" if cursor is None else str(decode_cursor(cursor, str)[0])
    with gateway_of(request).database.read() as connection:
        rows = stored.list_subscriptions(
            connection, tenant=principal.tenant or None, after=after, limit=limit + 1
        )
    more = len(rows) > limit
    return Page(
        items=[_shown(row, principal) for row in rows[:limit]],
        next=encode_cursor(rows[limit - 1].id) if more else None,
    )


@router.post(
    "",
    operation_id="create_subscription",
    status_code=201,
    response_model=SubscriptionCreated,
)
def create_subscription(
    spec: SubscriptionSpec, request: Request, principal: Operator, once: OnceOnly
) -> Response:
    """Subscribe. The secret that signs webhooks is in the answer, and never shown again."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()

    def change(connection: Connection) -> Answer:
        checked = checked_spec(spec, principal, gateway, connection)
        try:
            id_ = stored.add_subscription(
                connection, checked, sealer=gateway.sealer, by=principal.name, now_ns=now_ns
            )
        except stored.MaskedSecretError as error:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        secret = None
        if isinstance(checked.sink, WebhookSink):
            secret = _new_secret()
            stored.add_secret(
                connection, id_, secret, sealer=gateway.sealer, overlap_s=0, now_ns=now_ns
            )
        row = subscription_row(connection, id_, principal)
        audit(
            connection, principal, "subscription.create", id_, without_paths(json.loads(row.spec))
        )
        made = SubscriptionCreated(**stored.view(row).model_dump(), secret=secret)
        headers = {"ETag": etag_of(row.version), "Location": f"/v1/subscriptions/{id_}"}
        return Answer(status=HTTPStatus.CREATED, body=made, headers=headers)

    return once.run(principal, change)


@router.post(":preview", operation_id="preview_template")
def preview(asked: PreviewRequest, request: Request, principal: Reader) -> Preview:
    """What people would read by a template."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    data = None
    if asked.incident is not None:
        with gateway.database.read() as connection:
            row = incidents.get_row(connection, str(asked.incident))
        if row is None or (principal.tenant and row.tenant != principal.tenant):
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such incident.")
        data = json.loads(row.data)
    message = trial_message(
        subscription="",
        name="preview",
        url=gateway.settings.gateway.url,
        now_ns=now_ns,
        nonce=uuid4(),
        incident=data,
    )
    made = templates.preview(asked.template, message)
    if made.problem:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, made.problem)
    return Preview(title=made.title, text=made.text)


@router.get("/{subscription_id}", operation_id="get_subscription")
def get_subscription(
    subscription_id: UUID, request: Request, response: Response, principal: Reader
) -> Subscription:
    """One subscription."""
    with gateway_of(request).database.read() as connection:
        row = subscription_row(connection, str(subscription_id), principal)
    response.headers["ETag"] = etag_of(row.version)
    return _shown(row, principal)


@router.put("/{subscription_id}", operation_id="replace_subscription")
def replace_subscription(
    subscription_id: UUID,
    spec: SubscriptionSpec,
    request: Request,
    response: Response,
    principal: Operator,
    if_match: IfMatch = None,
) -> Subscription:
    """Change a subscription as a whole; asterisks keep a secret that goes where it went before."""
    return _changed(request, response, principal, str(subscription_id), if_match, spec)


@router.patch("/{subscription_id}", operation_id="change_subscription")
def change_subscription(
    subscription_id: UUID,
    patch: Annotated[dict[str, Any], Body(examples=[{"enabled": False}])],
    request: Request,
    response: Response,
    principal: Operator,
    if_match: IfMatch = None,
) -> Subscription:
    """Change a part (JSON Merge Patch, RFC 7396): `{"enabled": false}`."""
    return _changed(request, response, principal, str(subscription_id), if_match, patch)


@router.delete("/{subscription_id}", operation_id="delete_subscription", status_code=204)
def delete_subscription(
    subscription_id: UUID, request: Request, principal: Operator, if_match: IfMatch = None
) -> None:
    """Delete a subscription with its secrets and deliveries; what is being sent still arrives."""
    with gateway_of(request).database.begin() as connection:
        row = subscription_row(connection, str(subscription_id), principal, lock=True)
        check_if_match(if_match, row.version)
        stored.delete_subscription(connection, row.id)
        audit(
            connection,
            principal,
            "subscription.delete",
            row.id,
            without_paths(json.loads(row.spec)),
        )


@router.post("/{subscription_id}:test", operation_id="try_subscription")
async def try_subscription(subscription_id: UUID, request: Request, principal: Operator) -> Attempt:
    """Send a trial now, signed and formed as all others, and say what came of it."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    id_ = str(subscription_id)
    spec, signing = await anyio.to_thread.run_sync(_to_try, gateway, id_, principal, now_ns)
    senders = gateway.state.senders
    if senders is None:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The gateway does not deliver yet.")
    message = trial_message(
        subscription=id_,
        name=spec.name,
        url=gateway.settings.gateway.url,
        now_ns=now_ns,
        nonce=uuid4(),
    )
    outcome = await senders.send(spec.sink, signing, message)
    return Attempt(
        at=as_time(now_ns),
        took_ms=(request.app.state.clock() - now_ns) / 1e6,
        status=outcome.status,
        error=outcome.error,
        response=outcome.response,
    )


@router.post("/{subscription_id}/secret:rotate", operation_id="rotate_secret")
def rotate_secret(
    subscription_id: UUID, asked: RotateSecret, request: Request, principal: Operator
) -> IssuedSecret:
    """Sign with a new secret, and with the one before for a while. It is shown this once."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    secret = _new_secret() if asked.secret is None else asked.secret.get_secret_value()
    with gateway.database.begin() as connection:
        row = subscription_row(connection, str(subscription_id), principal, lock=True)
        if json.loads(row.spec)["sink"]["kind"] != "webhook":
            raise ProblemError(HTTPStatus.CONFLICT, "Only webhooks are signed.")
        _check_room(connection, row.id, gateway, now_ns)
        until_ns = stored.add_secret(
            connection,
            row.id,
            secret,
            sealer=gateway.sealer,
            overlap_s=asked.overlap_s,
            now_ns=now_ns,
        )
        details = {"overlap_s": asked.overlap_s}
        audit(connection, principal, "subscription.rotate_secret", row.id, details)
    return IssuedSecret(secret=secret, old_until=as_time(until_ns))


@router.post("/{subscription_id}:recover", operation_id="recover_subscription")
def recover_subscription(
    subscription_id: UUID, asked: Recover, request: Request, principal: Operator
) -> Recovered:
    """Tell it what it was not told since a time: given up, or before it was made."""
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    with gateway.database.read() as connection:
        row = subscription_row(connection, str(subscription_id), principal)
        entry = gateway.book.read(connection).entries.get(row.id)
    if entry is None:
        raise ProblemError(HTTPStatus.CONFLICT, "The subscription is disabled: enable it.")
    done = recover(
        gateway.database, gateway.outbox, entry, since_ns=to_ns(asked.since), now_ns=now_ns
    )
    with gateway.database.begin() as connection:
        details = {"since": asked.since, **done.model_dump()}
        audit(connection, principal, "subscription.recover", row.id, details)
    gateway.signal.notify()
    return done


# -- what they share -------------------------------------------------------------------------------


def subscription_row(
    connection: Connection, id_: str, principal: Principal, *, lock: bool = False
) -> Row[Any]:
    """One subscription, as somebody may see it.

    Raises:
        ProblemError: there is none (404), or it is of another tenant.
    """
    row = stored.get_subscription(connection, id_, tenant=principal.tenant or None, lock=lock)
    if row is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such subscription.")
    return row


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _shown(row: Row[Any], principal: Principal) -> Subscription:
    """As somebody may see it: who may not change it need not know where exactly it goes."""
    view = stored.view(row)
    if principal.may(Scope.OPERATE):
        return view
    return view.model_copy(update={"spec": without_paths(view.spec)})


def _check_room(connection: Connection, id_: str, gateway: Gateway, now_ns: int) -> None:
    """Let another secret be made unless so many sign that nobody can have them all in use."""
    signing = stored.signing_secrets(connection, [id_], sealer=gateway.sealer, now_ns=now_ns)
    if len(signing.get(id_, ())) >= _MOST_SECRETS:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"{_MOST_SECRETS} secrets sign already: wait until the overlap of the oldest is over.",
        )


def _to_try(
    gateway: Gateway, id_: str, principal: Principal, now_ns: int
) -> tuple[SubscriptionSpec, list[str]]:
    with gateway.database.begin() as connection:
        row = subscription_row(connection, id_, principal)
        audit(connection, principal, "subscription.test", id_)
        found = stored.signing_secrets(connection, [id_], sealer=gateway.sealer, now_ns=now_ns)
        return stored.spec_of(row, gateway.sealer), found.get(id_, [])


def _changed(
    request: Request,
    response: Response,
    principal: Principal,
    id_: str,
    if_match: str | None,
    change: SubscriptionSpec | dict[str, Any],
) -> Subscription:
    gateway, now_ns = gateway_of(request), request.app.state.clock()
    with gateway.database.begin() as connection:
        row = subscription_row(connection, id_, principal, lock=True)
        check_if_match(if_match, row.version)
        before: dict[str, Any] = json.loads(row.spec)
        spec = change if isinstance(change, SubscriptionSpec) else _patched(before, change)
        checked = checked_spec(spec, principal, gateway, connection, before=row)
        try:
            stored.change_subscription(
                connection, row, checked, sealer=gateway.sealer, now_ns=now_ns
            )
        except stored.MaskedSecretError as error:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        after = subscription_row(connection, id_, principal)
        changed = json.loads(after.spec)
        details = {"before": without_paths(before), "after": without_paths(changed)}
        audit(connection, principal, "subscription.change", id_, details)
    response.headers["ETag"] = etag_of(after.version)
    gateway.signal.notify()
    return stored.view(after)


def _patched(before: dict[str, Any], patch: dict[str, Any]) -> SubscriptionSpec:
    try:
        return SubscriptionSpec.model_validate_json(json.dumps(_merged(before, patch)))
    except ValidationError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"With this change it is wrong: {_brief(error)}"
        ) from error


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _brief(error: ValidationError) -> str:
    """What is wrong, without what was given: it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
