"""Where the gateway connects to: what was checked, as often as it has to, for as long as it may."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
import time

import pytest

from tests.support.certificates import authority_and_server
from tests.support.receivers import open_receiver
from tests.support.wait import wait_until
from workers.gateway.sinks.addresses import AddressGuard
from workers.gateway.sinks.guarded import (
    HttpFailureError,
    HttpPoster,
    RefusedTargetError,
    resolver,
)

LOOPBACK = AddressGuard(["127.0.0.0/8"])


class Names:
    """A name server: answers of each host, one after another; the last one again and again."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append(host)
        lists = self.answers.get(host)
        if lists is None:
            raise socket.gaierror("no such host")
        return lists.pop(0) if len(lists) > 1 else lists[0]


def post(url, *, guard=LOOPBACK, resolve=None, tls=None, headers=(), within=5.0, times=1):
    async def run():
        async with HttpPoster.open(guard, max_connections=4, resolve=resolve, tls=tls) as http:
            answers = []
            for _ in range(times):
                deadline = asyncio.get_running_loop().time() + within
                answers.append(await http.post(url, b"{}", list(headers), deadline=deadline))
            return answers[-1]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1%00.example.com",
        "0",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::7f00:1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "224.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.64.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
        "127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1",
        "\N{CIRCLED LATIN SMALL LETTER L}ocalhost",
        "public.example@127.0.0.1",
        "user:password@127.0.0.1",
        "127.0.0.1\\@public.example",
    ],
)
def test_no_way_to_write_it_leads_to_this_machine_or_its_network(host):
    with open_receiver() as receiver:
        with pytest.raises(
            (RefusedTargetError, HttpFailureError), match=r"not public|not known|cannot be used"
        ):
            post(f"http://{host}:{receiver.port}/", guard=AddressGuard(), within=3.0)
        assert not receiver.received


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["93.184.216.34", "::1"], ["2002:7f00:1::"]],
)
def test_a_name_is_refused_if_one_of_its_addresses_is_not_public(addresses):
    names = Names(mixed_example=[addresses])
    with pytest.raises(RefusedTargetError, match=r"mixed\.example is .* not public.*allow_targets"):
        post("http://mixed.example/", guard=AddressGuard(), resolve=names)


def test_a_name_is_asked_for_once_and_what_was_checked_is_dialled():
    """The second answer is another machine's: who asks twice checks one and dials the other."""
    names = Names(rebinding_example=[["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"]])
    with open_receiver() as receiver:
        url = receiver.url(host="rebinding.example")
        guard = AddressGuard(["127.0.0.1/32"])
        assert post(url, guard=guard, resolve=names).status == 200
    assert names.asked == ["rebinding.example"]
    assert receiver.received[0].headers["host"] == f"rebinding.example:{receiver.port}"


def test_each_new_connection_asks_anew():
    names = Names(moving_example=[["127.0.0.1"], ["93.184.216.34"]])
    with open_receiver(mode="close") as receiver:
        url = receiver.url(host="moving.example")
        for _ in range(2):
            with pytest.raises((RefusedTargetError, HttpFailureError)):
                post(url, guard=AddressGuard(["127.0.0.1/32"]), resolve=names, within=0.2)
    assert len(receiver.received) == 1
    assert len(names.asked) == 2


def test_of_several_addresses_the_next_is_tried():
    with open_receiver() as receiver:
        names = Names(two_example=[["127.0.0.9", "127.0.0.1"]])
        assert post(receiver.url(host="two.example"), resolve=names).status == 200


def test_a_name_that_is_not_known_is_a_failure():
    with pytest.raises(HttpFailureError, match="is not known"):
        post("http://nowhere.example/", resolve=Names())


def test_tls_is_for_the_name_though_the_address_is_dialled(tmp_path):
    authority, server = authority_and_server(tmp_path, "hooks.example")
    trusting = ssl.create_default_context(cafile=authority)
    names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    with open_receiver(tls=server) as receiver:
        url = receiver.url(host="hooks.example")
        assert post(url, resolve=names, tls=trusting).text == "thank you"
        with pytest.raises(HttpFailureError, match="certificate"):
            post(receiver.url(host="other.example"), resolve=names, tls=trusting)
        with pytest.raises(HttpFailureError, match="certificate"):
            post(url, resolve=names)


