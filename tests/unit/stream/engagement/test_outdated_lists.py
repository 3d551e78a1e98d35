"""A worker clears the shards it owns of another model's lists, once for each publication and each shard it is given."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Shard
from recsys.online_store import CachedTop, Line, ModelPointer
from recsys.online_store.memory import MemoryStore
from stream.engagement.outdated_lists import OutdatedLists
from tests.doubles.effects import effects

OLD, NEW = ModelPointer("v1", "/models/v1", 1), ModelPointer("v2", "/models/v2", 2)


class Store(MemoryStore):
    """Counts the walks through a shard's learners, and cannot read some shards."""

    def __init__(self) -> None:
        super().__init__()
        self.walked: list[int] = []
        self.unreadable: set[int] = set()
        self.away = self.walks_fail = False
        self.slices: dict[int, list[int]] = {}
        self.taken: list[tuple[int, int]] = []

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        if self.away:
            raise ServiceUnavailable("no answer from Redis")
        return await super().sync_publication(shards)

    async def drop_outdated_lists(self, shard: Shard) -> int:
        if shard in self.unreadable:
            raise UnreadableState(f"{{s{shard}}}:dirty", "is of another type")
        self.walked.append(shard)
        return await super().drop_outdated_lists(shard)

    async def mark_due_lists(self, shard: Shard, line: Line) -> AsyncGenerator[int, None]:
        if self.walks_fail:
            raise ServiceUnavailable("no answer from Redis")
        if shard in self.slices:
            for marked in self.slices[shard]:
                self.taken.append((shard, marked))
                yield marked
            return
        async for marked in super().mark_due_lists(shard, line):
            yield marked


class Worker:
    def __init__(self, *owned: int) -> None:
        self.store, self.owned = Store(), set(owned)
        self.lists = OutdatedLists(
            self.store, shards=lambda: {Shard(each) for each in self.owned}, poll_s=1.0, renewals_per_s=2.0
        )

    async def publish(self, pointer: ModelPointer) -> None:
        await self.store.publish_model(pointer, replacing=await self.store.model())

    async def write(self, shard: int, version: str) -> int:
        tops: Any = [(CachedTop("u", version, 5, ["c"], [1.0]), None)]
        return await self.store.write_tops(Shard(shard), tops)

    async def version(self, shard: int) -> str | None:
        top = (await self.store.listed(Shard(shard), "g", "u")).top
        return None if top is None else top.model_version


