"""Blocks of terms in a real Redis: settled as in memory, and read at one moment with the sums that they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from recsys.course_sums.activity import Terms
from recsys.course_sums.blocks import encoded
from recsys.errors import UnreadableState
from recsys.keys import TERMS, TREND, Partition, Shard
from recsys.online_store import Effects, OnlineStore
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import SHARD_ITSELF, DeleteFields, PutValues
from recsys.online_store.redis.connection import client
from recsys.online_store.redis.store import RedisStore
from stream.engagement.fold import decode_records, fold
from stream.engagement.projections.course_sums import BLOCKS
from stream.engagement.steps import read_state
from tests.doubles.effects import summed
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, event

GROUP, SHARD = "g", Shard(0)
BLOCK = encoded(["c"], Terms(np.zeros(1, int), np.full(1, 1.6e12), np.ones(1), np.ones(1)), np.full(1, 2.0))


class SettledMeanwhile(RedisStore):
    """After blocks were read, and before sums are, another process does something."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _settled_sums(self, shard: Shard) -> dict[str, bytes]:
        if self.meanwhile is not None:
            done, self.meanwhile = self.meanwhile, None
            await done()
        return await super()._settled_sums(shard)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[SettledMeanwhile]:
    made = SettledMeanwhile(client(redis_url, 5.0, max_connections=8))
    yield made
    await made.close()


def put(name: str, block: bytes) -> PutValues:
    return PutValues(TERMS, {SHARD_ITSELF: {name: block}})


async def test_they_are_settled_in_redis_as_in_memory(store: RedisStore) -> None:
    log = [event(n, f"u{n % 9}", f"c{n % 7}", at=ARRIVAL - n * 30 * HOUR_MS) for n in range(3 * BLOCKS)]
    memory = MemoryStore()
    each: OnlineStore
    for each in (store, memory):
        for record in log:
            batch = decode_records([record], Partition(0), RULES)
            state = await read_state(each, SHARD, GROUP, batch, RULES)
            assert state is not None
            assert await each.commit(SHARD, GROUP, state.fence, record.offset, fold(batch, state, RULES))
    assert len(memory.contents(SHARD).values[TERMS][SHARD_ITSELF]) == BLOCKS
    assert await store.trend(SHARD, 99) == await memory.trend(SHARD, 99)
    assert await store.activity(SHARD) == await memory.activity(SHARD)


async def test_none_is_counted_twice_when_it_is_settled_while_sums_are_read(store: SettledMeanwhile) -> None:
    await store.commit(SHARD, GROUP, None, 0, Effects([put("-1", BLOCK)]))
    assert (await store.trend(SHARD, 9)).sums == {"c": 2.0}
    settlement = Effects(
        [DeleteFields(TERMS, {SHARD_ITSELF: ["-1"]}), PutValues(TREND, {SHARD_ITSELF: {"c": summed(2.0)}})]
    )
    store.meanwhile = lambda: store.commit(SHARD, GROUP, 0, 1, settlement)
    assert (await store.trend(SHARD, 9)).sums == {"c": 2.0}
    assert store.meanwhile is None


async def test_one_that_comes_while_sums_are_read_is_left_for_the_next_time(store: SettledMeanwhile) -> None:
    await store.commit(SHARD, GROUP, None, 0, Effects([put("-1", BLOCK)]))
    store.meanwhile = lambda: store.commit(SHARD, GROUP, 0, 1, Effects([put("0", BLOCK)]))
    assert (await store.trend(SHARD, 9)).sums == {"c": 2.0}
    assert (await store.trend(SHARD, 9)).sums == {"c": 4.0}


async def test_what_is_no_block_is_named(store: RedisStore) -> None:
    await store.commit(SHARD, GROUP, None, 0, Effects([put("-1", b"five")]))
    for read in (store.activity(SHARD), store.trend(SHARD, 9)):
        with pytest.raises(UnreadableState, match=r"\{s0\}:terms.*no block of terms"):
            await read
