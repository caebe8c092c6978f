"""`vigie status`: positions from what the broker says, and a pipeline that is asked."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import typer
from rich.console import Console

from workers.cli.commands.status import Position, ask_pipeline, positions_of, show_scaling
from workers.errors import VigieError
from workers.kafka.client import CommittedOffset
from workers.kafka.kafka_python.admin.groups import Group, Member
from workers.stream.state.restore import RestorePoint
from workers.stream.state.state_ttl import TtlWindows


def make_group(committed: dict[int, CommittedOffset]) -> Group:
    member = Member(member_id="m-1", client_id="vigie-source", host="127.0.0.1", partitions=(0, 1))
    return Group(name="vigie", state="Stable", members=(member,), committed=committed)


def test_lag_is_end_less_next_offset_and_counts_from_the_beginning_without_a_commit():
    bounds = {("r", 0): (10, 50), ("r", 1): (5, 30), ("other", 0): (0, 99)}
    ttl = TtlWindows.beginning_at(31)
    text = RestorePoint(restore_from=31, receptive_field=8, ttl=ttl).encode()
    group = make_group({0: CommittedOffset(next_offset=40, metadata=text)})

    assert positions_of(group, bounds, "r") == [
        Position(
            partition=0, beginning=10, end=50, next_offset=40, lag=10, restore_from=31,
            member="vigie-source",
        ),
        Position(
            partition=1, beginning=5, end=30, next_offset=None, lag=25, restore_from=None,
            member="vigie-source",
        ),
    ]  # fmt: skip


def test_what_retention_has_deleted_is_no_lag():
    group = make_group({0: CommittedOffset(next_offset=3, metadata="of another program")})

    (position,) = positions_of(group, {("r", 0): (10, 12)}, "r")

    assert (position.lag, position.restore_from) == (2, None)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    def application(environ, start_response):
        start_response("200 OK", [])
        return [body]

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("suffix", ["", "/", "/status", "/metrics"])
def test_a_pipeline_is_asked_for_its_status_whatever_page_is_named(suffix):
    with answering(json.dumps({"workers": []}).encode()) as url:
        assert ask_pipeline(url + suffix) == {"workers": []}


def test_the_status_shows_who_decides_on_the_workers_and_the_last_change():
    screen = io.StringIO()
    console = Console(width=120, file=screen)
    show_scaling(
        {
            "ingest": {"mode": "auto", "target": 3, "actual": 2, "least": 1, "most": 4},
            "scorers": {"mode": "fixed", "target": 0, "actual": 0, "least": 0, "most": 0},
            "replaced": [{"kind": "ingest", "reason": "silent", "count": 2}],
            "last_decision": {
                "at": "2026-11-22T10:00:00+00:00",
                "text": "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest",
            },
        },
        console,
    )

    shown = screen.getvalue()
    assert "Ingest: 2 of 3 at work, following the load, 1 to 4" in shown
    assert "lag 120,000 and rising, workers 97 % busy: 2 -> 3 ingest" in shown
    assert "Replaced: 2 ingest silent" in shown
    assert "Scorers" not in shown


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "ok"}'])
def test_something_else_at_that_address_is_no_pipeline(body):
    with answering(body) as url, pytest.raises(VigieError, match="correct --url"):
        ask_pipeline(url)


def test_nobody_at_that_address_is_told(free_port):
    with pytest.raises(VigieError, match="vigie run"):
        ask_pipeline(f"http://127.0.0.1:{free_port}")


def test_only_http_is_asked():
    with pytest.raises(typer.BadParameter, match="http://"):
        ask_pipeline("file:///etc/passwd")
