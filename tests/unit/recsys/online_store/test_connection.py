"""Whatever keeps Redis from answering means the same to its callers, and a bug stays a bug."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from recsys.errors import ServiceUnavailable
from recsys.online_store.redis.connection import answering


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("reset"),
        OSError(104, "reset"),
        TimeoutError(),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    ],
)
async def test_every_failure_to_get_an_answer_is_the_service_being_away(error: Exception) -> None:
    with pytest.raises(ServiceUnavailable, match="expected an answer from Redis"):
        async with answering():
            raise error


def test_uvloop_says_so_when_a_connection_was_reset_between_two_writes() -> None:
    async def write_twice() -> None:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"PING")
        writer.transport.abort()
        await asyncio.sleep(0.01)
        async with answering():
            writer.write(b"PING")

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(ServiceUnavailable, match="a closed connection"),
    ):
        uvloop.run(write_twice())


async def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="dictionary changed size"):
        async with answering():
            raise RuntimeError("dictionary changed size during iteration")
