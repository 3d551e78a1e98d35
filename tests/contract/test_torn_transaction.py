"""A power cut that tears a commit's transaction in the append-only file, and what Redis makes of it later.

Redis cuts the file after the last whole command and not before the transaction's MULTI (seen on 7.0.15; Valkey mended
it in its pull request 4342): what is left of the transaction stays in the file, and the next restart applies it with
the one written after it. So a commit must leave the same state when its first part is applied twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from infra.devtools.local_redis import LocalRedis
from recsys.errors import UnreadableState
from recsys.keys import Shard
from recsys.online_store.redis.store import RedisStore
from tests.doubles.commands import wait_until
from tests.doubles.effects import effects

GROUP, SHARD = "g", Shard(0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalRedis]:
    with LocalRedis(tmp_path) as redis:
        redis.repairs = False
        yield redis


@asynccontextmanager
async def store(server: LocalRedis) -> AsyncIterator[RedisStore]:
    redis = RedisStore.for_stream(server.url)
    yield redis
    await redis.close()


async def commit(server: LocalRedis, fence: int | None, value: float) -> None:
    changes = effects(
        engagement={"u": {"c": value}}, trend={"c": value}, done={"u": ["c"]}, counts={"accepted": 1, "refused": 2}
    )
    async with store(server) as redis:
        assert await redis.commit(SHARD, GROUP, fence, 0 if fence is None else fence + 1, changes)


async def counts(server: LocalRedis) -> Mapping[str, int]:
    async with store(server) as redis:
        return await redis.counts(SHARD)


async def test_a_torn_commit_that_is_applied_later_changes_nothing(server: LocalRedis) -> None:
    await commit(server, None, 1.0)
    await commit(server, 0, 2.0)
    tear(server, b"fence:g")
    assert await counts(server) == {"accepted": 1, "refused": 2}  # the second commit is forgotten

    await commit(server, 0, 2.0)  # and made again, because the fence went back with it
    crash(server)
    server.start()

    assert await counts(server) == {"accepted": 2, "refused": 4}
    async with store(server) as redis:
        assert await redis.fence(SHARD, GROUP) == 1
        assert (await redis.user_states(SHARD, ["u"]))[0].engagement == {"c": 2.0}
        assert (await redis.trend(SHARD, 1)).sums == {"c": 2.0}
        assert await redis.read_shard(SHARD, GROUP, [])  # nor does it take the shard for half-applied


@pytest.mark.parametrize("rewritten", [True, False])
async def test_a_log_that_is_rewritten_holds_nothing_of_a_torn_commit(server: LocalRedis, rewritten: bool) -> None:
    await commit(server, None, 1.0)
    await commit(server, 0, 2.0)
    tear(server, b"fence:g")

    async with store(server) as redis:
        if rewritten:
            run_id = (await redis.durability()).run_id or ""
            assert await redis.rewrite_log(run_id)
            assert not await redis.rewrite_log(run_id), "once after each start"
            wait_until(lambda: not rewriting(server), within_s=20, what="an append-only file written anew")
        assert await redis.commit(Shard(1), GROUP, None, 0, effects(counts={"accepted": 1}))
    crash(server)
    server.start()

    assert (await counts(server) == {"accepted": 1, "refused": 2}) is rewritten
    async with store(server) as redis:
        with nullcontext() if rewritten else pytest.raises(UnreadableState, match="applied in part"):
            assert await redis.read_shard(SHARD, GROUP, [])


async def test_a_log_that_is_repaired_before_the_start_holds_nothing_of_a_torn_commit(server: LocalRedis) -> None:
    server.repairs = True
    await commit(server, None, 1.0)
    await commit(server, 0, 2.0)
    tear(server, b"fence:g")
    async with store(server) as redis:
        assert await redis.commit(Shard(1), GROUP, None, 0, effects(counts={"accepted": 1}))
    crash(server)
    server.start()

    assert await counts(server) == {"accepted": 1, "refused": 2}
    async with store(server) as redis:
        assert await redis.counts(Shard(1)) == {"accepted": 1}  # nor does what came after it go with it
        assert await redis.read_shard(SHARD, GROUP, [])


def persistence(server: LocalRedis) -> Mapping[str, Any]:
    with Redis.from_url(server.url) as client:
        told: Any = client.info("persistence")
    return dict(told)


def rewriting(server: LocalRedis) -> bool:
    told = persistence(server)
    return bool(told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])


def crash(server: LocalRedis) -> None:
    """Kills Redis once its file holds what it answered: while the disk is busy, it answers up to two seconds before."""
    wait_until(lambda: persistence(server)["aof_buffer_length"] == 0, within_s=20, what="what was answered in the file")
    server.kill()


def tear(server: LocalRedis, inside: bytes) -> None:
    """Kills Redis, and ends its file in the middle of the last command that names `inside`."""
    crash(server)
    file = max((server.directory / "appendonlydir").glob("*.incr.aof"))
    written = file.read_bytes()
    file.write_bytes(written[: written.rindex(inside)])
    server.start()
