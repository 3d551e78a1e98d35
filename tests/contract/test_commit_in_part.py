"""A commit on Redis is checked before its first change; one that fails after it is never applied again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from recsys.errors import ServiceUnavailable, ShardDamaged, UnreadableState
from recsys.keys import KeySpace, Shard, Topology
from recsys.online_store import Effects
from recsys.online_store.operations import (
    CounterAdd,
    DeleteFields,
    Drop,
    HashText,
    Operation,
    PutValues,
    SortedSetUnmark,
)
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects

KEYS = KeySpace()

GROUP, SHARD = "g", Shard(3)
WRITES = ["hset", "hdel", "sadd", "srem", "zadd", "zrem", "unlink", "set"]
READS = ["get", "hmget", "hget", "hgetall", "hlen", "scard", "zcard"]
EVERYTHING = effects(
    engagement={"u": {"c": 5.0}},
    done={"u": ["c"]},
    trend={"c": 5.0},
    bots={"u": {"features": "1,1,0,0"}},
    counts={"accepted": 1},
)
EVERYTHING.operations = [
    *EVERYTHING.operations,
    DeleteFields("done", {"v": ["c"]}),
    Drop("eng", ["v"], indexed=True),
    SortedSetUnmark("dirty", ["v"]),
]


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client
        client.acl_setuser("limited", enabled=False)
        client.acl_deluser("limited")


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(redis_url)
    yield opened
    await opened.close()


@pytest.fixture
async def limited(admin: redis.Redis, redis_url: str) -> AsyncIterator[RedisStore]:
    """A store whose user has every right, until a test takes some."""
    admin.acl_setuser("limited", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"], channels=["*"])
    opened = RedisStore.for_stream(redis_url.replace("redis://", "redis://limited:secret@"))
    yield opened
    await opened.close()


def state(client: redis.Redis) -> dict[bytes, object]:
    return {key: client.dump(key) for key in client.scan_iter()}


def allow(client: redis.Redis, *commands: str) -> None:
    client.acl_setuser("limited", enabled=True, commands=list(commands), keys=["*"], reset_keys=True)


@pytest.mark.parametrize("command", WRITES)
async def test_a_command_that_is_refused_is_told_before_the_first_change_and_again_counts_once(
    limited: RedisStore, admin: redis.Redis, command: str
) -> None:
    assert await limited.commit(SHARD, GROUP, None, 0, effects(counts={"accepted": 1}))
    before = state(admin)
    allow(admin, f"-{command}")
    for _ in range(3):
        with pytest.raises(UnreadableState, match=f"(?i){command}.*give the user of REDIS_URL the rights") as refused:
            await limited.commit(SHARD, GROUP, 0, 1, EVERYTHING)
        assert not isinstance(refused.value, ShardDamaged)
    allow(admin, f"+{command}")
    admin.delete("recsys:{s3}:probe")  # a refused UNLINK leaves nothing but this
    assert state(admin) == before
    assert await limited.commit(SHARD, GROUP, 0, 1, EVERYTHING)
    assert (await limited.user_states(SHARD, ["u"]))[0].engagement == {"c": 5.0}
    assert await limited.counts(SHARD) == {"accepted": 2}


@pytest.mark.parametrize("command", [*WRITES, *READS])
async def test_the_self_test_names_what_is_missing_and_leaves_nothing_behind(
    limited: RedisStore, admin: redis.Redis, command: str
) -> None:
    await limited.self_test(SHARD)
    assert state(admin) == {}
    allow(admin, f"-{command}")
    with pytest.raises(UnreadableState, match=f"(?i){command}"):
        await limited.self_test(SHARD)
    if command != "unlink":
        assert state(admin) == {}


@pytest.mark.parametrize(
    "key",
    [
        KEYS.fence(SHARD, GROUP),
        KEYS.engagement(SHARD, "u"),
        KEYS.done(SHARD, "u"),
        KEYS.bot(SHARD, "u"),
        KEYS.trend(SHARD),
        KEYS.dirty(SHARD),
        KEYS.counts(SHARD),
        KEYS.users(SHARD),
        KEYS.indexed(SHARD),
    ],
)
async def test_a_key_of_another_type_is_named_and_nothing_is_changed(
    store: RedisStore, admin: redis.Redis, key: str
) -> None:
    admin.rpush(key, "of another application")
    before = state(admin)
    with pytest.raises(UnreadableState, match="WRONGTYPE") as refused:
        await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    assert refused.value.key == key
    assert state(admin) == before
    admin.delete(key)
    assert await store.commit(SHARD, GROUP, None, 0, EVERYTHING)


@pytest.mark.parametrize("count", ["many", "", "-", "007", "-0", "9223372036854775807", "9" * 16, "1.5"])
async def test_a_count_that_is_none_is_named_and_nothing_is_changed(
    store: RedisStore, admin: redis.Redis, count: str
) -> None:
    admin.hset(KEYS.counts(SHARD), "accepted", count)
    before = state(admin)
    with pytest.raises(UnreadableState, match=r"\{s3\}:counts.*no integer") as refused:
        await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    assert not isinstance(refused.value, ShardDamaged)
    assert state(admin) == before


@pytest.mark.parametrize("count", ["0", "-3", "999999999999998"])
async def test_a_count_that_redis_can_add_to_is_added_to(store: RedisStore, admin: redis.Redis, count: str) -> None:
    admin.hset(KEYS.counts(SHARD), "accepted", count)
    assert await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    assert await store.counts(SHARD) == {"accepted": int(count) + 1}


async def test_a_count_that_is_none_is_named_where_it_is_shown(store: RedisStore, admin: redis.Redis) -> None:
    admin.hset(KEYS.counts(SHARD), "accepted", "many")
    with pytest.raises(UnreadableState, match=r"\{s3\}:counts.*no integer"):
        await store.counts(SHARD)


class FailsInTheMiddle(RedisStore):
    """Its commit script changes a count and then fails, as one does that meets what no check could foresee."""

    commit_script = RedisStore.commit_script.replace(
        "at = key_of(step[2], '')\n  local found",
        "at = key_of(step[2], '')\n  redis.call('LPUSH', KEYS[1], 'x')\n  local found",
    )


async def test_a_commit_in_part_is_never_applied_again_and_says_where(
    store: RedisStore, admin: redis.Redis, redis_url: str
) -> None:
    broken = FailsInTheMiddle.for_stream(redis_url)
    assert await store.commit(SHARD, GROUP, None, 0, effects(engagement={"u": {"c": 1.0}}))
    with pytest.raises(ShardDamaged, match="`recsys rebuild`") as damaged:
        await broken.commit(SHARD, GROUP, 0, 1, EVERYTHING)
    assert (damaged.value.shard, damaged.value.key) == (3, KEYS.counts(SHARD))
    assert not isinstance(damaged.value, ServiceUnavailable)
    half = state(admin)
    for _ in range(3):  # also by a worker that starts anew
        with pytest.raises(ShardDamaged, match=r"\{s3\}:counts"):
            await store.read_shard(SHARD, GROUP, [])
        with pytest.raises(ShardDamaged):
            await store.commit(SHARD, GROUP, 0, 1, EVERYTHING)
    assert state(admin) == half
    assert await store.fence(SHARD, GROUP) == 0
    await store.drop_shards([SHARD])
    assert await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    await broken.close()


async def test_a_commit_that_moved_on_is_no_damage(store: RedisStore) -> None:
    assert await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    assert not await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
    assert (await store.read_shard(SHARD, GROUP, [])).fence == 0


async def test_values_that_are_none_are_named_where_they_are_shown(store: RedisStore, admin: redis.Redis) -> None:
    for key, value, said in (
        (KEYS.engagement(SHARD, "u"), "five", "no packed record"),
        (KEYS.done(SHARD, "v"), "soon", "no number"),
    ):
        admin.hset(key, "c", value)
        with pytest.raises(UnreadableState, match=said) as refused:
            await store.user_states(SHARD, [key[-1]])
        assert refused.value.key == key
    admin.hset(KEYS.trend(SHARD), "c", "12345678")
    with pytest.raises(UnreadableState, match=r"\{s3\}:trend.*no sum"):
        await store.trend(SHARD, 9)


async def test_a_fence_and_a_topology_that_cannot_be_read_are_named(store: RedisStore, admin: redis.Redis) -> None:
    admin.set(KEYS.fence(SHARD, GROUP), "there")
    with pytest.raises(UnreadableState, match=r"fence:g.*no offset"):
        await store.fence(SHARD, GROUP)
    admin.set(KEYS.topology, '{"partitions": "six"}')
    with pytest.raises(UnreadableState, match="recsys:topology"):
        await store.establish_topology(Topology(6))


async def test_a_full_redis_is_tried_again_and_was_not_changed(store: RedisStore, admin: redis.Redis) -> None:
    before = state(admin)
    limit = admin.config_get("maxmemory")["maxmemory"] or "0"
    admin.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(ServiceUnavailable, match="OOM"):
            await store.commit(SHARD, GROUP, None, 0, EVERYTHING)
        assert state(admin) == before
    finally:
        admin.config_set("maxmemory", limit)
    assert await store.commit(SHARD, GROUP, None, 0, EVERYTHING)


async def test_an_effect_of_nothing_touches_nothing_but_the_fence(store: RedisStore, admin: redis.Redis) -> None:
    nothing: list[Operation] = [
        PutValues("eng", {}),
        DeleteFields("eng", {}),
        HashText("bot", ["a"], {}),
        SortedSetUnmark("dirty", []),
        Drop("done", []),
        CounterAdd("counts", {}),
    ]
    assert await store.commit(SHARD, GROUP, None, 0, Effects(nothing))
    assert set(state(admin)) == {KEYS.fence(SHARD, GROUP).encode(), KEYS.indexed(SHARD).encode()}
