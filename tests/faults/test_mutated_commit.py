"""The mutant without the check before a commit counts twice what the real script counts once."""

from __future__ import annotations

import pytest
import redis

from recsys.errors import UnreadableState
from recsys.keys import ENGAGEMENT, Shard
from recsys.online_store.operations import ReadValues
from recsys.online_store.redis.store import RedisStore
from recsys.record import engagement_of
from tests.doubles.effects import effects
from tests.faults import faulty_worker

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


async def add(store: RedisStore) -> None:
    state = await store.read_shard(SHARD, GROUP, [ReadValues(ENGAGEMENT, {"u": ["c"]})])
    stored = state.values[ENGAGEMENT]["u"]["c"]
    total = 5.0 + (engagement_of(stored) if stored else 0.0)
    assert await store.commit(SHARD, GROUP, None, 0, effects(engagement={"u": {"c": total}}, counts={"accepted": 1}))
