"""The proxy itself: what goes in comes out, and each kind of weather does what it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import COMMITTED, Proxy, Weather

PAYLOAD = bytes(range(256)) * 40


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back whatever it gets, and `COMMITTED` for a commit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while received := connection.recv(65_536):
                connection.sendall(COMMITTED if received.startswith(b"commit") else received)
        except OSError:
            return


def ask(proxy: Proxy, request: bytes, size: int) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(request)
        received = b""
        while len(received) < size:
            more = client.recv(size - len(received))
            if not more:
                return received
            received += more
        return received


def test_bytes_pass_unchanged_also_in_tiny_segments_and_late(echo_port: int) -> None:
    with Proxy(echo_port, seed=1) as proxy:
        assert ask(proxy, PAYLOAD, len(PAYLOAD)) == PAYLOAD
        proxy.weather = Weather(slice_bytes=7, latency_s=0.01)
        assert ask(proxy, PAYLOAD, len(PAYLOAD)) == PAYLOAD
        assert proxy.connections == 2


def test_resets_are_resets(echo_port: int) -> None:
    with Proxy(echo_port, seed=1) as proxy:
        proxy.weather = Weather(reset_rate=1.0)
        with pytest.raises(ConnectionResetError):
            ask(proxy, b"hello", 5)
        assert proxy.resets == 1


def test_silence_holds_everything_back_and_ends(echo_port: int) -> None:
    with Proxy(echo_port, seed=1) as proxy:
        proxy.weather = Weather(silent=True)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as client:
            client.sendall(b"hello")
            with pytest.raises(TimeoutError):
                client.recv(5)
            proxy.weather.silent = False
            client.settimeout(5)
            assert client.recv(5) == b"hello"


def test_a_committed_reply_is_cut_as_often_as_asked_and_nothing_else_is(echo_port: int) -> None:
    with Proxy(echo_port, seed=1) as proxy:
        proxy.weather = Weather(cut_after=b"commit", cuts_left=2)
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                ask(proxy, b"commit 1", len(COMMITTED))
        assert ask(proxy, b"hello", 5) == b"hello"
        assert ask(proxy, b"commit 1", len(COMMITTED)) == COMMITTED
        assert proxy.cuts == 2


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with Proxy(1, seed=1) as proxy:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client, suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert time.monotonic() - began < 5
