"""How the rooms connect to Redis.

Two policies, never mixed: the speed layer waits seconds and retries around its fence-guarded commit on its own;
serving waits milliseconds and never retries. redis-py's own retries are off for both, because a repeated command
whose first reply was lost is applied twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from recsys.errors import ConfigurationError, ServiceUnavailable

_Form = TypeVar("_Form")


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Turns every failure to get an answer into `ServiceUnavailable`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise ServiceUnavailable(f"expected an answer from Redis, received {type(error).__name__}: {error}") from error
    except RuntimeError as error:
        if "handler is closed" not in str(error):
            raise
        # uvloop, when a connection was reset between two writes
        raise ServiceUnavailable(f"expected an answer from Redis, received a closed connection: {error}") from error


def client(url: str, timeout_s: float, *, max_connections: int) -> Redis:
    """A client in bytes mode that gives up after `timeout_s` and never repeats a command by itself.

    Raises:
        ConfigurationError: For an address that is none.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL: expected redis://host:port/db, received {url!r} ({error})") from None
    return Redis.from_pool(pool)


async def read_json(connection: Redis, key: str, form: type[_Form]) -> _Form | None:
    """The JSON value of a key as `form`; None where there is no such key."""
    async with answering():
        value = await connection.get(key)
    return None if value is None else msgspec.json.decode(value, type=form)
