"""The online store in this process's memory: for tests that need no Redis. Same contract suite as `RedisStore`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from recsys.online_store import CachedTop, Effects, ModelPointer, ShardRead, ShardState, Trending, UserState
from recsys.online_store.packing import pack_top, unpack_top


@dataclass(slots=True)
class _Shard:
    fences: dict[str, int] = field(default_factory=dict)
    engagement: defaultdict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    done: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    bots: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    ids: defaultdict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    trend: dict[str, float] = field(default_factory=dict)
    dirty: dict[str, int] = field(default_factory=dict)
    tops: dict[str, bytes] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class MemoryStore:
    """`OnlineStore` in memory.

    Args:
        max_courses: Courses kept per learner; the lowest engagement is evicted.
    """

    def __init__(self, *, max_courses: int = 2000) -> None:
        self._max_courses = max_courses
        self._shards: defaultdict[int, _Shard] = defaultdict(_Shard)
        self._trending: Trending | None = None
        self._model: ModelPointer | None = None
        self._partitions: int | None = None
        self._workers: dict[str, str] = {}

    async def read_shard(self, partition: int, group: str, request: ShardRead) -> ShardState:
        shard = self._shards[partition]
        known = shard.ids[request.bucket] | shard.ids[request.bucket - 1]
        return ShardState(
            fence=shard.fences.get(group),
            seen=[digest in known for digest in request.ids],
            engagement={
                user: [shard.engagement[user].get(course, 0.0) for course in courses]
                for user, courses in request.touched.items()
            },
            bots={user: shard.bots[user].get("features", "") for user in request.touched},
            trend=[shard.trend.get(course, 0.0) for course in request.courses],
        )

    async def fence(self, partition: int, group: str) -> int | None:
        return self._shards[partition].fences.get(group)

    async def commit(
        self, partition: int, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        shard = self._shards[partition]
        if shard.fences.get(group) != expected_fence:
            return False
        for user, sums in effects.engagement.items():
            shard.engagement[user].update(sums)
            self._evict(shard.engagement[user])
            shard.dirty[user] = new_fence
        for user, courses in effects.done.items():
            shard.done[user].update(courses)
        for user, fields in effects.bots.items():
            shard.bots[user].update(fields)
        shard.ids[effects.bucket].update(effects.ids)
        shard.ids.pop(effects.bucket - 2, None)
        shard.trend.update(effects.trend)
        shard.counts.update(effects.counts)
        shard.fences[group] = new_fence
        return True

    def _evict(self, sums: dict[str, float]) -> None:
        surplus = len(sums) - self._max_courses
        for course in sorted(sums, key=lambda course: (sums[course], course))[: max(0, surplus)]:
            del sums[course]

    async def dirty_users(self, partition: int, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        marks = self._shards[partition].dirty
        return sorted(marks.items(), key=lambda item: (item[1], item[0]), reverse=newest)[:limit]

    async def user_states(self, partition: int, user_ids: Sequence[str]) -> Sequence[UserState]:
        shard = self._shards[partition]
        return [UserState(dict(shard.engagement[user]), frozenset(shard.done[user])) for user in user_ids]

    async def write_tops(
        self, partition: int, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> None:
        shard = self._shards[partition]
        for top, mark in tops:
            stands = mark is not None and shard.dirty.get(top.user_id) == mark
            if stands or not only_if_marked:
                shard.tops[top.user_id] = pack_top(top)
            if stands:
                del shard.dirty[top.user_id]

    async def top(self, partition: int, user_id: str) -> tuple[CachedTop | None, frozenset[str]]:
        shard = self._shards[partition]
        packed = shard.tops.get(user_id)
        return (None if packed is None else unpack_top(packed)), frozenset(shard.done[user_id])

    async def mark_all_dirty(self, partition: int) -> int:
        shard = self._shards[partition]
        users = [user for user, sums in shard.engagement.items() if sums]
        for user in users:
            shard.dirty.setdefault(user, 0)
        return len(users)

    async def trend(self, partition: int, limit: int) -> Mapping[str, float]:
        sums = self._shards[partition].trend
        return {course: sums[course] for course in sorted(sums, key=lambda course: (-sums[course], course))[:limit]}

    async def write_trending(self, trending: Trending) -> None:
        self._trending = trending

    async def trending(self) -> Trending | None:
        return self._trending

    async def model(self) -> ModelPointer | None:
        return self._model

    async def publish_model(self, pointer: ModelPointer) -> None:
        self._model = pointer

    async def topology(self) -> int | None:
        return self._partitions

    async def establish_topology(self, partitions: int) -> int:
        if self._partitions is None:
            self._partitions = partitions
        return self._partitions

    async def engagement(self, partition: int) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        for user, sums in list(self._shards[partition].engagement.items()):
            if sums:
                yield user, dict(sums)

    async def counts(self, partition: int) -> Mapping[str, int]:
        return dict(self._shards[partition].counts)

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:  # no clock here: never expires
        return self._workers.setdefault(worker_id, token) == token

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        if self._workers.get(worker_id) == token:
            del self._workers[worker_id]

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return
