"""A shard whose trending cannot be read is left out of the merged list, and said once."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from recsys.errors import UnreadableState
from recsys.keys import Shard, Topology
from recsys.online_store import ShardTrend
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement.upkeep import Upkeep
from tests.doubles.stream import ARRIVAL

TOPOLOGY = Topology(3)


class Store(MemoryStore):
    """Every shard trends one course; one of them may not be readable."""

    spoilt: int | None = 1

    async def trend(self, shard: Shard, limit: int, **_: Any) -> ShardTrend:
        if shard == self.spoilt:
            raise UnreadableState(f"{{s{shard}}}:trend", "holds a list, not a hash")
        return ShardTrend({f"c{shard}": 1.0}, 0)


@pytest.mark.parametrize("times", [1, 3])
async def test_the_others_are_merged_and_the_key_is_named_once(times: int) -> None:
    store, unused = Store(), cast("Any", None)
    upkeep = Upkeep(
        load_settings(),
        store,
        TOPOLOGY,
        partitions=unused,
        owned=set,
        rebalancing=lambda: False,
        catalogue=lambda: None,
        now_ms=lambda: ARRIVAL,
    )
    with capture_logs() as said:
        for _ in range(times):
            await upkeep._merge_trending()
        merged = await store.trending()
        assert merged is not None
        assert set(merged.course_ids) == {"c0", "c2"}
        store.spoilt = None
        await upkeep._merge_trending()
    assert [(line["event"], "{s1}:trend" in line["error"]) for line in said] == [("trending_incomplete", True)]
    merged = await store.trending()
    assert merged is not None
    assert len(merged.course_ids) == 3
