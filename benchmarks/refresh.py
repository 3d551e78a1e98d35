"""Refresh: what ranking a learner costs, and how long the oldest list waits while learners click.

    python -m benchmarks.refresh [--learners 2000] [--seconds 20] [--clicks 500] [--json OUT]
    python -m benchmarks.refresh --services      the waits on a real Kafka and worker, too

Ranking: learners one by one beside the same learners in the batches of a worker, on one core (one BLAS thread), for
catalogues of 1,000, 4,000 and 10,000 courses: with a ranker as a retrain learns it (three item-item matrices of 200
weights a course), and with a linear bundle as baselines have it (one of 100). Times are CPU time of this process, the
best of three turns. Then `refresh`: dirty learners of a real Redis to lists written there, wall-clock time.

Waits: learners of all partitions click at a steady rate; each click commits a learner's sums to a real Redis and tells
the worker's own refresher. The age of a partition's oldest list is looked at 20 times a second in Redis, from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.drawn import draw_bundle, draw_learners
from benchmarks.refresh_services import waits_of_workers
from infra.devtools.local_redis import LocalRedis
from recsys.engagement import LANDMARK_MS
from recsys.keys import DIRTY, DONE, ENGAGEMENT, Shard, Topology
from recsys.model.scorer import Learner, Scorer
from recsys.online_store import CachedTop, Effects
from recsys.online_store.operations import Operation, PutValues, SortedSetMark
from recsys.online_store.redis.store import RedisStore
from recsys.record import FOREVER_MS, Record, pack
from stream.engagement.refresh import BATCH_USERS, Refresher
from stream.engagement.shutdown import cancelled

CATALOGUES = (1000, 4000, 10_000)
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


def best_of_three(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest turn."""
    turns = []
    for _ in range(3):
        began = time.process_time()
        work()
        turns.append(time.process_time() - began)
    return min(turns)


def ranking(scorer: Scorer, learners: Sequence[Learner]) -> dict[str, float]:
    """CPU time a learner, one by one and in a worker's batches, in microseconds; and that the lists are the same."""
    at_ms, slices = now_ms(), range(0, len(learners), BATCH_USERS)

    def one_by_one() -> list[Any]:
        return [scorer.rank(one.user_id, one.engagement, at_ms=at_ms, n=TOP_N, exclude=one.exclude) for one in learners]

    def batched() -> list[Any]:
        return [
            ranked
            for start in slices
            for ranked in scorer.rank_many(learners[start : start + BATCH_USERS], at_ms=at_ms, n=TOP_N)
        ]

    if one_by_one() != batched():
        raise SystemExit("expected the same lists in batches as one by one, received others")
    single, many = best_of_three(one_by_one), best_of_three(batched)
    each = 1e6 / len(learners)
    return {"single_us": round(single * each), "batched_us": round(many * each), "ratio": round(single / many, 1)}


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


