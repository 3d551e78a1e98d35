"""What mutants of the commit do that the real script does not, and that the oracle sees it."""

from __future__ import annotations

import pytest
import redis

from recsys.errors import UnreadableState
from recsys.keys import ENGAGEMENT, KeySpace, Partition, Shard
from recsys.online_store.operations import ReadValues
from recsys.online_store.redis.store import RedisStore
from recsys.record import engagement_of
from stream.engagement.fold import decode_records, fold
from tests.doubles import mutant_worker
from tests.doubles.effects import effects
from tests.doubles.stream import RULES, event
from tests.faults import faulty_worker
from tests.faults.oracle import fold_topic
from tests.faults.state import read_state
from tests.faults.topic import LogRecord
from tests.faults.verdict import judge

SHARD, GROUP = Shard(0), "g"


class WithoutIntent(RedisStore):
    commit_script = faulty_worker.without_intent(RedisStore.commit_script)


@pytest.mark.parametrize(("kind", "counted"), [(RedisStore, 5.0), (WithoutIntent, 10.0)])
async def test_a_refused_command_and_a_second_try(redis_url: str, kind: type[RedisStore], counted: float) -> None:
    with redis.Redis.from_url(redis_url) as admin:
        admin.acl_setuser("one-less", enabled=True, passwords=["+s"], commands=["+@all", "-zadd"], keys=["*"])
        store = kind.for_stream(redis_url.replace("redis://", "redis://one-less:s@"))
        try:
            with pytest.raises(UnreadableState):
                await add(store)
            admin.acl_setuser("one-less", enabled=True, commands=["+zadd"], keys=["*"], reset_keys=True)
            await add(store)
            (state,) = await store.user_states(SHARD, ["u"])
            assert state.engagement == {"c": counted}
        finally:
            await store.close()
            admin.acl_deluser("one-less")


class WithoutFence(RedisStore):
    commit_script = mutant_worker.COMMIT_WITHOUT_FENCE


@pytest.mark.parametrize(("kind", "lost"), [(RedisStore, 0), (WithoutFence, 1)])
async def test_two_owners_at_one_fence_lose_trending_without_it(
    redis_url: str, kind: type[RedisStore], lost: int
) -> None:
    """Both read the state, and the second commits over the first: no record is harmed, but a sum is no join."""
    log = [event(0, user="ada"), event(1, user="eve")]
    store = kind.for_stream(redis_url)
    try:
        batches = [decode_records([record], Partition(0), RULES) for record in log]
        states = [await store.read_shard(SHARD, GROUP, batch.reads(RULES)) for batch in batches]
        for record, batch, state in zip(log, batches, states, strict=True):
            if not await store.commit(SHARD, GROUP, state.fence, record.offset, fold(batch, state, RULES)):
                state = await store.read_shard(SHARD, GROUP, batch.reads(RULES))  # noqa: PLW2901 - what its owner does
                assert await store.commit(SHARD, GROUP, state.fence, record.offset, fold(batch, state, RULES))
    finally:
        await store.close()
    records = [LogRecord(0, one.offset, one.timestamp, one.key, one.value, ()) for one in log]
    with redis.Redis.from_url(redis_url) as client:
        verdict = judge(fold_topic(records, 1), read_state(client, GROUP, 1, KeySpace()), [])
    assert (verdict.lost, verdict.passed) == (lost, not lost), verdict.differences
    assert any(line.startswith("trend 0 c:") for line in verdict.differences) == bool(lost)


async def add(store: RedisStore) -> None:
    state = await store.read_shard(SHARD, GROUP, [ReadValues(ENGAGEMENT, {"u": ["c"]})])
    stored = state.values[ENGAGEMENT]["u"]["c"]
    total = 5.0 + (engagement_of(stored) if stored else 0.0)
    assert await store.commit(SHARD, GROUP, None, 0, effects(engagement={"u": {"c": total}}, counts={"accepted": 1}))
