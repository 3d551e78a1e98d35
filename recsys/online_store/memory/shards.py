"""Shards and their fences in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from recsys import keys
from recsys.keys import Shard
from recsys.online_store.contents import ShardContents
from recsys.online_store.memory.shard import ShardTable
from recsys.online_store.operations import Drop, Read
from recsys.online_store.values import (
    Effects,
    ShardState,
)


class MemoryShards:
    """`ShardStore` in memory."""

    def __init__(self, shards: ShardTable) -> None:
        self._shards = shards

    def contents(self, shard: Shard) -> ShardContents:
        """The state of projections in a shard, to be copied elsewhere."""
        return self._shards[shard].contents

    async def read_shard(self, shard: Shard, group: str, reads: Sequence[Read]) -> ShardState:
        state = self._shards[shard]
        return state.contents.answer(shard, state.fences.get(group), reads)

    async def fence(self, shard: Shard, group: str) -> int | None:
        return self._shards[shard].fences.get(group)

    async def commit(
        self, shard: Shard, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        state = self._shards[shard]
        if state.fences.get(group) != expected_fence:
            return False
        for operation in effects.operations:
            state.contents.apply(operation, new_fence)
            if isinstance(operation, Drop) and operation.state == keys.TOP:
                for owner in operation.owners:
                    state.tops.pop(owner, None)
        state.fences[group] = new_fence
        return True

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        return dict(self._shards[shard].contents.counters[keys.COUNTS])

    async def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        state = self._shards[shard]
        for user in list(state.contents.values[keys.ENGAGEMENT]):
            if sums := state.user(user).engagement:
                yield user, sums

    async def records(self, shard: Shard, user_id: str) -> Mapping[str, bytes]:
        return dict(self._shards[shard].contents.values[keys.ENGAGEMENT].get(user_id, {}))

    async def drop_shards(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            self._shards.pop(shard, None)

    async def self_test(self, shard: Shard) -> None:
        return