async def waits(
    url: str, scorer: Scorer, learners: Sequence[Learner], *, clicks_per_s: float, seconds: float
) -> dict[str, Any]:
    """The age of the oldest list by partition, and the wait from a click's commit to the list that shows it."""
    store, outside = RedisStore.for_stream(url), RedisStore.for_stream(url)
    rng, fences = random.Random(0), dict.fromkeys(map(Shard, range(PARTITIONS)), 0)
    marked: dict[tuple[Shard, int], float] = {}
    dirty_since: dict[str, float] = {}
    took: list[float] = []
    ages: dict[Shard, float] = dict.fromkeys(fences, 0.0)
    try:
        shard_of = await fill(store, learners)
        await _refresh_all(store, scorer, len(learners))

        def written(tops: Sequence[CachedTop]) -> None:
            now = time.perf_counter()
            took.extend(now - dirty_since.pop(top.user_id) for top in tops if top.user_id in dirty_since)

        worker = refresher(store, scorer, written)

        async def click() -> None:
            began = time.perf_counter()
            for number in range(int(clicks_per_s * seconds)):
                await asyncio.sleep(max(0.0, began + number / clicks_per_s - time.perf_counter()))
                learner = rng.choice(learners)
                shard = shard_of[learner.user_id]
                course = f"c{rng.randrange(len(scorer.course_ids))}"
                effects = Effects(_touched({learner.user_id: {course: rng.random() * 2.0**60}}))
                fence = fences[shard] = fences[shard] + 1
                marked[shard, fence] = time.perf_counter()
                await store.commit(shard, GROUP, fence - 1, fence, effects)
                dirty_since.setdefault(learner.user_id, time.perf_counter())
                worker.notify(shard, fence=fence, backlog=False)

        async def look() -> None:
            while True:
                for shard in fences:
                    oldest = (await outside.waiting(shard, newest=1, oldest=1)).oldest_mark
                    if oldest is not None:
                        ages[shard] = max(ages[shard], time.perf_counter() - marked[shard, oldest])
                await asyncio.sleep(LOOK_EVERY_S)

        await _beside(worker.run, click, look)
    finally:
        await store.close()
        await outside.close()
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {
        "clicks": int(clicks_per_s * seconds),
        "lists": len(took),
        "oldest_s": {str(shard): round(age, 3) for shard, age in ages.items()},
        "click_to_list_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)},
    }


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


def show(figures: dict[str, Any]) -> None:
    """The tables for a person."""
    console = Console()
    speed = Table(title="Ranking, µs of one core a learner")
    for column in ("model", "courses", "one by one", f"in batches of {BATCH_USERS}", "ratio"):
        speed.add_column(column, justify="right")
    for model, sizes in figures["ranking"].items():
        for courses, row in sizes.items():
            cells = (f"{row['single_us']:,}", f"{row['batched_us']:,}", f"{row['ratio']} ×")
            speed.add_row(model, f"{int(courses):,}", *cells)
    console.print(speed)
    console.print(f"From dirty mark to list in Redis, 4,000 courses: {figures['refresh_per_s']:,} learners/s")
    for title, found in figures["waits"].items():
        table = Table(title=f"Oldest list waiting, {figures['clicks_per_s']:g} clicks/s: {title}")
        for partition in found["oldest_s"]:
            table.add_column(f"partition {partition}", justify="right")
        table.add_row(*(f"{age:.3f} s" for age in found["oldest_s"].values()))
        console.print(table)
        if "click_to_list_ms" in found:
            wait = found["click_to_list_ms"]
            console.print(f"From a click's commit to its list: p50 {wait['p50']} ms, p99 {wait['p99']} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clicks", type=float, default=500.0, help="Clicks a second over all partitions.")
    parser.add_argument("--services", action="store_true", help="The waits on a real Kafka and worker, too.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"cores": os.cpu_count(), "clicks_per_s": arguments.clicks, "ranking": {}, "waits": {}}
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1, user_api="blas"):
        folders = {}
        for model in ("linear", "ranker"):
            figures["ranking"][model] = {}
            for courses in CATALOGUES:
                where = Path(name) / model / str(courses)
                folders[courses] = draw_bundle(
                    where, courses=courses, users=arguments.learners, linear=model == "linear"
                )
                learners = draw_learners(arguments.learners, courses=courses, at_ms=now_ms())
                figures["ranking"][model][str(courses)] = ranking(Scorer.load(folders[courses]), learners)
        scorer = Scorer.load(folders[4000])
        learners = draw_learners(arguments.learners, courses=4000, at_ms=now_ms())
        with LocalRedis() as redis:
            figures["refresh_per_s"] = round(uvloop.run(whole_refresh(redis.database_url(0), scorer, learners)))
            pace = {"clicks_per_s": arguments.clicks, "seconds": arguments.seconds}
            figures["waits"]["refresher and Redis"] = uvloop.run(waits(redis.database_url(1), scorer, learners, **pace))
        if arguments.services:
            figures["waits"]["Kafka, worker and Redis"] = waits_of_workers(folders[4000], learners, **pace)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
