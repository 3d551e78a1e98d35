"""What is known of a learner comes from Redis or, when Redis does not answer, from this process's own short cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Shard, Topology
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
    """

    top: CachedTop | None
    done: Mapping[str, int]
    source: Source


class ServingStore(Lists, Control, Protocol):
    """What serving uses of the online store."""


class Learners:
    """Reads learners. Every call to Redis goes through the circuit.

    Args:
        store: The online store.
        circuit: In front of it.
        recent: This process's short cache.
    """

    def __init__(self, store: ServingStore, circuit: Circuit, recent: RecentLists) -> None:
        self._store = store
        self._circuit = circuit
        self._recent = recent
        self.topology: Topology | None = None

    async def find(self, user_id: str, *, now_ms: int) -> Learner:
        """The cached list and the courses the learner is done with, in one round trip."""
        try:
            shard = await self._shard_of(user_id)
            if shard is None:
                return Learner(None, {}, Source.CACHED)
            top, done = await self._circuit.call(lambda: self._store.top(shard, user_id))
        except (ServiceUnavailable, UnreadableState):
            remembered = self._recent.recall(user_id, now_ms=now_ms)
            return Learner(remembered.top, remembered.done, Source.PROCESS_CACHE)
        self._recent.remember(user_id, top, done, now_ms=now_ms)
        return Learner(top, done, Source.CACHED)

    async def engagement(self, user_id: str, learner: Learner) -> Mapping[str, float]:
        """The stored engagement sums; empty when they are not known, and Redis is not asked in vain twice."""
        if learner.source is not Source.CACHED:
            return {}
        try:
            shard = await self._shard_of(user_id)
            if shard is None:
                return {}
            (state,) = await self._circuit.call(lambda: self._store.user_states(shard, [user_id]))
        except (ServiceUnavailable, UnreadableState):
            return {}
        return state.engagement

    async def _shard_of(self, user_id: str) -> Shard | None:
        """The learner's shard; None while no topology was written, so nothing was either."""
        if self.topology is None:
            self.topology = await self._circuit.call(self._store.topology)
        return None if self.topology is None else self.topology.shard_of(user_id)
