"""One uvicorn process serves the API on uvloop and httptools; it binds first and tells its URL once it answers."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from recsys.errors import ConfigurationError

BACKLOG = 2048
SHUTDOWN_S = 5


def listen(host: str, port: int) -> socket.socket:
    """Binds the address.

    Args:
        host: A name or address; IPv4 and IPv6.
        port: 0 picks a free one.

    Raises:
        ConfigurationError: The port is taken, or the address is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot bind {host!r}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"cannot bind {host}:{port}: {error.strerror}") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def run(app: ASGIApp, bound: socket.socket, *, trusted_proxies: str, announce: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM, then lets running requests finish for `SHUTDOWN_S` seconds.

    Args:
        app: The application.
        bound: From `listen`.
        trusted_proxies: Addresses and networks, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are
            believed; `*` for those of all, "" for none.
        announce: Called with the URL when the first request can be answered.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    # uvicorn raises the signal again once it has shut down; a stop that was asked for is no failure.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: None)
    _Server(config, lambda: announce(url_of(bound))).run(sockets=[bound])
