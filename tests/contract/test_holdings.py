"""What a receipt says that Redis holds of a learner is what the fold left there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from recsys.keys import Partition, Shard, Topology
from recsys.online_store.redis.holdings import Holdings
from recsys.online_store.redis.store import RedisStore
from stream.engagement.fold import decode_records, fold
from stream.engagement.steps import read_state
from tests.doubles.stream import ARRIVAL, RULES, FakeRecord, event

SHARD, GROUP, PARTITION = Shard(0), "g", Partition(0)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(redis_url)
    yield opened
    await opened.close()


async def apply(store: RedisStore, *records: FakeRecord) -> None:
    batch = decode_records(records, PARTITION, RULES)
    state = await read_state(store, SHARD, GROUP, batch, RULES)
    assert state is not None
    assert await store.commit(SHARD, GROUP, state.fence, records[-1].offset, fold(batch, state, RULES))


def control(offset: int, kind: str, **fields: Any) -> FakeRecord:
    return event(offset, "u", "", kind, at=ARRIVAL, **fields)


async def test_records_and_done_courses_are_counted_until_they_are_erased(store: RedisStore) -> None:
    assert await store.holdings(SHARD, "u") == Holdings()
    await apply(store, event(0), event(1, course="d", kind="enroll"))
    assert await store.holdings(SHARD, "u") == Holdings(2, 1, bot_features=True, waiting=True)
    assert await store.erased_until(Topology(1), ["u", "v"]) == {}
    await apply(store, control(2, "erase"))
    held = await store.holdings(SHARD, "u")
    assert (held, held.anything) == (Holdings(erased_until_ms=ARRIVAL), False)
    assert await store.erased_until(Topology(1), ["u", "v"]) == {"u": ARRIVAL}


async def test_a_merged_learner_is_said_to_be_merged_into_whom(store: RedisStore) -> None:
    await apply(store, event(0), control(1, "merge", into="a learner with spaces"))
    assert await store.holdings(SHARD, "u") == Holdings(merged_into="a learner with spaces")
