"""Guards in memory."""

from __future__ import annotations

from dataclasses import replace

from recsys.keys import Shard
from recsys.online_store.memory.shard import ShardTable
from recsys.online_store.values import (
    Guard,
    Stop,
)


class MemoryGuards:
    """`Guards` in memory."""

    def __init__(self, shards: ShardTable) -> None:
        self._shards = shards

    async def begin(self, shard: Shard, group: str) -> tuple[int | None, Guard]:
        state = self._shards[shard]
        fence = state.fences.get(group)
        again = group in state.guarded_fences and state.guarded_fences[group] == fence
        starts = state.guards[group].starts + 1 if again else 1
        state.guarded_fences[group] = fence
        state.guards[group] = replace(state.guards[group], starts=starts)
        return fence, state.guards[group]

    async def end(self, shard: Shard, group: str) -> None:
        state = self._shards[shard]
        state.guarded_fences.pop(group, None)
        state.guards[group] = replace(state.guards[group], starts=0, attempted=None)
        for tried in [key for key in state.tries if key[0] == group]:
            del state.tries[tried]

    async def count_attempt(self, shard: Shard, group: str, offset: int) -> int:
        state = self._shards[shard]
        if state.guards[group].attempted != offset:
            state.guards[group] = replace(state.guards[group], attempted=offset)
            del state.tries[group, offset]
        state.tries[group, offset] += 1
        return state.tries[group, offset]

    async def quarantine(self, shard: Shard, group: str, offset: int) -> None:
        guards = self._shards[shard].guards
        guards[group] = replace(guards[group], quarantined=tuple(sorted({*guards[group].quarantined, offset})))

    async def set_rebuilt_until(self, shard: Shard, group: str, offset: int) -> None:
        guards = self._shards[shard].guards
        guards[group] = replace(guards[group], rebuilt_until=offset)

    async def stop_partition(self, shard: Shard, group: str, stop: Stop) -> None:
        self._shards[shard].guards[group] = replace(self._shards[shard].guards[group], stop=stop)

    async def resume_partition(
        self, shard: Shard, group: str, *, refusals_until: int | None = None, expired_until: int | None = None
    ) -> None:
        guards = self._shards[shard].guards
        before = guards[group]
        guards[group] = replace(
            before,
            stop=None,
            refusals_until=before.refusals_until if refusals_until is None else refusals_until,
            expired_until=before.expired_until if expired_until is None else expired_until,
        )

    async def guard(self, shard: Shard, group: str) -> Guard:
        return self._shards[shard].guards[group]
