"""Fair rounds: every shard and every waiting learner gets a turn, however often others click.

Time is simulated: the store's calls are what takes time, and clicks arrive while they last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from recsys.keys import Shard
from recsys.online_store import CachedTop, UserState, Waiting
from recsys.online_store.memory import MemoryStore
from stream.engagement.refresh import REST, Refresher
from tests.doubles.effects import effects

CALL_S = 0.0005
"""What a call of the store takes."""

BATCH_CALLS = 3
"""Who waits, their state, their lists."""


class World(MemoryStore):
    """A store on a simulated clock. Learners click while its calls take their time; ends the run at `until_s`."""

    def __init__(self, *, clicks_per_s: float, shards: int, until_s: float) -> None:
        super().__init__()
        self.now, self.until_s = 0.0, until_s
        self.worst: dict[int, float] = dict.fromkeys(range(shards), 0.0)
        self.refreshed: dict[int, int] = dict.fromkeys(range(shards), 0)
        self.live_waits: list[float] = []
        self.refresher: Refresher
        self._every, self._clicks, self._marks = 1 / clicks_per_s, 0, 0
        self._since: dict[tuple[int, str], float] = {}

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        await self._take(CALL_S)
        return await super().waiting(shard, newest=newest, oldest=oldest)

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        await self._take(CALL_S)
        return await super().user_states(shard, user_ids)

    async def write_tops(
        self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> int:
        await self._take(CALL_S)
        written = await super().write_tops(shard, tops, only_if_marked=only_if_marked)
        marked = {user for user, _ in await self.dirty_users(shard, 1_000_000)}
        for user in [top.user_id for top, _ in tops if top.user_id not in marked]:
            waited = self.now - self._since.pop((shard, user))
            self.worst[shard] = max(self.worst[shard], waited)
            self.refreshed[shard] += 1
            if user.startswith("live"):
                self.live_waits.append(waited)
        return written

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """The refresher's way to wait: time passes in steps, and who clicks meanwhile ends the wait."""
        until = self.now + seconds
        while self.now < until and not event.is_set():
            await self._take(min(CALL_S, until - self.now))

    async def mark(self, shard: int, user: str) -> int:
        """A learner did something; returns the fence."""
        self._marks += 1
        fence = await self.fence(Shard(shard), "g")
        await self.commit(Shard(shard), "g", fence, self._marks, effects(engagement={user: {"c": 1.0}}))
        self._since.setdefault((shard, user), self.now)
        return self._marks

    def oldest(self) -> dict[int, float]:
        """Shard → how long its longest-waiting learner waits, in seconds, those served meanwhile included."""
        waits = dict(self.worst)
        for (shard, _), since in self._since.items():
            waits[shard] = max(waits[shard], self.now - since)
        return waits

    async def _take(self, seconds: float) -> None:
        self.now += seconds
        while (self._clicks + 1) * self._every < self.now:
            self._clicks += 1
            shard = self._clicks % len(self.worst)
            fence = await self.mark(shard, f"live{self._clicks}")
            self.refresher.notify(Shard(shard), fence=fence, backlog=False)
        if self.now > self.until_s:
            raise asyncio.CancelledError


class Nothing:
    """A published model that takes no time."""

    version, course_ids, up_to_date = "v1", (), True

    def __init__(self) -> None:
        self.current = self

    def rank_many(self, learners: Sequence[Any], *, at_ms: int, n: int) -> list[tuple[list[str], list[float]]]:
        return [([], []) for _ in learners]


async def simulate(world: World) -> World:
    world.refresher = Refresher(
        world,
        Nothing(),  # type: ignore[arg-type]
        shards=lambda: {Shard(shard) for shard in world.worst},
        top_n=3,
        backlog_s=5.0,
        clock=lambda: world.now,
        now_ms=lambda: 7,
        wait=world.wait,
    )
    await asyncio.gather(world.refresher.run(), return_exceptions=True)
    return world


def gauge(name: str, shard: int) -> float | None:
    return REGISTRY.get_sample_value(name, {"partition": str(shard)})


async def test_no_shard_waits_for_those_with_lower_numbers_however_often_somebody_clicks() -> None:
    world = await simulate(World(clicks_per_s=568, shards=4, until_s=4.0))
    assert all(wait < 0.1 for wait in world.oldest().values()), world.oldest()
    assert min(world.refreshed.values()) > 0.9 * max(world.refreshed.values())


async def test_who_waits_longest_is_served_though_every_batch_could_be_filled_with_newer_clicks() -> None:
    world = World(clicks_per_s=12_000, shards=4, until_s=1.0)
    for number in range(300):
        for shard in world.worst:
            await world.mark(shard, f"before{number}")
    await simulate(world)
    assert all(wait < 0.3 * (1 + REST) for wait in world.oldest().values()), world.oldest()


async def test_a_live_click_waits_for_two_batches_and_not_for_a_round_while_every_shard_has_a_backlog() -> None:
    world = World(clicks_per_s=20, shards=12, until_s=2.0)
    for number in range(1000):
        for shard in world.worst:
            await world.mark(shard, f"before{number}")
    await simulate(world)
    assert len(world.live_waits) > 30
    assert max(world.live_waits) <= 3 * BATCH_CALLS * CALL_S + 1e-9  # the batch under way, one of the backlog, its own


async def test_gauges_show_who_waits_and_for_how_long_by_partition() -> None:
    world = World(clicks_per_s=0.001, shards=2, until_s=0.2)
    for number in range(200):
        await world.mark(1, f"u{number}")
    world.now = 0.0
    await simulate(world)
    waiting, age = (gauge(name, 1) for name in ("recsys_refresh_dirty_users", "recsys_refresh_oldest_mark_seconds"))
    assert (waiting, age) == (0, 0)
    assert gauge("recsys_refresh_dirty_users", 0) == 0
    stuck = World(clicks_per_s=0.001, shards=2, until_s=0.0012)
    await stuck.mark(1, "u")
    await simulate(stuck)
    stuck.now += 7.0  # nothing is refreshed any more: the age rises
    assert gauge("recsys_refresh_oldest_mark_seconds", 1) == pytest.approx(7.0, abs=0.01)


async def test_a_shard_that_went_to_another_worker_is_shown_no_more() -> None:
    world = World(clicks_per_s=0.001, shards=2, until_s=3.0)
    await simulate(world)
    assert gauge("recsys_refresh_dirty_users", 1) == 0
    world.worst.pop(1)
    world.until_s += 3.0
    await asyncio.gather(world.refresher.run(), return_exceptions=True)
    assert gauge("recsys_refresh_dirty_users", 1) is None
    assert gauge("recsys_refresh_dirty_users", 0) == 0
