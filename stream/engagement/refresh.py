"""Refresh: dirty users to cached top-N lists.

NumPy only. A user's list is computed from the state as read after the mark; the mark is cleared only if no newer
event set it again, so a list is never left stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from recsys.errors import ServiceUnavailable
from recsys.exclusion import Exclusion
from recsys.keys import Shard
from recsys.model.follower import ModelFollower
from recsys.model.scorer import Scorer
from recsys.online_store import CachedTop, Lists
from stream.engagement import metrics

log = structlog.get_logger(__name__)

BATCH_USERS = 16
"""Users ranked between two looks at who is newest: bounds how long a live click waits behind a bulk refresh."""

LEFTOVERS_S = 1.0


class Refresher:
    """Keeps the cached lists of the shards this worker owns fresh.

    Args:
        store: The online store.
        model: The bundle to rank with; nothing is refreshed unless it is the published one.
        shards: The shards this worker owns right now.
        top_n: Courses in a cached list.
        backlog_s: While a partition catches up, its users are refreshed this much later.
        clock: Seconds, monotonic.
        now_ms: Wall clock, ms since 1970 UTC: the time rankings are for.
        exclusion: What a list leaves out.
    """

    def __init__(
        self,
        store: Lists,
        model: ModelFollower[Scorer],
        *,
        shards: Callable[[], Iterable[Shard]],
        top_n: int,
        backlog_s: float,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        exclusion: Exclusion = Exclusion(),  # noqa: B008 (immutable)
    ) -> None:
        self._exclusion = exclusion
        self._store, self._model, self._shards = store, model, shards
        self._top_n, self._backlog_s = top_n, backlog_s
        self._clock, self._now_ms = clock, now_ms
        self._due: dict[Shard, float] = {}
        self._wake = asyncio.Event()

    def notify(self, shard: Shard, *, backlog: bool) -> None:
        """Says that users of a shard changed; `backlog` while more records wait right behind them."""
        due = self._clock() + (self._backlog_s if backlog else 0.0)
        self._due[shard] = min(due, self._due.get(shard, due))
        if not backlog:
            self._wake.set()

    async def run(self) -> None:
        """Refreshes for ever: at once when notified, and leftovers every `LEFTOVERS_S`."""
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), LEFTOVERS_S)
                newest = True
            except TimeoutError:
                newest = False
            self._wake.clear()
            try:
                await self._pass(newest=newest)
            except ServiceUnavailable as error:
                log.warning("refresh_postponed", error=str(error))
                await asyncio.sleep(LEFTOVERS_S)

    async def _pass(self, *, newest: bool) -> None:
        now = self._clock()
        owned = set(self._shards())
        self._due = {shard: due for shard, due in self._due.items() if shard in owned}
        waiting = {shard for shard, due in self._due.items() if due > now}
        busy = owned - waiting
        while busy and self._model.up_to_date:
            for shard in sorted(busy):
                self._due.pop(shard, None)
                if await self.refresh(shard, newest=newest) < BATCH_USERS:
                    busy.discard(shard)
                if self._wake.is_set():
                    return  # somebody clicked just now: they come first

    async def refresh(self, shard: Shard, *, newest: bool) -> int:
        """Ranks one batch of a shard's dirty users; returns how many."""
        scorer = self._model.current if self._model.up_to_date else None
        marks = await self._store.dirty_users(shard, BATCH_USERS, newest=newest)
        if not marks or scorer is None:
            return 0
        with metrics.REFRESH_SECONDS.time():
            states = await self._store.user_states(shard, [user for user, _ in marks])
            tops = []
            for (user, mark), state in zip(marks, states, strict=True):
                now_ms = self._now_ms()
                exclude = self._exclusion.excluded(state.done, state.engagement)
                ids, scores = scorer.rank(user, state.engagement, at_ms=now_ms, n=self._top_n, exclude=exclude)
                tops.append((CachedTop(user, scorer.version, now_ms, ids, scores), mark))
                await asyncio.sleep(0)  # a chunk that arrived meanwhile goes first
            await self._store.write_tops(shard, tops)
        metrics.REFRESHED.inc(len(tops))
        return len(tops)
