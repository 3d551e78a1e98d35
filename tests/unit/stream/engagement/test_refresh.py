"""Cached lists follow the events; a bundle that does not verify never replaces a good one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.exclusion import Exclusion
from recsys.keys import Shard
from recsys.model.scorer import Learner
from recsys.online_store import CachedTop, ModelPointer, UserState
from recsys.online_store.memory import MemoryStore
from stream.engagement.refresh import BATCH_USERS, LATE_S, REST, REST_CHUNKS, SLICE_CELLS, Refresher
from tests.doubles.effects import effects

SHARD = Shard(0)


class ByEngagement:
    """Ranks what a learner engaged with, highest first."""

    version = "v1"
    course_ids: Sequence[str] = ("a", "b", "c")

    def rank_many(self, learners: Sequence[Learner], *, at_ms: int, n: int) -> list[tuple[list[str], list[float]]]:
        return [self._rank(learner, n) for learner in learners]

    def _rank(self, learner: Learner, n: int) -> tuple[list[str], list[float]]:
        sums = learner.engagement
        ranked = sorted((course for course in sums if course not in learner.exclude), key=lambda c: -sums[c])[:n]
        return ranked, [sums[course] for course in ranked]


class Away(MemoryStore):
    async def waiting(self, *arguments: Any, **options: Any) -> Any:
        raise ServiceUnavailable("no answer from Redis")


class Unreadable(MemoryStore):
    """Shard 0 holds what nobody can read; the others are well."""

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        if shard == 0:
            raise UnreadableState("{s0}:eng:u", "is a list")
        return await super().user_states(shard, user_ids)


class Following:
    """A follower that has loaded a model."""

    def __init__(self, ranker: ByEngagement | None, *, up_to_date: bool) -> None:
        self.current, self.up_to_date = ranker or ByEngagement(), up_to_date


def refresher(
    store: MemoryStore, *, ranker: ByEngagement | None = None, up_to_date: bool = True, **options: Any
) -> Refresher:
    model: Any = Following(ranker, up_to_date=up_to_date)
    defaults = {"shards": lambda: {0}, "top_n": 3, "backlog_s": 60.0, "clock": lambda: 0.0, "now_ms": lambda: 7}
    defaults["exclusion"] = Exclusion(exclude_seen=False)  # `ByEngagement` ranks nothing but what was seen
    return Refresher(store, model, **{**defaults, **options})


async def poll(condition: Any, deadline_s: float = 5.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for is a value in a store
            await asyncio.sleep(0.005)


async def test_a_batch_of_dirty_users_gets_lists_without_what_is_done() -> None:
    store = MemoryStore()
    await store.commit(
        SHARD, "g", None, 9, effects(engagement={"u": {"a": 1.0, "b": 2.0, "c": 3.0}}, done={"u": ["c"]})
    )
    assert await refresher(store).refresh(SHARD) == 1
    top = (await store.listed(SHARD, "g", "u")).top
    assert top is not None
    assert (top.course_ids, top.model_version, top.computed_at_ms) == (("b", "a"), "v1", 7)
    assert await store.dirty_users(SHARD, 1) == []


async def test_a_list_names_the_last_offset_that_it_contains() -> None:
    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    await refresher(store).refresh(SHARD)
    await store.commit(SHARD, "g", 9, 12, effects(engagement={"u": {"b": 1.0}}))
    listed = await store.listed(SHARD, "g", "u")
    assert (listed.marked, listed.included_offset) == (True, 9)


async def test_a_list_that_a_publication_asked_for_leaves_open_what_it_contains() -> None:
    store = MemoryStore()
    await store.commit(SHARD, "g", None, 0, effects(engagement={"u": {"a": 1.0}}))
    await refresher(store).refresh(SHARD)
    top = (await store.listed(SHARD, "other group", "u")).top
    assert top is not None
    assert top.included_offset is None


async def test_the_stages_of_a_list_are_measured_from_its_commit() -> None:
    store, now = MemoryStore(), 100.0

    class Slow(ByEngagement):
        def rank_many(self, learners: Sequence[Learner], *, at_ms: int, n: int) -> Any:
            nonlocal now
            now += 3.0
            return super().rank_many(learners, at_ms=at_ms, n=n)

    def sample(name: str, **labels: str) -> tuple[float, float]:
        value = REGISTRY.get_sample_value
        return value(f"{name}_count", labels) or 0.0, value(f"{name}_sum", labels) or 0.0

    names = [("recsys_freshness_seconds", {"stage": "refreshed"}), ("recsys_event_to_list_seconds", {})]
    before = [sample(name, **labels) for name, labels in names]
    worker = refresher(store, ranker=Slow(), clock=lambda: now, now_ms=lambda: int(now * 1000))
    for offset, user in ((8, "u"), (9, "v")):
        await store.commit(SHARD, "g", None if offset == 8 else 8, offset, effects(engagement={user: {"a": 1.0}}))
    worker.notify(SHARD, fence=9, backlog=False, arrival_ms=99_000)  # of the earlier commit nobody told
    now += 2.0
    await worker.refresh(SHARD)
    after = [sample(name, **labels) for name, labels in names]
    changes = [(count - was[0], total - was[1]) for (count, total), was in zip(after, before, strict=True)]
    assert changes == [(1, 5.0), (1, 6.0)]


async def test_lists_are_made_with_the_course_features_of_now() -> None:
    class OfNow(ByEngagement):
        def _rank(self, learner: Learner, n: int) -> tuple[list[str], list[float]]:
            return ["takes off"], [1.0]

    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    assert await refresher(store, features=lambda _: OfNow()).refresh(SHARD) == 1
    top = (await store.listed(SHARD, "g", "u")).top
    assert top is not None
    assert top.course_ids == ("takes off",)


@pytest.mark.parametrize(("courses", "slices"), [(SLICE_CELLS // 5, [5, 5, 2]), (SLICE_CELLS * 3, [1] * 12)])
async def test_between_two_slices_of_a_batch_the_event_loop_has_its_turn(*, courses: int, slices: list[int]) -> None:
    """Chunks are folded in it, and a batch of a large catalogue takes longer than they may wait."""
    turns, seen = 0, list[tuple[int, int]]()

    class Large(ByEngagement):
        course_ids = ("c",) * courses

        def rank_many(self, learners: Sequence[Learner], *, at_ms: int, n: int) -> Any:
            seen.append((turns, len(learners)))
            return super().rank_many(learners, at_ms=at_ms, n=n)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={f"u{n}": {"a": 1.0} for n in range(12)}))
    other = asyncio.create_task(others())
    await refresher(store, ranker=Large()).refresh(SHARD)
    other.cancel()
    assert [learners for _, learners in seen] == slices
    assert all(before < after for (before, _), (after, _) in pairwise(seen))


async def test_slices_are_shorter_while_chunks_go_on() -> None:
    seen = list[int]()

    class Large(ByEngagement):
        course_ids = ("c",) * (SLICE_CELLS // 8)

        def rank_many(self, learners: Sequence[Learner], *, at_ms: int, n: int) -> Any:
            seen.append(len(learners))
            for _ in range(REST_CHUNKS):
                worker.notify(SHARD, fence=9, backlog=False)
            return super().rank_many(learners, at_ms=at_ms, n=n)

    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={f"u{n}": {"a": 1.0} for n in range(13)}))
    worker = refresher(store, ranker=Large())
    await worker.refresh(SHARD)
    assert seen == [8, 2, 2, 1]


@pytest.mark.parametrize(
    ("waiting", "chunks", "backlog", "took_s", "rest_s"),
    [
        (100, REST_CHUNKS, False, 0.25, REST * 0.25),
        (100, REST_CHUNKS, True, 0.25, REST * 0.25),
        (100, REST_CHUNKS, False, LATE_S - 0.125, 0.125),
        (100, REST_CHUNKS, False, LATE_S, None),
        (100, REST_CHUNKS - 1, False, 0.25, None),
        (BATCH_USERS - 1, REST_CHUNKS, False, 0.25, None),
    ],
)
async def test_folding_comes_first_where_learners_wait_anyway(
    *, waiting: int, chunks: int, backlog: bool, took_s: float, rest_s: float | None
) -> None:
    """A rest is not cut short: a chunk that wakes an idle refresher is what it rests for."""
    now, waits = 100.0, list[float]()

    class Slow(ByEngagement):
        def rank_many(self, learners: Sequence[Learner], *, at_ms: int, n: int) -> Any:
            nonlocal now
            now += took_s
            for _ in range(chunks):
                worker.notify(SHARD, fence=9, backlog=backlog)
            return super().rank_many(learners, at_ms=at_ms, n=n)

    async def wait(event: asyncio.Event, seconds: float) -> None:
        waits.append(0.0 if event.is_set() else seconds)
        raise asyncio.CancelledError

    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={f"u{n}": {"a": 1.0} for n in range(waiting)}))
    worker = refresher(store, ranker=Slow(), clock=lambda: now, wait=wait, leftovers_s=1e9)
    with pytest.raises(asyncio.CancelledError):
        await worker.run()
    assert (waits[0] if waits[0] <= LATE_S else None) == rest_s


async def test_courses_only_seen_are_left_out_where_the_policy_says_so() -> None:
    class Everything(ByEngagement):
        def _rank(self, learner: Learner, n: int) -> tuple[list[str], list[float]]:
            ranked = [course for course in ("a", "b", "c", "d") if course not in learner.exclude]
            return ranked, [1.0] * len(ranked)

    for exclude_seen, expected in ((True, ("d",)), (False, ("a", "b", "d"))):
        store = MemoryStore()
        await store.commit(SHARD, "g", None, 9, effects(engagement={"u": {"a": 1.0, "b": 2.0}}, done={"u": ["c"]}))
        worker = refresher(store, ranker=Everything(), exclusion=Exclusion(exclude_seen=exclude_seen))
        await worker.refresh(SHARD)
        top = (await store.listed(SHARD, "g", "u")).top
        assert top is not None
        assert top.course_ids == expected


@pytest.mark.parametrize(("now_ms", "expected"), [(7, ("b",)), (8, ("b", "a"))])
async def test_a_course_is_left_out_until_its_time_has_passed(now_ms: int, expected: tuple[str, ...]) -> None:
    store = MemoryStore()
    changes = effects(engagement={"u": {"a": 1.0, "b": 2.0}}, done={"u": {"a": 8}})
    await store.commit(SHARD, "g", None, 9, changes)
    await refresher(store, now_ms=lambda: now_ms).refresh(SHARD)
    top = (await store.listed(SHARD, "g", "u")).top
    assert top is not None
    assert top.course_ids == expected


async def test_a_notified_shard_is_refreshed_and_one_that_catches_up_is_not_yet() -> None:
    store = MemoryStore()
    for partition in (0, 1):
        await store.commit(Shard(partition), "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    worker = refresher(store, shards=lambda: {0, 1})
    worker.notify(Shard(1), fence=9, backlog=True)
    task = asyncio.create_task(worker.run())
    worker.notify(SHARD, fence=9, backlog=False)
    await poll(lambda: _has_list(store, 0))
    assert not await _has_list(store, 1)
    task.cancel()


async def _has_list(store: MemoryStore, partition: int) -> bool:
    return (await store.listed(Shard(partition), "g", "u")).top is not None


async def test_leftovers_are_refreshed_without_a_notice() -> None:
    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={f"u{n}": {"a": 1.0} for n in range(100)}))
    task = asyncio.create_task(refresher(store, leftovers_s=0.01).run())

    async def none_left() -> bool:
        return not await store.dirty_users(SHARD, 1)

    await poll(none_left)
    task.cancel()


async def test_a_store_that_is_away_postpones_the_refresh_and_ends_nothing() -> None:
    task = asyncio.create_task(refresher(Away(), leftovers_s=0.01).run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)
    task.cancel()


async def test_a_shard_that_cannot_be_read_stops_neither_the_worker_nor_the_other_shards() -> None:
    store = Unreadable()
    for shard in (Shard(0), Shard(1)):
        await store.commit(shard, "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    task = asyncio.create_task(refresher(store, shards=lambda: {0, 1}, leftovers_s=0.01).run())
    await poll(lambda: _has_list(store, 1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)
    task.cancel()


async def test_a_scorer_that_a_publish_overtook_writes_nothing_and_waits_for_the_next_model() -> None:
    """Forty learners have lists of the new model; this worker still ranks with the old one and has not noticed."""
    store, users = MemoryStore(), [f"u{n}" for n in range(40)]
    await store.commit(SHARD, "g", None, 9, effects(engagement={user: {"a": 1.0} for user in users}))
    await store.publish_model(ModelPointer("v2", "/models/v2", 2), replacing=None)
    await store.sync_publication([Shard(0)])
    await store.write_tops(Shard(0), [(CachedTop(user, "v2", 5, ["b"], [1.0]), None) for user in users])
    assert await refresher(store).refresh(Shard(0)) == 0
    versions = {top.model_version for user in users if (top := (await store.listed(Shard(0), "g", user)).top)}
    assert versions == {"v2"}
    assert len(await store.dirty_users(Shard(0), 99)) == 40


async def test_who_was_refreshed_by_another_worker_meanwhile_is_left_alone_and_the_round_goes_on() -> None:
    class Overtaken(MemoryStore):
        async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
            states = await super().user_states(shard, user_ids)
            await self.write_tops(shard, [(CachedTop(user_ids[0], "v1", 5, ["of another"], [1.0]), 9)])
            return states

    store = Overtaken()
    await store.commit(SHARD, "g", None, 9, effects(engagement={f"u{n}": {"a": 1.0} for n in range(100)}))
    assert await refresher(store).refresh(SHARD) == BATCH_USERS
    assert len(await store.dirty_users(SHARD, 100)) == 100 - BATCH_USERS
    lists = [top.course_ids for n in range(100) if (top := (await store.listed(SHARD, "g", f"u{n}")).top)]
    assert lists.count(("of another",)) == 1


async def test_a_model_that_is_not_the_published_one_refreshes_nothing() -> None:
    store = MemoryStore()
    await store.commit(SHARD, "g", None, 9, effects(engagement={"u": {"a": 1.0}}))
    assert await refresher(store, up_to_date=False).refresh(SHARD) == 0
    assert list(await store.dirty_users(SHARD, 1)) == [("u", 9)]