def test_no_redirect_is_followed():
    with open_receiver() as inner, open_receiver(status=307) as outer:
        outer.headers["Location"] = inner.url("/inner")
        assert post(outer.url()).status == 307
        assert not inner.received


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    with open_receiver() as receiver, open_receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert post(receiver.url()).status == 200
        assert not proxy.received


def test_a_connection_is_used_again():
    with open_receiver() as receiver:
        post(receiver.url(), times=3)
    assert len({one.connection for one in receiver.received}) == 1


def test_a_connection_that_its_peer_closed_is_not_used_again():
    async def run(receiver):
        async with HttpPoster.open(LOOPBACK, max_connections=4) as http:
            loop, statuses = asyncio.get_running_loop(), []
            for count in (1, 2, 3):
                answer = await http.post(receiver.url(), b"{}", [], deadline=loop.time() + 5)
                statuses.append(answer.status)
                closed = functools.partial(lambda many: receiver.ended == many, count)
                await asyncio.to_thread(wait_until, closed, within=5)
            return statuses

    with open_receiver(mode="answer once") as receiver:
        assert asyncio.run(run(receiver)) == [200] * 3
    assert len({one.connection for one in receiver.received}) == 3


@pytest.mark.parametrize("mode", ["hang", "drip headers"])
def test_who_does_not_answer_is_left_at_the_deadline(mode):
    with open_receiver(mode=mode) as receiver:
        began = time.monotonic()
        with pytest.raises(HttpFailureError, match="no answer in time"):
            post(receiver.url(), within=0.3)
        assert time.monotonic() - began < 1.0


def test_who_listens_and_never_accepts_is_left_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        port = server.getsockname()[1]
        with pytest.raises(HttpFailureError, match="no answer in time"):
            post(f"http://127.0.0.1:{port}/", within=0.3)


@pytest.mark.parametrize("mode", ["drip", "flood"])
def test_an_answer_counts_by_its_status_and_its_body_is_cut(mode):
    with open_receiver(mode=mode) as receiver:
        began = time.monotonic()
        answer = post(receiver.url(), within=10.0)
        assert time.monotonic() - began < 5.0
    assert answer.status == 200
    assert receiver.flooded < 20e6  # what lies in the buffers of the network
    assert 0 < len(answer.text) <= 1024


@pytest.mark.parametrize("mode", ["no http", "close"])
def test_what_is_no_answer_is_a_failure(mode):
    with open_receiver(mode=mode) as receiver, pytest.raises(HttpFailureError):
        post(receiver.url())


@pytest.mark.parametrize(
    "header",
    [("X-Key", "secret\r\nwebhook-id: x"), ("X-Key", "secret\N{SNOWMAN}"), ("X\nY", "secret"),
     ("Clé", "secret")],
)  # fmt: skip
def test_a_header_that_would_break_the_request_is_refused_without_its_text(header):
    with open_receiver() as receiver:
        with pytest.raises(RefusedTargetError, match="header") as refused:
            post(receiver.url(), headers=[header])
        assert not receiver.received
    assert "secret" not in str(refused.value)


def test_receivers_that_hang_leave_no_connection_behind():
    async def run(url):
        async with HttpPoster.open(LOOPBACK, max_connections=2) as http:
            loop = asyncio.get_running_loop()
            for _ in range(3):
                hanging = (http.post(url, b"{}", [], deadline=loop.time() + 0.1) for _ in "ab")
                outcomes = await asyncio.gather(*hanging, return_exceptions=True)
                assert all(isinstance(one, HttpFailureError) for one in outcomes)
            receiver.mode = "answer"
            return await http.post(url, b"{}", [], deadline=loop.time() + 2.0)

    with open_receiver(mode="hang") as receiver:
        assert asyncio.run(run(receiver.url())).status == 200


def test_a_name_server_that_hangs_holds_up_those_who_ask_it_alone():
    began, go_on = [], threading.Event()

    def lookup(host, _port):
        if host == "slow.example":
            began.append(host)
            go_on.wait(5)
        return ["127.0.0.1"]

    async def run():
        async with resolver(lookup) as resolve:
            waiting = [asyncio.ensure_future(resolve("slow.example", 80)) for _ in range(100)]
            await asyncio.sleep(0)
            assert await resolve("quick.example", 80) == ["127.0.0.1"]
            assert not any(task.done() for task in waiting)
            go_on.set()
            return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == [["127.0.0.1"]] * 100
    assert len(began) == 1
