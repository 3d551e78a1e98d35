"""A worker clears the shards it owns of another model's lists, once for each publication and each shard it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.keys import Shard
from recsys.online_store import CachedTop, ModelPointer
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
        self.away = False

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        if self.away:
            raise ServiceUnavailable("no answer from Redis")
        return await super().sync_publication(shards)

    async def drop_outdated_lists(self, shard: Shard) -> int:
        if shard in self.unreadable:
            raise UnreadableState(f"{{s{shard}}}:dirty", "is of another type")
        self.walked.append(shard)
        return await super().drop_outdated_lists(shard)


class Worker:
    def __init__(self, *owned: int) -> None:
        self.store, self.owned = Store(), set(owned)
        self.lists = OutdatedLists(self.store, shards=lambda: {Shard(each) for each in self.owned}, poll_s=1.0)

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
