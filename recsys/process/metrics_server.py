"""`/metrics` and `/healthz` of a process without an HTTP API, such as a stream worker.

Served by threads of the standard library's server: Prometheus is answered also while the event loop is busy, and
`/healthz` asks the loop. It touches nothing else: a Kafka or Redis that is away is no reason to restart a worker.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from recsys.errors import ConfigurationError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOOP_TURNS_WITHIN_S = 2.0
METHODS = ("GET", "HEAD")


def serve_metrics(host: str, port: int, loop: asyncio.AbstractEventLoop) -> WSGIServer:
    """Serves this process's metrics and health in a background thread until the process ends.

    Args:
        host: Name or address to bind; IPv4 and IPv6.
        port: 0 picks a free one (`server_port` of the result says which).
        loop: Whose turning `/healthz` reports.

    Raises:
        ConfigurationError: The port is taken, or the address is not ours.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server_class = _ServerV6 if family == socket.AF_INET6 else _Server
        server = make_server(str(address[0]), port, metrics_app(loop), server_class, handler_class=_SilentHandler)
    except OSError as error:
        raise ConfigurationError(f"cannot bind {host}:{port} for the metrics: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def metrics_app(loop: asyncio.AbstractEventLoop, *, turns_within_s: float = LOOP_TURNS_WITHIN_S) -> WSGIApplication:
    """The WSGI application: `/metrics`, and `/healthz` with 200 while the loop turns, else 503."""
    metrics = make_wsgi_app()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path not in {"/metrics", "/healthz"}:
            return _text(environ, start_response, HTTPStatus.NOT_FOUND, "there are /metrics and /healthz")
        if method not in METHODS:
            allowed = ("Allow", ", ".join(METHODS))
            return _text(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD", allowed)
        if path == "/metrics":
            content: Iterable[bytes] = metrics({**environ, "REQUEST_METHOD": "GET"}, start_response)
            return [] if method == "HEAD" else content
        if _turns(loop, turns_within_s):
            return _text(environ, start_response, HTTPStatus.OK, "ok")
        reason = f"the event loop did not turn within {turns_within_s:g} s"
        return _text(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, reason)

    return app


def _turns(loop: asyncio.AbstractEventLoop, within_s: float) -> bool:
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(turned.set)
    except RuntimeError:  # the loop is closed
        return False
    return turned.wait(within_s)


def _text(
    environ: WSGIEnvironment, start_response: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = f"{text}\n".encode()
    own = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers]
    start_response(f"{status.value} {status.phrase}", own)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    timeout = 10.0  # seconds for a client that says nothing

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """A request every few seconds is no event."""
