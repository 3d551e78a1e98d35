"""What Prometheus and a health check get from a worker: over real sockets, in threads of their own."""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from recsys.errors import ConfigurationError
from recsys.process.metrics_server import metrics_app, serve_metrics


def asked(port: int, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@contextmanager
def turning_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with turning_loop() as loop:
        server = serve_metrics("127.0.0.1", 0, loop)
        yield server.server_port
        server.shutdown()
        server.server_close()


def health(loop: asyncio.AbstractEventLoop, within_s: float) -> tuple[str, bytes]:
    environ: dict[str, Any] = {"PATH_INFO": "/healthz"}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, _headers: object, _error: object = None) -> Any:
        statuses.append(status)
        return io.BytesIO().write

    body = b"".join(metrics_app(loop, turns_within_s=within_s)(environ, start_response))
    return statuses[0], body


@pytest.mark.parametrize(("path", "holds"), [("/metrics", b"process_cpu_seconds_total"), ("/healthz", b"ok\n")])
def test_get_answers_and_head_says_the_same_without_a_body(port: int, path: str, holds: bytes) -> None:
    status, headers, body = asked(port, "GET", path)
    assert (status, holds in body) == (200, True)
    head_status, head_headers, head_body = asked(port, "HEAD", path)
    assert (head_status, head_body) == (200, b"")
    assert head_headers["Content-Type"] == headers["Content-Type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_other_methods_are_refused_with_the_allowed_ones(port: int, path: str, method: str) -> None:
    status, headers, _ = asked(port, method, path)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_other_paths_name_the_two_there_are(port: int) -> None:
    assert asked(port, "GET", "/")[::2] == (404, b"there are /metrics and /healthz\n")


def test_a_loop_that_stands_still_is_unhealthy_and_a_closed_one_too() -> None:
    loop = asyncio.new_event_loop()  # never run, so it never turns
    assert health(loop, 0.05) == ("503 Service Unavailable", b"the event loop did not turn within 0.05 s\n")
    loop.close()
    assert health(loop, 10)[0].startswith("503")


def test_a_blocked_loop_is_unhealthy_until_it_turns_again() -> None:
    with turning_loop() as loop:
        blocked, let_go = threading.Event(), threading.Event()

        def block() -> None:
            blocked.set()
            let_go.wait()

        loop.call_soon_threadsafe(block)
        blocked.wait(10)
        assert health(loop, 0.05)[0].startswith("503")
        let_go.set()
        assert health(loop, 10)[0] == "200 OK"


def test_a_client_that_says_nothing_holds_up_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        assert asked(port, "GET", "/healthz")[0] == 200
        assert time.monotonic() - began < 5


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.socket() as taken, turning_loop() as loop:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match=r"cannot bind 127\.0\.0\.1:\d+ for the metrics: "):
            serve_metrics("127.0.0.1", taken.getsockname()[1], loop)
        with pytest.raises(ConfigurationError, match=r"cannot bind 203\.0\.113\.1:0"):
            serve_metrics("203.0.113.1", 0, loop)
