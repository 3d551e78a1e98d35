"""Whatever keeps Redis from answering means the same to its callers, and a bug stays a bug."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Event

import pytest
import uvloop
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.online_store.redis.connection import PlainConnection, TlsConnection, answering, client
from recsys.settings.redis import RedisAddress
from tests.doubles.certificates import Certificates


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
    with pytest.raises(ServiceUnavailable, match="no answer from Redis"):
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


@pytest.mark.parametrize(
    "message",
    [
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "BUSY Redis is busy running a script.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "@user_script: 24: -OOM command not allowed when used memory > 'maxmemory'.",  # as Redis 6 wraps it
    ],
)
async def test_an_error_that_passes_by_itself_is_the_service_being_away(message: str) -> None:
    """As redis-py raises it: it takes the code off the text of those that it has classes for."""
    with pytest.raises(ServiceUnavailable):
        async with answering("key"):
            raise BaseParser.parse_error(message)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "recsys rebuild"),
        ("ERR hash value is not an integer", "recsys rebuild"),
        ("NOPERM this user has no permissions to run the 'hset' command", "docs/services.md"),
        ("ERR The user executing the script can't run this command or subcommand", "docs/services.md"),
        ("ERR unknown command 'HINCRBY', with args beginning with:", "docs/services.md"),
        ("ERR Unknown Redis command called from script", "docs/services.md"),
    ],
)
async def test_an_error_that_no_retry_mends_names_the_key_and_the_remedy(message: str, remedy: str) -> None:
    with pytest.raises(UnreadableState, match=remedy) as refused:
        async with answering("{s3}:eng:u"):
            raise BaseParser.parse_error(message)  # type: ignore[no-untyped-call]
    assert not isinstance(refused.value, ServiceUnavailable)
    assert refused.value.key == "{s3}:eng:u"
    assert message.split(maxsplit=1)[1] in str(refused.value)


@pytest.mark.parametrize("learner", ["BUSY", "ask of pipeline caused error: OOM", "MOVED ASK"])
async def test_what_a_learner_is_called_never_decides_what_an_error_means(learner: str) -> None:
    """redis-py says in a pipeline's error which command failed, keys and all."""
    in_pipeline = f"Command # 1 (HGETALL {{s0}}:eng:{learner}) of pipeline caused error: "
    with pytest.raises(UnreadableState):
        async with answering("{s0}"):
            raise ResponseError(f"{in_pipeline}WRONGTYPE Operation against a key holding the wrong kind of value")
    full = BaseParser.parse_error("OOM command not allowed.")  # type: ignore[no-untyped-call]
    full.args = (in_pipeline + str(full),)
    with pytest.raises(ServiceUnavailable):
        async with answering("{s0}"):
            raise full


async def test_a_cancellation_that_a_command_lost_is_raised() -> None:
    asked = asyncio.Event()

    async def read() -> None:
        async with answering():
            try:
                asked.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise RedisConnectionError("reset") from None

    task = asyncio.create_task(read())
    await asked.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[RedisAddress, Future[None]]]:
    """The address of a TLS server that answers nothing, and what is done once its client's socket is closed."""
    certificates = Certificates.made_in(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server.cert_file, certificates.server.key_file)

    def read_until_closed() -> None:
        plain, _ = listening.accept()
        with (
            context.wrap_socket(plain, server_side=True) as encrypted,
            socket.socket(fileno=os.dup(encrypted.fileno())) as beneath,
            suppress(ConnectionResetError),
        ):
            beneath.settimeout(10.0)
            while beneath.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:
        port = listening.getsockname()[1]
        address = RedisAddress("127.0.0.1", port, tls=True, ca_file=certificates.ca_file)
        yield address, threads.submit(read_until_closed)


async def test_a_tls_connection_that_was_given_up_is_closed_at_once(hanging: tuple[RedisAddress, Future[None]]) -> None:
    address, closed = hanging
    redis = client(address, 0.2, max_connections=1)
    with pytest.raises(ServiceUnavailable):
        async with answering():
            await redis.ping()
    await asyncio.wait_for(asyncio.wrap_future(closed), 10.0)
    await redis.aclose()


@pytest.mark.parametrize("limit_s", [0.05, None])
async def test_a_tls_connection_that_is_closed_is_closed_at_once_whoever_stops_waiting(
    hanging: tuple[RedisAddress, Future[None]], limit_s: float | None
) -> None:
    """The connection itself gives up after its time-out; whoever closes it may do so before."""
    address, closed = hanging
    connection = TlsConnection(
        host=address.host, port=address.port, ssl_ca_certs=str(address.ca_file), socket_connect_timeout=2.0
    )
    await connection._connect()  # type: ignore[no-untyped-call]
    connection.socket_connect_timeout = 0.2
    with nullcontext() if limit_s is None else pytest.raises(TimeoutError):
        async with asyncio.timeout(limit_s):
            await connection.disconnect()
    await asyncio.wait_for(asyncio.wrap_future(closed), 10.0)


async def test_what_a_plain_connection_still_holds_when_it_is_given_up_is_not_sent() -> None:
    """A command whose time ran out while Redis read nothing is not carried out once Redis reads again."""
    size, given_up = 64 << 20, Event()

    def bytes_read() -> int:
        accepted, _ = listening.accept()
        with accepted, suppress(ConnectionResetError):
            accepted.settimeout(10.0)
            assert given_up.wait(10.0)
            read = 0
            while block := accepted.recv(1 << 20):
                read += len(block)
        return read

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:
        read = threads.submit(bytes_read)
        connection = PlainConnection(host="127.0.0.1", port=listening.getsockname()[1], socket_timeout=0.2)
        await connection._connect()  # type: ignore[no-untyped-call]
        with pytest.raises(RedisTimeoutError):
            await connection.send_packed_command(b"x" * size, check_health=False)
        given_up.set()
        assert await asyncio.wait_for(asyncio.wrap_future(read), 10.0) < size
