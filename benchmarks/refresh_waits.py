"""Refreshing on a real Redis by the worker's refresher: lists a second, and how long they wait under clicks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.engagement import LANDMARK_MS
from recsys.keys import DIRTY, DONE, ENGAGEMENT, Shard, Topology
from recsys.model.scorer import Learner, Scorer
from recsys.online_store import CachedTop, Effects
from recsys.online_store.operations import Operation, PutValues, SortedSetMark
from recsys.online_store.redis.store import RedisStore
from recsys.process.tasks import cancelled
from recsys.record import FOREVER_MS, Record, pack
from stream.engagement.refresh import Refresher

TOP_N, PARTITIONS, GROUP = 50, 6, "engagement"
LOOK_EVERY_S = 0.05


@dataclass
class Published:
    """A model that is the published one."""

    current: Scorer
    up_to_date: bool = True


class Watched:
    """What a refresher uses of a store, and a note of the lists as they are written."""

    def __init__(self, store: RedisStore, written: Callable[[Sequence[CachedTop]], None]) -> None:
        self._written, self._write_tops = written, store.write_tops
        self.waiting, self.user_states = store.waiting, store.user_states

    async def write_tops(self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]]) -> int:
        """As the store's, then the note."""
        lists = await self._write_tops(shard, tops)
        self._written([top for top, _ in tops])
        return lists


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def fill(store: RedisStore, learners: Sequence[Learner]) -> dict[str, Shard]:
    """Writes learners' sums, all of them dirty; returns whose shard is which."""
    topology = await store.establish_topology(Topology(PARTITIONS))
    shard_of = {one.user_id: topology.shard_of(one.user_id) for one in learners}
    for shard in topology.shards():
        mine = [one for one in learners if shard_of[one.user_id] == shard]
        until = b"%d" % FOREVER_MS
        done = PutValues(DONE, {one.user_id: dict.fromkeys(one.exclude, until) for one in mine if one.exclude})
        sums = {one.user_id: dict(one.engagement) for one in mine}
        await store.commit(shard, GROUP, None, 0, Effects([*_touched(sums), done]))
    return shard_of


def _touched(sums: Mapping[str, Mapping[str, float]]) -> list[Operation]:
    touched = Record(LANDMARK_MS)
    records = {
        user: {course: pack(touched, score) for course, score in of_user.items()} for user, of_user in sums.items()
    }
    return [PutValues(ENGAGEMENT, records, indexed=True), SortedSetMark(DIRTY, sums)]


def refresher(store: RedisStore, scorer: Scorer, written: Callable[[Sequence[CachedTop]], None]) -> Refresher:
    return Refresher(
        Watched(store, written),  # type: ignore[arg-type] # what a refresher uses of a store
        Published(scorer),  # type: ignore[arg-type] # and of a follower
        shards=lambda: Topology(PARTITIONS).shards(),
        top_n=TOP_N,
        backlog_s=5.0,
        clock=time.monotonic,
        now_ms=now_ms,
    )


async def whole_refresh(url: str, scorer: Scorer, learners: Sequence[Learner]) -> float:
    """Learners a second from dirty mark to written list, Redis included."""
    store = RedisStore.for_stream(url)
    try:
        await fill(store, learners)
        return await _refresh_all(store, scorer, len(learners))
    finally:
        await store.close()


async def _refresh_all(store: RedisStore, scorer: Scorer, lists: int) -> float:
    done, left = asyncio.Event(), lists

    def count(tops: Sequence[CachedTop]) -> None:
        nonlocal left
        left -= len(tops)
        if left <= 0:
            done.set()

    began = time.perf_counter()
    await _beside(refresher(store, scorer, count).run, done.wait)
    return lists / (time.perf_counter() - began)


