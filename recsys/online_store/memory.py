"""The online store in this process's memory: for tests that need no Redis, and for the rebuild. Same contract suite."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recsys import keys
from recsys.course_sums.blocks import in_order, with_blocks
from recsys.keys import Shard, Topology
from recsys.online_store.contents import ShardContents
from recsys.online_store.durability import Durability
from recsys.online_store.operations import SHARD_ITSELF, Drop, Read
from recsys.online_store.packing import pack_top, unpack_top
from recsys.online_store.values import (
    AllActivity,
    CachedTop,
    Effects,
    Guard,
    Listed,
    ModelPointer,
    ShardState,
    ShardTrend,
    Stop,
    Trending,
    UserState,
    Waiting,
)
from recsys.owner import StateOwner
from recsys.record import engagement_of
from recsys.record.sums import SUM_BYTES, sum_of


@dataclass(slots=True)
class _Shard:
    contents: ShardContents = field(default_factory=ShardContents)
    fences: dict[str, int] = field(default_factory=dict)
    tops: dict[str, bytes] = field(default_factory=dict)
    published: ModelPointer | None = None
    guards: defaultdict[str, Guard] = field(default_factory=lambda: defaultdict(Guard))
    guarded_fences: dict[str, int | None] = field(default_factory=dict)
    tries: Counter[tuple[str, int]] = field(default_factory=Counter)

    def user(self, user_id: str) -> UserState:
        records = self.contents.values[keys.ENGAGEMENT].get(user_id, {})
        engagement = {course: engagement_of(record) for course, record in records.items()}
        return UserState(engagement, self.done(user_id))

    def done(self, user_id: str) -> dict[str, int]:
        held = self.contents.values[keys.DONE].get(user_id, {})
        return {course: int(until) for course, until in held.items()}

    @property
    def trend(self) -> dict[str, float]:
        return {course: sum_of(value) for course, value in self.course_sums.items()}

    @property
    def course_sums(self) -> dict[str, bytes]:
        held, blocks = (self.contents.values[state].get(SHARD_ITSELF, {}) for state in (keys.TREND, keys.TERMS))
        return with_blocks(held, in_order(blocks))

    @property
    def dirty(self) -> dict[str, int]:
        return self.contents.marks[keys.DIRTY]


class MemoryStore:
    """`OnlineStore` in memory."""

    def __init__(self) -> None:
        self._shards: defaultdict[Shard, _Shard] = defaultdict(_Shard)
        self._trending: Trending | None = None
        self._all_activity: AllActivity | None = None
        self._model: ModelPointer | None = None
        self._previous_model: ModelPointer | None = None
        self._topology: Topology | None = None
        self._owner: StateOwner | None = None
        self._workers: dict[str, str] = {}

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

    async def self_test(self, shard: Shard) -> None:
        return

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

    async def dirty_users(self, shard: Shard, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        marks = self._shards[shard].dirty
        return sorted(marks.items(), key=lambda item: (item[1], item[0]), reverse=newest)[:limit]

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        marks = sorted(self._shards[shard].dirty.items(), key=lambda item: (item[1], item[0]))
        users = dict([*marks[::-1][:newest], *marks[:oldest]])
        return Waiting(tuple(users.items()), len(marks), marks[0][1] if marks else None)

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        state = self._shards[shard]
        return [state.user(user) for user in user_ids]

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

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        if self._model is not None:
            for shard in shards:
                self._shards[shard].published = self._model
        return self._model

    async def drop_outdated_lists(self, shard: Shard) -> int:
        state = self._shards[shard]
        if state.published is None:
            return 0
        outdated = [
            user for user, packed in state.tops.items() if unpack_top(packed).model_version != state.published.version
        ]
        for user in outdated:
            state.dirty.setdefault(user, 0)
            del state.tops[user]
        return len(outdated)

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

    async def model(self) -> ModelPointer | None:
        return self._model

    async def previous_model(self) -> ModelPointer | None:
        return self._previous_model

    async def publish_model(
        self, pointer: ModelPointer, *, replacing: ModelPointer | None, over_unreadable: bool = False
    ) -> bool:
        if self._model not in (None, replacing):
            return False
        self._previous_model, self._model = self._model or self._previous_model, pointer
        return True

    async def restore_model(self, pointer: ModelPointer) -> None:
        self._model = self._model or pointer

    async def topology(self) -> Topology | None:
        return self._topology

    async def establish_topology(self, topology: Topology, owner: StateOwner | None = None) -> Topology:
        if self._topology is None:
            self._topology, self._owner = topology, owner
        return self._topology

    async def owner(self) -> StateOwner | None:
        return self._owner

    async def claim_state(self, before: StateOwner | None, owner: StateOwner) -> bool:
        if self._topology is None or self._owner != before:
            return False
        self._owner = owner
        return True

    async def switch_topology(
        self, before: Topology | None, topology: Topology, owner: StateOwner | None = None
    ) -> bool:
        if self._topology != before:
            return False
        self._topology, self._owner = topology, owner
        return True

    async def drop_shards(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            self._shards.pop(shard, None)

    async def records(self, shard: Shard, user_id: str) -> Mapping[str, bytes]:
        return dict(self._shards[shard].contents.values[keys.ENGAGEMENT].get(user_id, {}))

    async def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        state = self._shards[shard]
        for user in list(state.contents.values[keys.ENGAGEMENT]):
            if sums := state.user(user).engagement:
                yield user, sums

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        return dict(self._shards[shard].contents.counters[keys.COUNTS])

    async def generations(self) -> Sequence[int]:
        return sorted({shard // keys.SHARDS_A_GENERATION for shard, state in self._shards.items() if state.fences})

    async def durability(self) -> Durability:
        return Durability("noeviction", append_only=True, snapshots=False, evicted_keys=0)

    async def rewrite_log(self, run_id: str) -> bool:
        return False

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:  # no clock here: never expires
        return self._workers.setdefault(worker_id, token) == token

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        if self._workers.get(worker_id) == token:
            del self._workers[worker_id]

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return
