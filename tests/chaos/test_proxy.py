"""The proxy in each weather, on a server that says back what it hears."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.chaos.proxy import FAIR, HOST, Passage, Proxy, Weather, open_proxy
from tests.support.wait import wait_until


@contextmanager
def echo() -> Iterator[int]:
    """A server's port."""
    server = socket.create_server((HOST, 0))
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                while heard := connection.recv(65536):
                    connection.sendall(heard)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=talk, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=serve)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        acceptor.join()
        for thread in threads:
            thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo() as port, open_proxy(port) as opened:
        yield opened
        opened.set_weather(FAIR)  # a request that is held would hold up the proxy's end


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), timeout=5) as client:
        assert said_back(client, b"hello")
        yield client


def said_back(client: socket.socket, what: bytes) -> bool:
    client.sendall(what)
    heard = b""
    while len(heard) < len(what):
        piece = client.recv(65536)
        if not piece:
            return False
        heard += piece
    return heard == what


def silent(client: socket.socket, what: bytes, *, seconds: float = 0.3) -> bool:
    """Whether nothing comes back."""
    client.sendall(what)
    client.settimeout(seconds)
    try:
        client.recv(65536)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_fair_weather_passes_everything_both_ways(proxy):
    with connected(proxy) as client:
        assert said_back(client, bytes(range(256)) * 8_000)


def test_a_cut_resets_connections_and_lets_new_ones_in(proxy):
    with connected(proxy) as client:
        proxy.cut()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy):
        pass


def test_held_bytes_come_when_the_weather_clears(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(up=Passage.HELD, down=Passage.HELD))
        assert silent(client, b"late")

        proxy.set_weather(FAIR)

        assert client.recv(10) == b"late"


@pytest.mark.parametrize(
    "weather",
    [Weather(up=Passage.SWALLOWED), Weather(down=Passage.SWALLOWED)],
    ids=["requests", "answers"],
)
def test_swallowed_bytes_never_come_and_their_connection_is_torn(proxy, weather):
    with connected(proxy) as client:
        proxy.set_weather(weather)
        assert silent(client, b"lost")

        proxy.set_weather(FAIR)

        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_connection_that_lost_nothing_outlives_the_swallowing(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(down=Passage.SWALLOWED))
        proxy.set_weather(FAIR)

        assert said_back(client, b"again")


def request(kind: int) -> bytes:
    return b"\0\0\0\x0a" + kind.to_bytes(2) + b"whatever"


def test_a_late_request_costs_the_client_its_connection_and_comes_when_the_weather_changes(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(up=Passage.LATE))
        client.sendall(request(1))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with connected(proxy):  # connections made since pass
            pass
        assert (proxy.late_requests, proxy.late_answers) == (1, 0)

        proxy.set_weather(FAIR)

        wait_until(lambda: proxy.late_answers == 1, within=5)


def test_only_the_named_kinds_of_request_are_late(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(up=Passage.LATE, late_requests=(26,)))
        assert said_back(client, request(25))

        client.sendall(request(26))

        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_latency_delays_each_way(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(latency_s=0.15))
        began_s = time.monotonic()

        assert said_back(client, b"slow")

        assert time.monotonic() - began_s >= 0.3


def test_bandwidth_is_limited(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(bytes_per_s=100_000))
        began_s = time.monotonic()

        assert said_back(client, b"x" * 30_000)

        assert time.monotonic() - began_s >= 0.3


def test_sliced_bytes_arrive_whole(proxy):
    with connected(proxy) as client:
        proxy.set_weather(Weather(slice_bytes=3))

        assert said_back(client, bytes(range(256)))


def test_the_end_of_a_connection_comes_late_when_told(proxy):
    proxy.set_weather(Weather(close_s=0.3))
    with connected(proxy) as client:
        began_s = time.monotonic()
        client.shutdown(socket.SHUT_WR)

        assert client.recv(1) == b""

        assert time.monotonic() - began_s >= 0.3


def test_an_absent_broker_is_a_closed_connection():
    with echo() as port:
        pass
    with open_proxy(port) as proxy, socket.create_connection((HOST, proxy.port)) as client:
        client.settimeout(5)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_it_ends_with_connections_open():
    with echo() as port:
        with open_proxy(port) as proxy:
            client = socket.create_connection((HOST, proxy.port), timeout=5)
            assert said_back(client, b"hello")
        with client:
            wait_until(lambda: ended(client), within=5)


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
