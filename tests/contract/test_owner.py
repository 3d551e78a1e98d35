"""Whose state Redis holds: written once beside the topology, compared at start, moved by a rebuild alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis

from recsys.errors import ForeignState
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import OnlineStore
from recsys.online_store.memory import MemoryStore
from recsys.online_store.redis.store import RedisStore
from recsys.owner import LogIdentity, StateOwner
from stream.engagement.ownership import claim_state
from tests.doubles.effects import effects

GROUP, TOPOLOGY, KEY = "g", Topology(2), KeySpace().topology
OWN = StateOwner("recsys", GROUP, LogIdentity("interactions", "id-a", "cluster-1"))
ANOTHER = replace(OWN, log=LogIdentity("interactions", "id-b", "cluster-1"))


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = RedisStore.for_stream(request.getfixturevalue("redis_url"))
    yield opened
    await opened.close()


async def claim(store: OnlineStore, own: StateOwner = OWN) -> Topology:
    return await claim_state(store, TOPOLOGY, own, bounds, key=KEY)


async def bounds() -> dict[int, tuple[int, int] | None]:
    return {0: (0, 10), 1: (0, 10)}


async def applied(store: OnlineStore, *, group: str = GROUP, fence: int = 9) -> None:
    shard = TOPOLOGY.shard(Partition(0))
    assert await store.commit(shard, group, None, fence, effects(counts={"accepted": 5}))


async def test_the_first_owner_stays(store: OnlineStore) -> None:
    assert await store.owner() is None
    assert await claim(store) == TOPOLOGY
    assert await claim(store) == TOPOLOGY
    assert await store.owner() == OWN
    for other in (ANOTHER, replace(OWN, group="h"), replace(OWN, deployment="live")):
        with pytest.raises(ForeignState):
            await claim(store, other)
    assert await store.owner() == OWN


async def test_state_of_an_earlier_release_is_claimed(store: OnlineStore) -> None:
    await store.establish_topology(TOPOLOGY)
    await applied(store)
    assert await claim(store) == TOPOLOGY
    assert await store.owner() == OWN


async def test_a_fence_beyond_the_log_s_end_is_another_log_s(store: OnlineStore) -> None:
    await store.establish_topology(TOPOLOGY)
    await applied(store, fence=10)
    with pytest.raises(ForeignState, match=r"fence of partition 0 is 10.*'interactions' \(id id-a.*ends at 10"):
        await claim(store)
    assert await store.owner() is None


async def test_fences_that_others_move_meanwhile_are_compared_with_the_log_after_them(store: OnlineStore) -> None:
    await store.establish_topology(TOPOLOGY)
    await applied(store, fence=9)

    async def grown() -> dict[int, tuple[int, int] | None]:
        assert await store.commit(TOPOLOGY.shard(Partition(0)), GROUP, 9, 15, effects())  # an older worker goes on
        return {0: (0, 16), 1: (0, 10)}

    assert await claim_state(store, TOPOLOGY, OWN, grown, key=KEY) == TOPOLOGY


async def test_state_of_an_earlier_release_and_another_group_is_refused(store: OnlineStore) -> None:
    await store.establish_topology(TOPOLOGY)
    await applied(store, group="h")
    with pytest.raises(ForeignState, match="5 records applied and no fence of consumer group 'g'"):
        await claim(store)


async def test_ids_that_a_broker_did_not_have_are_added(store: OnlineStore) -> None:
    unknown = replace(OWN, log=LogIdentity("interactions"))
    await claim(store, unknown)
    await claim(store)
    assert await store.owner() == OWN
    await claim(store, unknown)
    assert await store.owner() == OWN


async def test_a_rebuild_hands_the_state_over(store: OnlineStore) -> None:
    await claim(store)
    assert await store.switch_topology(TOPOLOGY, Topology(2, 1), ANOTHER)
    assert (await store.topology(), await store.owner()) == (Topology(2, 1), ANOTHER)
    assert not await store.claim_state(OWN, OWN)
    assert await claim(store, ANOTHER) == Topology(2, 1)


async def test_a_release_that_knows_no_formats_does_not_take_the_topology_for_its_own(redis_url: str) -> None:
    """It looks for `partitions` at the top, and would write sums among the records (decision 19)."""
    store = RedisStore.for_stream(redis_url)
    await claim(store)
    await store.close()
    with redis.Redis.from_url(redis_url) as client:
        value = json.loads(str(client.get(KEY), "utf-8"))
    assert "partitions" not in value
    assert (value["shards"], value["owner"]["log"]["topic_id"]) == ({"partitions": 2, "generation": 0}, "id-a")


@pytest.mark.parametrize("name", ["trending", "model:current", "model:previous"])
async def test_keys_of_another_application_are_not_taken_for_ours(redis_url: str, name: str) -> None:
    key = f"{KeySpace().prefix}{name}"
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(key, "another application's")
        store = RedisStore.for_stream(redis_url)
        with pytest.raises(ForeignState, match=f"'{key}' is there before any state.*RECSYS_REDIS_KEY_PREFIX"):
            await claim(store)
        await store.close()
        assert client.keys() == [key.encode()]
