"""How the packages connect to Redis.

Two policies, never mixed: the speed layer waits seconds and retries around its fence-guarded commit on its own;
serving waits milliseconds and never retries. redis-py's own retries are off for both, because a repeated command
whose first reply was lost is applied twice.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from recsys.errors import REBUILD, ConfigurationError, ServiceUnavailable, UnreadableState
from recsys.keys import KeySpace
from recsys.process.tasks import cancellable
from recsys.process.tls import client_context
from recsys.settings.redis import RedisAddress

_Form = TypeVar("_Form")


_FOR_NOW = re.compile(
    r"\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|OOM|MISCONF|NOREPLICAS|NOTREADY|MOVED|ASK)\b"
)
"""Error codes of a Redis that will answer otherwise later: fail-over, start-up, full memory or disk, a slow script."""

_PIPELINED = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
"""What redis-py puts into an error reply in a pipeline: the command and its keys, so what learners are called."""

_RIGHTS = re.compile(r"\bNOPERM\b|can't run this command|nknown (Redis )?command")
RIGHTS_REMEDY = "give the user of REDIS_URL the rights that docs/services.md lists"


class _ClosedAtOnce(AbstractConnection):
    """A connection whose socket is closed at once where redis-py gives it up.

    asyncio would first send what a plain connection still holds, and waits up to 30 s for the other side to confirm the
    end of a TLS connection. A Redis that hangs reads and confirms nothing. So each command that runs out of time would
    leave a socket open, what was given up might be carried out later, and a process that ends meanwhile reports an
    unclosed socket.
    """

    async def disconnect(self, nowait: bool = False, *args: Any, **options: Any) -> None:
        """As redis-py documents it; `nowait` is what it says when it gives a connection up."""
        writer = self._writer
        if nowait and writer is not None:
            writer.transport.abort()
        try:
            await super().disconnect(nowait, *args, **options)
        except BaseException as error:  # also whoever closes it stops waiting
            if writer is not None:
                writer.transport.abort()
            if not isinstance(error, RedisTimeoutError):
                raise


class PlainConnection(_ClosedAtOnce, Connection):
    """Without TLS."""


class TlsConnection(_ClosedAtOnce, SSLConnection):
    """With TLS."""


def refusal(key: str, message: str, remedy: str = REBUILD) -> ServiceUnavailable | UnreadableState:
    """The error for an error reply of Redis: one that passes by itself, or one that no retry mends.

    Args:
        key: The key or what else was asked for.
        message: Redis's own, which begins with a code.
        remedy: What an operator does about a key that no retry mends.
    """
    code = _PIPELINED.sub("", message)
    if _FOR_NOW.search(code):
        return ServiceUnavailable(f"Redis refuses {key or 'a command'} for now: {message}")
    return UnreadableState(key, f"is refused: {message}", remedy=RIGHTS_REMEDY if _RIGHTS.search(message) else remedy)


@asynccontextmanager
async def answering(key: str = "", *, remedy: str = REBUILD) -> AsyncIterator[None]:
    """Classifies what Redis does instead of answering.

    Args:
        key: The key asked for, to be named in an error.
        remedy: What an operator does about a key that no retry mends.

    Raises:
        ServiceUnavailable: No answer (connection, time-out), or one that passes by itself (`refusal`).
        UnreadableState: An error reply that no retry mends: another type, a missing right, an unknown command.
        CancelledError: The task was cancelled meanwhile; redis-py may lose that (`recsys.process.tasks`).
    """
    try:
        with cancellable():
            yield
    except ResponseError as error:
        # redis-py takes the code off the text of those that it has classes for.
        code = getattr(error, "status_code", None)
        raise refusal(key, f"{code} {error}" if code else str(error), remedy) from error
    except (RedisError, OSError, TimeoutError) as error:
        raise ServiceUnavailable(f"no answer from Redis: {explained(error)}") from error
    except RuntimeError as error:
        if "handler is closed" not in str(error):
            raise
        # uvloop, when a connection was reset between two writes
        raise ServiceUnavailable(f"no answer from Redis: a closed connection: {error}") from error


def explained(error: Exception) -> str:
    """What a failure to get an answer means, with the setting to look at where there is one."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, AuthenticationError):
        return "it refused the login: check REDIS_URL, RECSYS_REDIS_USERNAME and RECSYS_REDIS_PASSWORD"
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}): check RECSYS_REDIS_SSL_CA_FILE"
    return said


def key_space_of(address: RedisAddress | str) -> KeySpace:
    """How keys are spelled at an address; a URL alone says nothing of that, so it is the default."""
    return KeySpace() if isinstance(address, str) else KeySpace(address.key_prefix)


def client(address: RedisAddress | str, timeout_s: float, *, max_connections: int) -> Redis:
    """A client in bytes mode that gives up after `timeout_s` and never repeats a command by itself.

    Args:
        address: Redis as the settings describe it, or a URL, which is an address without TLS files.
        timeout_s: To connect, to read, and to wait for a free connection, in seconds.
        max_connections: At the same time.

    Raises:
        ConfigurationError: For a URL that is none, or a TLS file that cannot be used; never with a password in it.
    """
    if isinstance(address, str):
        try:
            address = RedisAddress.parse(address)
        except ConfigurationError as error:
            raise ConfigurationError(f"REDIS_URL: {error}") from None
    pool = BlockingConnectionPool(
        connection_class=TlsConnection if address.tls else PlainConnection,
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        **(_tls_options(address) if address.tls else {}),
    )
    return Redis.from_pool(pool)


async def read_json(connection: Redis, key: str, form: type[_Form]) -> _Form | None:
    """The JSON value of a key as `form`; None where there is no such key.

    Raises:
        UnreadableState: The key holds something else.
    """
    async with answering(key):
        value = await connection.get(key)
    return None if value is None else from_json(key, cast("bytes", value), form)


def from_json(key: str, value: bytes, form: type[_Form]) -> _Form:
    """A value read from `key` as `form`.

    Raises:
        UnreadableState: It is something else: corrupt, or written by a newer release.
    """
    try:
        return msgspec.json.decode(value, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableState(key, f"holds no {form.__name__} that this release can read: {error}") from None


def offset_of(key: str, value: bytes | None) -> int | None:
    """A fence as it is stored.

    Raises:
        UnreadableState: It is no integer.
    """
    try:
        return None if value is None else int(value)
    except ValueError:
        raise UnreadableState(key, "holds no offset") from None


def _tls_options(address: RedisAddress) -> dict[str, Any]:
    """redis-py reads the files for each connection; here once before, so that a useless one is told at the start."""
    client_context(
        "RECSYS_REDIS_SSL",
        ca_file=address.ca_file,
        cert_file=address.cert_file,
        key_file=address.key_file,
        key_password=address.key_password,
        check_hostname=address.check_hostname,
    )
    options = {
        "ssl_ca_certs": address.ca_file,
        "ssl_certfile": address.cert_file,
        "ssl_keyfile": address.key_file or address.cert_file,
        "ssl_password": address.key_password,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    return {**given, "ssl_check_hostname": address.check_hostname}