@pytest.fixture
async def worker() -> Worker:
    worker = Worker(0, 1)
    for shard in range(3):
        await worker.store.commit(Shard(shard), "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    await worker.publish(OLD)
    await worker.lists.check()
    for shard in range(3):
        assert await worker.write(shard, "v1") == 1
    worker.store.walked.clear()
    return worker


async def test_a_publish_takes_the_old_lists_out_of_the_owned_shards_and_marks_their_learners(
    worker: Worker,
) -> None:
    await worker.publish(NEW)
    assert await worker.lists.check() == set()
    assert [await worker.version(shard) for shard in range(3)] == [None, None, "v1"]
    assert [user for user, _ in await worker.store.dirty_users(Shard(0), 9)] == ["u"]


async def test_a_list_that_an_old_scorer_writes_after_the_publish_is_refused(worker: Worker) -> None:
    await worker.publish(NEW)
    await worker.lists.check()
    assert await worker.write(0, "v1") == 0


async def test_a_shard_is_walked_once_for_a_publication(worker: Worker) -> None:
    for _ in range(3):
        await worker.lists.check()
    assert worker.store.walked == []
    await worker.publish(NEW)
    for _ in range(3):
        await worker.lists.check()
    assert worker.store.walked == [0, 1]


async def test_a_rollback_is_a_publication(worker: Worker) -> None:
    await worker.publish(NEW)
    await worker.lists.check()
    assert await worker.write(0, "v2") == 1
    await worker.publish(ModelPointer("v1", "/models/v1", 3))
    await worker.lists.check()
    assert await worker.version(0) is None


async def test_a_shard_that_is_given_to_this_worker_is_walked_whoever_had_it_before(worker: Worker) -> None:
    await worker.publish(NEW)
    await worker.lists.check()
    worker.owned = {1, 2}  # shard 2 has a list that a worker of the release before wrote
    await worker.lists.check()
    assert await worker.version(2) is None
    worker.owned = {0, 1}
    await worker.lists.check()
    assert worker.store.walked == [0, 1, 2, 0]


async def test_a_shard_that_cannot_be_read_is_named_and_delays_no_other(worker: Worker) -> None:
    worker.store.unreadable = {0}
    await worker.publish(NEW)
    (problem,) = await worker.lists.check()
    assert "'{s0}:dirty' is of another type" in problem
    assert await worker.version(1) is None
    worker.store.unreadable = set()
    assert await worker.lists.check() == set()
    assert await worker.version(0) is None


async def test_while_redis_is_away_nothing_ends(worker: Worker) -> None:
    worker.store.away = True
    assert await worker.lists.check() == {"no answer from Redis"}


USERS = [f"u{n}" for n in range(40)]


async def follow(worker: Worker, increments: int) -> None:
    """Publishes increments of what is published, each followed by the worker, which renews nothing yet."""
    for _ in range(increments):
        before = await worker.store.model()
        assert before is not None
        at_ms = before.published_at_ms + 1
        await worker.publish(ModelPointer(f"v1.{at_ms}", "/models", at_ms, before.line_after(2)))
        assert await worker.lists.check() == set()


@pytest.fixture
async def busy(worker: Worker) -> Worker:
    """Forty learners more in shard 0, each with a list of the retrain v1."""
    worker.owned = {0}
    fence = await worker.store.fence(Shard(0), "g")
    changes = effects(engagement={user: {"a": 1.0} for user in USERS})
    assert await worker.store.commit(Shard(0), "g", fence, 50, changes)
    tops: Any = [(CachedTop(user, "v1", 5, ["c"], [1.0]), 50) for user in USERS]
    assert await worker.store.write_tops(Shard(0), tops) == 40
    await worker.store.write_tops(Shard(0), [(CachedTop("u", "v1", 5, ["c"], [1.0]), 9)])
    return worker


async def marked(worker: Worker) -> int:
    return len(await worker.store.dirty_users(Shard(0), 99))


async def test_an_increment_keeps_the_lists_of_the_model_it_follows_and_marks_nobody_at_once(busy: Worker) -> None:
    await follow(busy, 1)
    assert (await busy.version(0), await marked(busy)) == ("v1", 0)


async def test_learners_in_turn_are_marked_at_the_rate_and_their_lists_stay(busy: Worker) -> None:
    await follow(busy, 1)
    counts = []
    for _ in range(30):
        assert await busy.lists.renew() == set()
        counts.append(await marked(busy))
    assert counts[:4] == [2, 4, 6, 8]
    assert max(later - sooner for sooner, later in pairwise(counts)) == 2
    assert 10 < counts[-1] < 31  # half of 41 learners are in turn
    assert await busy.version(0) == "v1"


async def test_a_slice_takes_of_the_rate_what_it_marked_and_shards_have_a_slice_each_in_turn(worker: Worker) -> None:
    """Redis answers in slices of some hundred learners, of whom any number is due: two a second are asked for here."""
    worker.store.slices = {0: [5, 0, 0, 0], 1: [0, 0, 0, 0]}
    await worker.publish(ModelPointer("v2", "/models/v2", 2, Line(("v1",), 1, 3)))
    await worker.lists.check()
    found = []
    for _ in range(4):
        before = len(worker.store.taken)
        await worker.lists.renew()
        found.append(worker.store.taken[before:])
    assert found == [[(0, 5)], [], [(1, 0)], [(0, 0), (1, 0)]]


async def test_a_rollback_in_the_middle_of_a_walk_takes_every_other_list_at_once(busy: Worker) -> None:
    await follow(busy, 1)
    assert await busy.write(0, "v1.2") == 1
    await busy.lists.renew()
    await busy.publish(ModelPointer("v1", "/models/v1", 9))
    await busy.lists.check()
    assert await busy.version(0) is None  # that of the withdrawn increment
    before = await marked(busy)
    await busy.lists.renew()
    assert await marked(busy) == before


async def test_a_retrain_replaces_every_list_of_the_line_before(busy: Worker) -> None:
    await follow(busy, 2)
    await busy.publish(NEW)
    await busy.lists.check()
    assert (await busy.version(0), await marked(busy)) == (None, 41)


async def test_a_list_further_behind_than_the_line_goes_as_after_any_publication(busy: Worker) -> None:
    await follow(busy, 2)
    assert (await busy.version(0), await marked(busy)) == ("v1", 0)
    await follow(busy, 1)
    assert (await busy.version(0), await marked(busy)) == (None, 41)


async def test_what_a_walk_did_not_come_to_is_due_before_it_would_go(busy: Worker) -> None:
    """Renewing is slow: at the last increment that keeps a list, whoever's it is, it is due."""
    await follow(busy, 2)
    for _ in range(30):
        await busy.lists.renew()
    assert await marked(busy) == 41


async def test_a_walk_that_fails_is_told_of_and_begun_with_the_next_increment(worker: Worker) -> None:
    worker.store.walks_fail = True
    await follow(worker, 1)
    assert await worker.lists.renew() == {"no answer from Redis"}
    assert await worker.lists.renew() == set()
    await follow(worker, 1)
    assert await worker.lists.renew() == {"no answer from Redis"}
