"""What is known of a learner comes from Redis or, when Redis does not answer, from this process's own short cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Partition, Shard, Topology, partition_of_shard
from recsys.online_store import CachedTop, Control, Lists
from serving.recommend.answers import Source
from serving.recommend.circuit import Circuit
from serving.recommend.recent import RecentLists


@dataclass(frozen=True, slots=True)
class Learner:
    """What is known of one learner.

    Attributes:
        top: The cached list, if any.
        done: Course → until when it is not to be recommended, ms since 1970 UTC.
        source: `CACHED` when Redis said so, `PROCESS_CACHE` when this process remembers it.
        partition: That of the learner's events; None where it is not known or the learner was merged into another.
        fence: Last offset of it that is applied; None where that is not known.
        included_offset: That of the cached list (`Listed.included_offset`).
        marked: Whether the list is to be ranked anew.
        shard: Where all of this was read; None where it was not.
    """

    top: CachedTop | None
    done: Mapping[str, int]
    source: Source
    partition: Partition | None = None
    fence: int | None = None
    included_offset: int | None = None
    marked: bool = False
    shard: Shard | None = None


class ServingStore(Lists, Control, Protocol):
    """What serving uses of the online store."""


class Learners:
    """Reads learners. Every call to Redis goes through the circuit.

    Args:
        store: The online store.
        circuit: In front of it.
        recent: This process's short cache.
        group: Consumer group of the workers; names the fences.
    """

    def __init__(self, store: ServingStore, circuit: Circuit, recent: RecentLists, *, group: str) -> None:
        self._store, self._group = store, group
        self._circuit = circuit
        self._recent = recent
        self.topology: Topology | None = None

    async def find(self, user_id: str, *, now_ms: int) -> Learner:
        """The cached list, the courses the learner is done with and how fresh the list is, in one round trip."""
        try:
            shard = await self._shard_of(user_id)
            if shard is None:
                return Learner(None, {}, Source.CACHED)
            listed = await self._circuit.call(lambda: self._store.listed(shard, self._group, user_id))
        except (ServiceUnavailable, UnreadableState):
            remembered = self._recent.recall(user_id, now_ms=now_ms)
            top = remembered.top
            partition = None if top is None or top.included_offset is None else self._partition_of(user_id)
            included = None if top is None or partition is None else top.included_offset
            return Learner(top, remembered.done, Source.PROCESS_CACHE, partition, included_offset=included)
        included = listed.included_offset
        top = None if listed.top is None else replace(listed.top, included_offset=included)
        self._recent.remember(user_id, top, listed.done, now_ms=now_ms)
        if listed.merged:
            return Learner(top, listed.done, Source.CACHED, marked=listed.marked, shard=shard)
        partition = partition_of_shard(shard)
        return Learner(top, listed.done, Source.CACHED, partition, listed.fence, included, listed.marked, shard)

    async def engagement(self, user_id: str, learner: Learner) -> Mapping[str, float] | None:
        """The stored engagement sums; None when they are not known, and Redis is not asked in vain twice.

        They contain every event up to and including `learner.fence`, which was read before them from the same shard:
        that of another generation may lag behind it.
        """
        shard = learner.shard
        if shard is None:
            return None
        try:
            (state,) = await self._circuit.call(lambda: self._store.user_states(shard, [user_id]))
        except (ServiceUnavailable, UnreadableState):
            return None
        return state.engagement

    def _partition_of(self, user_id: str) -> Partition | None:
        return None if self.topology is None else partition_of_shard(self.topology.shard_of(user_id))

    async def _shard_of(self, user_id: str) -> Shard | None:
        """The learner's shard; None while no topology was written, so nothing was either."""
        if self.topology is None:
            self.topology = await self._circuit.call(self._store.topology)
        return None if self.topology is None else self.topology.shard_of(user_id)
