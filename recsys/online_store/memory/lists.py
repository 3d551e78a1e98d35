"""Cached lists, trending and the activity of courses in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence

from recsys import keys
from recsys.keys import Shard
from recsys.online_store.memory.shard import ShardTable
from recsys.online_store.operations import SHARD_ITSELF
from recsys.online_store.packing import pack_top, unpack_top
from recsys.online_store.values import (
    AllActivity,
    CachedTop,
    Listed,
    ShardTrend,
    Trending,
    UserState,
    Waiting,
)
from recsys.record.sums import SUM_BYTES


class MemoryLists:
    """`Lists` in memory, all but what depends on the publication."""

    def __init__(self, shards: ShardTable) -> None:
        self._shards = shards
        self._trending: Trending | None = None
        self._all_activity: AllActivity | None = None

    async def listed(self, shard: Shard, group: str, user_id: str) -> Listed:
        state = self._shards[shard]
        packed = state.tops.get(user_id)
        return Listed(
            None if packed is None else unpack_top(packed),
            state.done(user_id),
            fence=state.fences.get(group),
            marked=user_id in state.dirty,
            merged=user_id in state.contents.values[keys.MERGED].get(SHARD_ITSELF, {}),
        )

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        state = self._shards[shard]
        return [state.user(user) for user in user_ids]

    async def dirty_users(self, shard: Shard, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        marks = self._shards[shard].dirty
        return sorted(marks.items(), key=lambda item: (item[1], item[0]), reverse=newest)[:limit]

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        marks = sorted(self._shards[shard].dirty.items(), key=lambda item: (item[1], item[0]))
        users = dict([*marks[::-1][:newest], *marks[:oldest]])
        return Waiting(tuple(users.items()), len(marks), marks[0][1] if marks else None)

    async def write_tops(
        self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> int:
        state, written = self._shards[shard], 0
        for top, mark in tops:
            if state.published is not None and top.model_version != state.published.version:
                continue
            marked = state.dirty.get(top.user_id)
            stands = mark is not None and marked == mark
            if stands or mark is None or (marked is not None and not only_if_marked):
                state.tops[top.user_id] = pack_top(top)
                written += 1
            if stands:
                del state.dirty[top.user_id]
        return written

    async def trend(self, shard: Shard, limit: int, *, known: Callable[[str], bool] | None = None) -> ShardTrend:
        sums = self._shards[shard].trend
        joined = sums if known is None else {course: stored for course, stored in sums.items() if known(course)}
        best = heapq.nsmallest(limit, joined, key=lambda course: (-joined[course], course))
        return ShardTrend({course: joined[course] for course in best}, len(sums) - len(joined))

    async def write_trending(self, trending: Trending) -> None:
        self._trending = trending

    async def trending(self) -> Trending | None:
        return self._trending

    async def activity(self, shard: Shard) -> Mapping[str, bytes]:
        return {course: value[SUM_BYTES:] for course, value in self._shards[shard].course_sums.items()}

    async def write_all_activity(self, merged: AllActivity) -> None:
        self._all_activity = merged

    async def all_activity(self) -> AllActivity | None:
        return self._all_activity
