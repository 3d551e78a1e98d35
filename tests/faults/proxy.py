"""A TCP proxy with bad weather: latency, resets, tiny segments, silence, and replies that never arrive.

An asyncio loop in a thread of its own; the weather is changed from outside while it runs. Seeded.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from infra.devtools.processes import free_port
from recsys.process.tasks import cancelled

READ_BYTES = 65_536
SLICED_BYTES = 2048
"""Of each chunk, how many bytes go in tiny segments: enough to cut every header and length field."""
LOOK_S = 0.02
START_S = 10.0
COMMITTED = b":1\r\n"
"""Redis' reply to a commit script that applied."""


@dataclass
class Weather:
    """What the proxy does to traffic, from the next chunk of bytes on.

    Attributes:
        latency_s: Longest extra delay of a chunk, either way.
        reset_rate: Chance of a connection reset at each chunk.
        slice_bytes: Longest segment; 0 hands chunks on whole.
        silent: Holds everything back; connections stay open.
        cut_after: A connection whose request holds these bytes is reset when the reply comes, the reply unseen.
        cuts_left: How many more replies to cut.
    """

    latency_s: float = 0.0
    reset_rate: float = 0.0
    slice_bytes: int = 0
    silent: bool = False
    cut_after: bytes = b""
    cuts_left: int = 0


class Proxy:
    """A proxy on loopback.

    Args:
        target_port: Where it forwards to.
        port: Where it listens; None takes a free one.
        seed: Of its weather.

    Attributes:
        weather: Change it at any time.
        resets: Connections reset so far.
        cuts: Replies cut so far.
        connections: Connections accepted so far.
    """

    def __init__(self, target_port: int, *, port: int | None = None, seed: int = 0) -> None:
        self.port, self._target_port = port or free_port(), target_port
        self.weather = Weather()
        self.resets = self.cuts = self.connections = 0
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._end = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(START_S):
            raise TimeoutError(f"expected to listen on port {self.port} within {START_S:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._listening.set()
        await self._end.wait()
        server.close()
        await cancelled(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        ends = [writer]
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            ends.append(there_writer)
            _send_at_once(writer, there_writer)
            exchange = _Exchange(self, ends)
            await asyncio.gather(
                exchange.pump(reader, there_writer, request=True), exchange.pump(there_reader, writer, request=False)
            )
        except (OSError, asyncio.CancelledError):
            pass  # a connection that ends in trouble is what this proxy is for
        finally:
            self._open.discard(task)
            for end in ends:
                end.transport.abort()


@dataclass
class _Exchange:
    """One connection's two directions."""

    proxy: Proxy
    ends: list[asyncio.StreamWriter]
    committing: bool = False
    tail: bytes = b""

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, request: bool) -> None:
        while chunk := await reader.read(READ_BYTES):
            weather, rng = self.proxy.weather, self.proxy._rng
            while weather.silent:  # noqa: ASYNC110 - the flag is set by another thread
                await asyncio.sleep(LOOK_S)
            if weather.latency_s:
                await asyncio.sleep(rng.uniform(0, weather.latency_s))
            if weather.reset_rate and rng.random() < weather.reset_rate:
                self._reset()
                self.proxy.resets += 1
                return
            if weather.cut_after and self._cut(weather, chunk, request=request):
                return
            await self._pass_on(chunk, writer, weather.slice_bytes)
        writer.write_eof()

    def _cut(self, weather: Weather, chunk: bytes, *, request: bool) -> bool:
        """Notes a commit on its way there; resets the connection at its reply."""
        if request:
            seen, self.tail = self.tail + chunk, chunk[-len(weather.cut_after) :]
            self.committing |= weather.cut_after in seen
            return False
        if self.committing and chunk == COMMITTED and weather.cuts_left > 0:
            weather.cuts_left -= 1
            self.proxy.cuts += 1
            self._reset()
            return True
        self.committing, self.tail = False, b""
        return False

    async def _pass_on(self, chunk: bytes, writer: asyncio.StreamWriter, longest: int) -> None:
        at = 0
        while longest and at < min(len(chunk), SLICED_BYTES):
            size = self.proxy._rng.randint(1, longest)
            writer.write(chunk[at : at + size])
            at += size
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(chunk[at:])
        await writer.drain()

    def _reset(self) -> None:
        """RST instead of FIN, both ways."""
        for end in self.ends:
            plug = end.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()


def _send_at_once(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
