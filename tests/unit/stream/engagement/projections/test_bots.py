"""Features that cannot be read are the store's fault: no event becomes a dead letter for them."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.keys import BOT, Shard
from recsys.online_store import Effects
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import HashText
from tests.doubles.stream import FakeLog, FakeOutputs, chunk, event
from tests.unit.stream.engagement.test_commit import writer

GROUP, SHARD = "g", Shard(0)


@pytest.mark.parametrize("packed", ["junk", "1,2", "1,2,x,4"])
async def test_corrupt_features_stop_the_partition_and_refuse_no_event(packed: str) -> None:
    store, outputs = MemoryStore(), FakeOutputs()
    await store.commit(SHARD, GROUP, None, 0, Effects([HashText(BOT, ("features",), {"u": (packed,)})]))
    applied = await writer(store, FakeLog(), outputs=outputs).apply(chunk(event(1), event(2)))
    assert applied.left_alone
    assert outputs.refused == []
    stop: Any = (await store.guard(SHARD, GROUP)).stop
    assert "{s0}:bot:u" in stop.reason
    assert await store.fence(SHARD, GROUP) == 0
