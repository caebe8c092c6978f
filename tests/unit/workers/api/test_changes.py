"""Changes: noted, done once under one key, and only to what their author saw."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import Connection, select

from tests.support.api import Api, served
from workers.api.auth import Operator, Scope
from workers.api.changes import Answer, IfMatch, OnceOnly, audit, check_if_match, etag_of
from workers.api.paging import decode_cursor, encode_cursor
from workers.api.problems import ProblemError
from workers.gateway.store import audit as audit_log
from workers.gateway.store import idempotency
from workers.gateway.store.tables import audit as audit_table
from workers.gateway.store.tables import idempotency as kept_table

KEY = "Idempotency-Key"


class Thing(BaseModel):
    number: int
    secret: str = ""


class Things:
    """A route that makes things, and what a test does in the middle of it."""

    def __init__(self) -> None:
        self.made = 0
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def add_to(self, app: FastAPI) -> None:
        @app.post("/things", status_code=201)
        def make(thing: Thing, principal: Operator, once: OnceOnly) -> Any:
            def change(connection: Connection) -> Answer:
                self.inside.set()
                assert self.go_on.wait(10)
                self.made += 1
                audit(connection, principal, "thing.create", str(self.made), {"n": thing.number})
                if thing.number < 0:
                    raise ProblemError(409, "no such number")
                return Answer(
                    status=201,
                    body=Thing(number=self.made, secret="s3cret-of-the-answer"),
                    headers={"ETag": etag_of(1), "Location": f"/things/{self.made}"},
                )

            return once.run(principal, change)

        @app.put("/things")
        def replace(_principal: Operator, if_match: IfMatch = None) -> int:
            check_if_match(if_match, 3)
            return 3


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def api(tmp_path: Path, things: Things) -> Iterator[Api]:
    with served(tmp_path) as api:
        things.add_to(api.client.app)  # type: ignore[arg-type]
        yield api


def audited(api: Api) -> list[str]:
    with api.gateway.database.read() as connection:
        return [
            row.target
            for row in connection.execute(select(audit_table).order_by(audit_table.c.id))
            if row.action == "thing.create"
        ]


# -- Idempotency-Key -------------------------------------------------------------------------------


def test_without_a_key_each_request_is_one_of_its_own(api: Api, things: Things) -> None:
    header = api.bearer(Scope.OPERATE)
    for number in (1, 2):
        answer = api.client.post("/things", json={"number": 7}, headers=header)
        assert (answer.status_code, answer.json()["number"]) == (201, number)
    assert audited(api) == ["1", "2"]


def test_the_same_request_under_the_same_key_is_done_once(api: Api, things: Things) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: "k"}
    first, again = (
        api.client.post("/things", json={"number": 7}, headers=header) for _ in range(2)
    )
    assert (first.status_code, first.content) == (again.status_code, again.content)
    for name in ("etag", "location", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert things.made == 1
    assert audited(api) == ["1"]


def test_the_key_of_one_is_no_key_of_another(api: Api, things: Things) -> None:
    for _ in range(2):
        header = {**api.bearer(Scope.OPERATE), KEY: "k"}
        assert api.client.post("/things", json={"number": 7}, headers=header).status_code == 201
    assert things.made == 2


@pytest.mark.parametrize(
    ("path", "body"), [("/things", {"number": 8}), ("/things?dry=1", {"number": 7})]
)
def test_another_request_under_the_same_key_is_rejected(
    api: Api, things: Things, path: str, body: Any
) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: "k"}
    api.client.post("/things", json={"number": 7}, headers=header)
    assert api.client.post(path, json=body, headers=header).status_code == 422
    assert things.made == 1


def test_a_request_that_is_under_way_is_not_begun_again(api: Api, things: Things) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: "k"}
    things.go_on.clear()
    with ThreadPoolExecutor(1) as other:
        first = other.submit(api.client.post, "/things", json={"number": 7}, headers=header)
        assert things.inside.wait(10)
        again = api.another_client().post("/things", json={"number": 7}, headers=header)
        assert (again.status_code, again.headers["Retry-After"]) == (409, "1")
        things.go_on.set()
        assert first.result(10).status_code == 201
    assert api.client.post("/things", json={"number": 7}, headers=header).status_code == 201
    assert things.made == 1


def test_a_request_that_failed_left_nothing_and_can_be_sent_again(api: Api, things: Things) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: "k"}
    assert api.client.post("/things", json={"number": -1}, headers=header).status_code == 409
    assert audited(api) == []
    assert api.client.post("/things", json={"number": 7}, headers=header).status_code == 201


def test_an_answer_is_kept_encrypted_and_for_a_day(api: Api, things: Things) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: "k"}
    api.client.post("/things", json={"number": 7}, headers=header)
    with api.gateway.database.begin() as connection:
        (row,) = connection.execute(select(kept_table))
        assert b"s3cret" not in row.body
        day_ns = idempotency.KEPT_NS
        assert idempotency.prune(connection, now_ns=row.at_ns + day_ns) == 0
        place = idempotency.Place(by=row.by, key="k", request=row.request)
        assert idempotency.claim(connection, place, now_ns=row.at_ns + day_ns) is not None
        assert idempotency.claim(connection, place, now_ns=row.at_ns + day_ns + 1) is None
        assert idempotency.prune(connection, now_ns=row.at_ns + 2 * day_ns + 2) == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_none_can_be_is_rejected(api: Api, key: str) -> None:
    header = {**api.bearer(Scope.OPERATE), KEY: key}
    assert api.client.post("/things", json={"number": 7}, headers=header).status_code == 422


# -- If-Match --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        (None, 428), ("", 412), ('"2"', 412), ("3", 412), ('W/"3"', 412), ('"33"', 412),
        ('"3"', 200), ('"2", "3"', 200), ("*", 200),
    ],
)  # fmt: skip
def test_a_change_has_to_be_one_of_the_version_that_there_is(
    api: Api, if_match: str | None, status: int
) -> None:
    headers = api.bearer(Scope.OPERATE) | ({} if if_match is None else {"If-Match": if_match})
    answer = api.client.put("/things", headers=headers)
    assert answer.status_code == status
    if status == 412:
        assert answer.headers["ETag"] == '"3"'


# -- the audit log ---------------------------------------------------------------------------------


def test_the_log_comes_in_pages_the_latest_first(api: Api) -> None:
    header = api.bearer(Scope.ADMIN)
    api.token(Scope.READ, name="a")
    api.token(Scope.READ, name="b")
    seen, cursor = [], None
    while True:
        query: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api.client.get("/v1/audit", headers=header, params=query).json()
        seen += [one["details"]["name"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == ["b", "a", "tester"]


def test_details_that_are_too_long_are_cut_and_still_json(api: Api) -> None:
    from workers.gateway.principals import ANYONE

    with api.gateway.database.begin() as connection:
        audit(connection, ANYONE, "thing.create", "t" * 1000, {"note": "x" * 100_000})
        assert audit_log.prune(connection, before_ns=0) == 0
    (entry,) = api.client.get(
        "/v1/audit", headers=api.bearer(Scope.ADMIN), params={"limit": 2}
    ).json()["items"][1:]
    assert len(entry["target"]) == 300
    assert 1000 < len(entry["details"]["truncated"]) < 10_000


def test_a_change_that_did_not_happen_is_not_in_the_log(api: Api, things: Things) -> None:
    header = api.bearer(Scope.OPERATE)
    assert api.client.post("/things", json={"number": -1}, headers=header).status_code == 409
    assert audited(api) == []


# -- cursors ---------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P"])),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_cursor_says_what_was_put_in(at: list[Any]) -> None:
    assert decode_cursor(encode_cursor(*at), *map(type, at)) == at


@given(st.one_of(st.text(max_size=40), st.lists(VALUES).map(lambda at: encode_cursor(*at))))
def test_whatever_else_comes_as_a_cursor_is_a_wrong_request(text: str) -> None:
    try:
        (number,) = decode_cursor(text, int)
    except ProblemError as error:
        assert error.status_code == 400  # noqa: PT017 - both are right
    else:
        assert type(number) is int
        assert -(2**63) <= number < 2**63


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "W10", "bnVsbA", "WzEsMl0", "W3RydWVd", "WyJhIl0", "WzEuMF0", "WzFlOTk5XQ", "é",
     encode_cursor(2**63), "W" * 1025, "Ww" * 500],
)  # fmt: skip
def test_a_wrong_cursor_is_told_and_never_asked_of_the_database(api: Api, cursor: str) -> None:
    answer = api.client.get("/v1/audit", headers=api.bearer(Scope.ADMIN), params={"cursor": cursor})
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("text", ["\0", "\ud800", "a\nb"])
def test_a_cursor_holds_no_text_that_a_column_could_not(text: str) -> None:
    with pytest.raises(ProblemError):
        decode_cursor(encode_cursor(text), str)
