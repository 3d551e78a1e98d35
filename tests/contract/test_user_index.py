"""The learners of a shard are found without a walk over the key space, those of older releases after one walk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from recsys.keys import KeySpace, Shard, Topology
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects, scored

KEYS = KeySpace()

GROUP = "g"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(redis_url)
    await opened.establish_topology(Topology(3))
    yield opened
    await opened.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        opened.config_resetstat()
        yield opened


def scans(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0))


async def users(store: RedisStore, shard: int) -> set[str]:
    return {user async for user, _ in store.engagement(Shard(shard))}


async def commit(store: RedisStore, shard: int, user: str) -> None:
    fence = await store.fence(Shard(shard), GROUP)
    changes = effects(engagement={user: {"c": 1.0}}, counts={"accepted": 1})
    assert await store.commit(Shard(shard), GROUP, fence, (fence or 0) + 1, changes)


def commit_as_d1a576b_did(client: redis.Redis, shard: int, user: str) -> None:
    """What the release before wrote: no index."""
    client.hset(KEYS.engagement(Shard(shard), user), "c", scored(1.0))
    client.hincrby(KEYS.counts(Shard(shard)), "accepted", 1)
    client.set(KEYS.fence(Shard(shard), GROUP), int(client.get(KEYS.fence(Shard(shard), GROUP)) or 0) + 1)


async def test_a_shard_of_this_release_is_never_scanned(store: RedisStore, client: redis.Redis) -> None:
    for user in ("a", "b:c", "{s1}:eng:x", "a"):
        await commit(store, 0, user)
    assert await users(store, 0) == {"a", "b:c", "{s1}:eng:x"}
    assert await users(store, 1) == set()
    assert scans(client) == 0


async def test_learners_of_the_release_before_are_found_by_one_walk_for_all_shards(
    store: RedisStore, client: redis.Redis
) -> None:
    for shard in range(3):
        for n in range(600):
            client.hset(KEYS.engagement(Shard(shard), f"old{n}"), "c", scored(1.0))
        commit_as_d1a576b_did(client, shard, "last")
    everybody = {"last", *(f"old{n}" for n in range(600))}
    for shard in range(3):
        assert await users(store, shard) == everybody
    walked = scans(client)
    assert walked < 2 * 1900 / 500 + 3
    await commit(store, 1, "new")
    assert await users(store, 1) == {*everybody, "new"}
    assert scans(client) == walked


async def test_a_release_that_runs_beside_is_noticed(store: RedisStore, client: redis.Redis) -> None:
    await commit(store, 0, "new")
    assert await users(store, 0) == {"new"}
    commit_as_d1a576b_did(client, 0, "beside")
    await commit(store, 0, "newer")
    assert await users(store, 0) == {"new", "beside", "newer"}
    walked = scans(client)
    assert walked > 0
    assert await users(store, 0) == {"new", "beside", "newer"}
    assert scans(client) == walked


async def test_a_commit_of_the_release_before_during_a_walk_makes_it_no_whole_one(
    store: RedisStore, client: redis.Redis
) -> None:
    commit_as_d1a576b_did(client, 0, "old")
    scan, walks = store._users._client.scan, 0

    async def scan_slowly(*arguments: object) -> object:
        nonlocal walks
        walks += 1
        found = await scan(*arguments)  # type: ignore[arg-type]
        if walks == 1:
            commit_as_d1a576b_did(client, 0, "meanwhile")
            await commit(store, 0, "new")
        return found

    store._users._client.scan = scan_slowly  # type: ignore[method-assign, assignment]
    await users(store, 0)
    assert await users(store, 0) == {"old", "meanwhile", "new"}
    assert walks == 2
    assert await users(store, 0) == {"old", "meanwhile", "new"}
    assert walks == 2


async def test_a_walk_indexes_no_shard_that_nobody_uses_any_more(store: RedisStore, client: redis.Redis) -> None:
    """What a rebuild is about to drop, or kept by `--keep-old`: its keys would never be dropped again."""
    commit_as_d1a576b_did(client, 0, "a")
    commit_as_d1a576b_did(client, 10_000, "b")
    assert await users(store, 0) == {"a"}
    assert not client.exists(KEYS.users(Shard(10_000)))