class Waits:
    """How long lists wait for their refresh: each click commits and tells the worker's own refresher.

    Args:
        store: As the worker's.
        outside: Another connection, to look at the marks.
        scorer: The model.
        learners: Whose lists are all written before the first click.
        shard_of: Learner → shard.
    """

    def __init__(
        self,
        store: RedisStore,
        outside: RedisStore,
        scorer: Scorer,
        learners: Sequence[Learner],
        shard_of: Mapping[str, Shard],
    ) -> None:
        self._store, self._outside, self._learners, self._shard_of = store, outside, learners, shard_of
        self._courses, self._rng = len(scorer.course_ids), random.Random(0)
        self._fences = dict.fromkeys(map(Shard, range(PARTITIONS)), 0)
        self._marked: dict[tuple[Shard, int], float] = {}
        self._dirty_since: dict[str, float] = {}
        self._took: list[float] = []
        self._ages: dict[Shard, float] = dict.fromkeys(self._fences, 0.0)
        self._worker = refresher(store, scorer, self._written)

    async def figures(self, *, clicks_per_s: float, seconds: float) -> dict[str, Any]:
        """The age of the oldest list by partition, and the wait from a click's commit to the list that shows it."""
        clicks = int(clicks_per_s * seconds)
        await _beside(self._worker.run, lambda: self._click(clicks, clicks_per_s), self._look)
        p50, p99 = np.percentile(self._took, [50, 99]) * 1000
        return {
            "clicks": clicks,
            "lists": len(self._took),
            "oldest_s": {str(shard): round(age, 3) for shard, age in self._ages.items()},
            "click_to_list_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)},
        }

    def _written(self, tops: Sequence[CachedTop]) -> None:
        now, since = time.perf_counter(), self._dirty_since
        self._took.extend(now - since.pop(top.user_id) for top in tops if top.user_id in since)

    async def _click(self, clicks: int, clicks_per_s: float) -> None:
        began = time.perf_counter()
        for number in range(clicks):
            await asyncio.sleep(max(0.0, began + number / clicks_per_s - time.perf_counter()))
            learner = self._rng.choice(self._learners)
            shard = self._shard_of[learner.user_id]
            course = f"c{self._rng.randrange(self._courses)}"
            effects = Effects(_touched({learner.user_id: {course: self._rng.random() * 2.0**60}}))
            fence = self._fences[shard] = self._fences[shard] + 1
            self._marked[shard, fence] = time.perf_counter()
            await self._store.commit(shard, GROUP, fence - 1, fence, effects)
            self._dirty_since.setdefault(learner.user_id, time.perf_counter())
            self._worker.notify(shard, fence=fence, backlog=False)

    async def _look(self) -> None:
        while True:
            for shard in self._fences:
                oldest = (await self._outside.waiting(shard, newest=1, oldest=1)).oldest_mark
                if oldest is not None:
                    self._ages[shard] = max(self._ages[shard], time.perf_counter() - self._marked[shard, oldest])
            await asyncio.sleep(LOOK_EVERY_S)


async def waits(
    url: str, scorer: Scorer, learners: Sequence[Learner], *, clicks_per_s: float, seconds: float
) -> dict[str, Any]:
    """The figures of `Waits` on a real Redis."""
    store, outside = RedisStore.for_stream(url), RedisStore.for_stream(url)
    try:
        shard_of = await fill(store, learners)
        await _refresh_all(store, scorer, len(learners))
        return await Waits(store, outside, scorer, learners, shard_of).figures(
            clicks_per_s=clicks_per_s, seconds=seconds
        )
    finally:
        await store.close()
        await outside.close()


async def _beside(endless: Callable[[], Awaitable[None]], *works: Callable[[], Awaitable[object]]) -> None:
    """Runs `endless` and all but the first of `works` until that first one ends.

    Raises:
        Exception: What any of them raised.
    """
    ends = asyncio.create_task(_run(works[0]))
    others = [asyncio.create_task(_run(work)) for work in (endless, *works[1:])]
    await asyncio.wait([ends, *others], return_when=asyncio.FIRST_COMPLETED)
    await cancelled([ends, *others])
    results = await asyncio.gather(ends, *others, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _run(work: Callable[[], Awaitable[object]]) -> None:
    await work()
