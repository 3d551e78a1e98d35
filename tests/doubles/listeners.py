"""Listeners on real sockets that behave in one way each, for what is said of a Kafka that is none or tells nonsense."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

METADATA = 3


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """host:port of a listener that serves each connection by `serve`, in a thread; all end with this `with`."""
    taken: list[tuple[socket.socket, threading.Thread]] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                thread = threading.Thread(target=quietly, args=(connection,), daemon=True)
                taken.append((connection, thread))
                thread.start()

    def quietly(connection: socket.socket) -> None:
        with connection, suppress(OSError, struct.error):
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()  # from here on nothing is taken that the next lines would miss
            for connection, thread in taken:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # ends a read in its thread, which closes it
                thread.join()


def silent(connection: socket.socket) -> None:
    """Reads and never answers."""
    while connection.recv(4096):
        pass


def closing(connection: socket.socket) -> None:
    """Ends every connection at its first byte."""
    connection.recv(1)
    connection.close()


def speaking_http(connection: socket.socket) -> None:
    """Answers as a web server would."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.close()


def advertising(*brokers: tuple[str, int], cuts_off: int = 0) -> Callable[[socket.socket], None]:
    """A Kafka that answers ApiVersions and Metadata, and says that its brokers are there.

    It ends so many connections at their first Metadata instead: as a bad network does, or a listener with a login.
    """
    left = iter(range(cuts_off))

    def serve(connection: socket.socket) -> None:
        while True:
            request = _exactly(connection, struct.unpack(">i", _exactly(connection, 4))[0])
            api, _, correlation = struct.unpack(">hhi", request[:8])
            if api == METADATA and next(left, None) is not None:
                return
            body = _brokers(brokers) if api == METADATA else struct.pack(">hi", 0, 0)
            connection.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)

    return serve


def _brokers(brokers: Sequence[tuple[str, int]]) -> bytes:
    rows = b"".join(
        struct.pack(">ih", number, len(host)) + host.encode() + struct.pack(">ih", port, -1)
        for number, (host, port) in enumerate(brokers)
    )
    return struct.pack(">i", len(brokers)) + rows + struct.pack(">ii", 0, 0)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += connection.recv(size - len(received)) or _gone()
    return received


def _gone() -> bytes:
    raise ConnectionError
