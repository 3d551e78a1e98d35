"""Keys of a wrong type and corrupt values in a real Redis: named, isolated to their partition, healed by a rebuild."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import redis

from recsys.errors import OutdatedState, UnreadableState
from recsys.keys import STATE_FORMAT, KeySpace, Partition, Topology
from recsys.online_store import Effects, Guard, ModelPointer, Stop
from recsys.online_store.redis.store import RedisStore
from recsys.settings import load_settings
from stream.engagement.projections.course_sums import BLOCKS
from stream.rebuild.previous import Previous
from tests.doubles.partitions import LEARNER, PARTITIONS, TOPOLOGY, Scene

KEYS = KeySpace()

GROUP = load_settings().consumer_group
SHARD = TOPOLOGY.shard(Partition(1))
FENCE, GUARD = KEYS.fence(SHARD, GROUP), KEYS.guard(SHARD, GROUP)
ENGAGEMENT, BOT = KEYS.engagement(SHARD, LEARNER[Partition(1)]), KEYS.bot(SHARD, LEARNER[Partition(1)])
COUNTS, TREND, TERMS, DIRTY = KEYS.counts(SHARD), KEYS.trend(SHARD), KEYS.terms(SHARD), KEYS.dirty(SHARD)
ERASED, MERGED = KEYS.erased(SHARD), KEYS.merged(SHARD)

Spoil = Callable[[redis.Redis], object]
OTHER_TYPE: dict[str, Spoil] = {
    key: lambda client, key=key: (client.delete(key), client.xadd(key, {"of": "another application"}))  # type: ignore[misc]
    for key in (FENCE, GUARD, ENGAGEMENT, BOT, TREND, TERMS, DIRTY, COUNTS, ERASED, MERGED)
}
OTHER_VALUE: dict[str, Spoil] = {
    FENCE: lambda client: client.set(FENCE, "twelve"),
    GUARD: lambda client: client.hset(GUARD, "refusals_until", "many"),
    BOT: lambda client: client.hset(BOT, "features", "nonsense"),
    ERASED: lambda client: client.hset(ERASED, LEARNER[Partition(1)], "yesterday"),
    MERGED: lambda client: client.hset(MERGED, LEARNER[Partition(1)], "yesterday"),
    ENGAGEMENT: lambda client: client.hset(ENGAGEMENT, "c", "five"),
    TREND: lambda client: client.hset(TREND, "c", bytes(20)),
    TERMS: lambda client: client.hset(TERMS, "0", "five"),
    COUNTS: lambda client: client.hset(COUNTS, "accepted", "many"),
}
SPOILT = [
    *(pytest.param(key, spoil, id=f"type {key}") for key, spoil in OTHER_TYPE.items()),
    *(pytest.param(key, spoil, id=f"value {key}") for key, spoil in OTHER_VALUE.items()),
]


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    made = RedisStore.for_stream(redis_url)
    yield made
    await made.close()


async def applied(scene: Scene, offset: int) -> list[bool]:
    deliveries = [await scene.put(partition, offset) for partition in range(PARTITIONS)]
    await scene.settle()
    return [delivery.acked for delivery in deliveries]


@pytest.mark.parametrize(("key", "spoil"), SPOILT)
async def test_the_key_is_named_the_others_go_on_and_a_rebuild_heals(
    redis_url: str, store: RedisStore, key: str, spoil: Spoil
) -> None:
    before = Scene(store)
    assert await applied(before, 0) == [True] * PARTITIONS
    await before.partitions.end()
    with redis.Redis.from_url(redis_url) as client:
        [block] = client.hvals(TERMS)  # sums are read when so many are settled
        client.hset(TERMS, mapping=dict.fromkeys(map(str, range(BLOCKS)), block))
        spoil(client)
        scene = Scene(store)
        for offset in (1, 2):
            assert await applied(scene, offset) == [True, False, True]
        assert scene.partitions.of(Partition(1))._writer.stopped()
        stop = scene.partitions.of(Partition(1))._writer._isolation._stop
        assert stop is not None
        assert stop.unreadable == key
        assert "run `recsys rebuild`" in stop.reason
        if key != GUARD:
            assert (await store.guard(SHARD, GROUP)).stop == stop
        await scene.partitions.end()
    previous = await Previous.find(store, GROUP, PARTITIONS)
    fence = await previous.fence(Partition(1))
    assert fence == (None if key == FENCE else 0)
    assert (await previous.guard(Partition(1))).stop is None
    rebuilt = Topology(PARTITIONS, 1)
    assert await store.switch_topology(None, rebuilt)
    assert await applied(Scene(store, topology=rebuilt), 0) == [True] * PARTITIONS


NO_TOPOLOGIES = [
    b"",
    b"six",
    b"[1]",
    b'{"partitions":0}',
    b'{"partitions":"six"}',
    b"\xff",
    b'{"generation":1}',
]


@pytest.mark.parametrize("value", [*NO_TOPOLOGIES, None])
async def test_a_topology_that_cannot_be_read_is_named_and_replaced_by_a_rebuild_alone(
    redis_url: str, store: RedisStore, value: bytes | None
) -> None:
    in_use = Topology(PARTITIONS, 7)
    await store.commit(in_use.shard(Partition(1)), GROUP, None, 5, Effects())
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.topology, value) if value is not None else client.rpush(KEYS.topology, "another's")
    for read in (store.topology, lambda: store.establish_topology(TOPOLOGY)):
        with pytest.raises(
            UnreadableState, match=r"Redis key 'recsys:topology' .*run `recsys rebuild`.* or delete the key"
        ) as told:
            await read()
        assert (told.value.exit_status, told.value.newer) == (4, False)
    previous = await Previous.find(store, GROUP, PARTITIONS)
    assert (previous.written, previous.topology) == (None, in_use)
    assert await previous.fence(Partition(1)) == 5
    assert await store.switch_topology(previous.written, Topology(PARTITIONS, 8))
    assert await store.topology() == Topology(PARTITIONS, 8)


async def test_a_topology_of_a_newer_release_is_named_and_left_alone(redis_url: str, store: RedisStore) -> None:
    newer = json.dumps({"format": STATE_FORMAT + 1, "shards": ["a", "b"]}).encode()
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.topology, newer)
        asked = (
            store.topology(),
            store.establish_topology(TOPOLOGY),
            store.switch_topology(None, TOPOLOGY),
            Previous.find(store, GROUP, PARTITIONS),
        )
        for asking in asked:
            with pytest.raises(
                UnreadableState, match=rf"'recsys:topology' was written by a newer release \(format {STATE_FORMAT + 1}"
            ) as told:
                await asking
            assert told.value.exit_status == 4
        assert client.get(KEYS.topology) == newer


async def test_a_stop_that_older_releases_wrote_is_read(redis_url: str, store: RedisStore) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.hset(GUARD, "stop", json.dumps({"offset": 5, "reason": "r", "at_ms": 1}))
    assert (await store.guard(SHARD, GROUP)).stop == Stop(5, "r", 1)


async def test_state_of_an_earlier_release_is_named_and_migrated_by_a_rebuild_alone(
    redis_url: str, store: RedisStore
) -> None:
    outdated = b'{"partitions":6,"generation":2}'
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.topology, outdated)
        for read in (store.topology, lambda: store.establish_topology(TOPOLOGY)):
            with pytest.raises(OutdatedState, match=r"earlier release folded.*run `recsys rebuild`") as told:
                await read()
            assert (told.value.exit_status, told.value.newer, "\n" in str(told.value)) == (4, False, False)
        assert client.get(KEYS.topology) == outdated
        previous = await Previous.find(store, GROUP, PARTITIONS)
        assert previous.written == Topology(6, 2, state_format=1)
        assert await previous.is_in_use()
        assert not await store.switch_topology(Topology(6, 2), Topology(6, 3))
        assert await store.switch_topology(previous.written, Topology(6, 3))
        assert await store.topology() == Topology(6, 3)
        assert "partitions" not in json.loads(client.get(KEYS.topology) or b"")  # d1a576b would take it for its own


async def test_a_stop_that_a_rebuild_does_not_heal_is_copied(store: RedisStore) -> None:
    flood = Stop(5, "mostly refused", 1)
    previous = await Previous.find(store, GROUP, PARTITIONS)
    for stop, copied in ((flood, flood), (replace(flood, unreadable="recsys:{s1}:trend"), None)):
        await store.stop_partition(SHARD, GROUP, stop)
        assert await previous.guard(Partition(1)) == Guard(stop=copied)


async def test_a_worker_id_of_another_type_is_named(redis_url: str, store: RedisStore) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(KEYS.worker("w1"), "another's")
    with pytest.raises(UnreadableState, match=r"'recsys:worker:w1' .*; delete the key"):
        await store.hold_worker_id("w1", "me", 1000)


async def test_a_model_pointer_that_cannot_be_read_is_named(redis_url: str, store: RedisStore) -> None:
    for value in (b"junk", b'{"version":5}', b'{"format":2,"model":"x"}'):
        with redis.Redis.from_url(redis_url) as client:
            client.set(KEYS.model_current, value)
        with pytest.raises(UnreadableState, match="Redis key 'recsys:model:current'"):
            await store.model()
    await store.restore_model(ModelPointer("v1", "/m/v1", 5))  # a key that is there is not replaced by this
