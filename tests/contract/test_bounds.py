"""What grows is bounded: courses a learner, with their part of trending; nothing is read that a script cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from recsys.keys import Partition, Shard
from recsys.online_store import Effects, OnlineStore
from recsys.online_store.redis.store import RedisStore
from stream.engagement.fold import FoldRules, decode_records, fold
from stream.engagement.steps import read_state
from stream.engagement.trending import merge_trending
from tests.doubles.effects import effects
from tests.doubles.stream import ARRIVAL, RULES, FakeRecord, event

GROUP, SHARD = "g", Shard(0)
LIMITED = replace(RULES, max_courses=12)
DAY_MS = 86_400_000


async def apply(store: OnlineStore, records: list[FakeRecord], rules: FoldRules = LIMITED) -> Effects:
    batch = decode_records(records, Partition(0), rules)
    state = await read_state(store, SHARD, GROUP, batch, rules)
    assert state is not None
    changes = fold(batch, state, rules)
    assert await store.commit(SHARD, GROUP, state.fence, records[-1].offset, changes)
    return changes


async def courses_of(store: OnlineStore, user: str) -> set[str]:
    (state,) = await store.user_states(SHARD, [user])
    return set(state.engagement)


def clicks(many: int, *, user: str = "u", first: int = 0) -> list[FakeRecord]:
    """A click on a course each, each a day later than the one before."""
    return [event(n, user, f"c{n:03}", at=ARRIVAL - (400 - n) * DAY_MS) for n in range(first, first + many)]


@pytest.mark.parametrize(("courses", "kept"), [(12, 12), (15, 15), (16, 12), (17, 13), (40, 12)])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_the_lowest_go_when_a_learner_has_a_quarter_too_many_wherever_a_chunk_ends(
    store: OnlineStore, courses: int, kept: int, size: int
) -> None:
    records = clicks(courses)
    for start in range(0, courses, size):
        await apply(store, records[start : start + size])
    assert await courses_of(store, "u") == {f"c{n:03}" for n in range(courses - kept, courses)}


async def test_what_is_evicted_takes_its_part_of_trending_with_it(store: OnlineStore) -> None:
    await apply(store, [event(0, "v", "c000", at=ARRIVAL - 400 * DAY_MS)])
    alone = (await store.trend(SHARD, 99)).sums
    await apply(store, clicks(15))
    await apply(store, [event(900, "u", "new")])
    shown = (await store.trend(SHARD, 99)).sums
    assert shown["c000"] == pytest.approx(alone["c000"], rel=1e-12)
    assert set(shown) == {"c000", "new", *(f"c{n:03}" for n in range(4, 15))}


async def test_courses_that_may_be_recommended_go_before_those_that_may_not(store: OnlineStore) -> None:
    dismissed = [event(n, course=f"no-{n}", kind="dismiss") for n in range(5)]
    await apply(store, [*dismissed, *(event(n, course=f"c{n}", kind="enroll") for n in range(5, 9))])
    await apply(store, clicks(10))
    (state,) = await store.user_states(SHARD, ["u"])
    assert len(state.engagement) == 15, "12 after the sixteenth, and three more"
    assert set(state.done) == {*(f"no-{n}" for n in range(5)), *(f"c{n}" for n in range(5, 9))}
    await apply(store, [event(n, course=f"yes-{n}", kind="complete") for n in range(20)])
    (state,) = await store.user_states(SHARD, ["u"])
    assert set(state.done) == set(state.engagement), "what is evicted is not remembered as done either"


async def test_a_full_learner_touching_what_is_there_is_not_read_as_a_whole(redis_url: str) -> None:
    store = RedisStore.for_stream(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        await apply(store, clicks(15))
        client.config_resetstat()
        await apply(store, [event(900, "u", "c007")])
        assert calls(client, "hgetall") == 0
        await apply(store, [event(901, "u", "new")])
        assert calls(client, "hgetall") == 1
    await store.close()


async def test_trending_shows_what_the_catalogue_knows_and_the_rest_once_it_does(store: OnlineStore) -> None:
    sums = {"real-0": 1.0, **{f"junk-{n}": 50.0 + n for n in range(1500)}, "new": 2.0}
    assert await store.commit(SHARD, GROUP, None, 0, effects(trend=sums))

    async def merged(catalogue: set[str] | None) -> tuple[tuple[str, ...], int]:
        shown = await merge_trending(store, [SHARD], size=3, now_ms=ARRIVAL, catalogue=catalogue)
        assert await store.trending() == shown
        return shown.course_ids, shown.unjoined

    assert await merged({"real-0"}) == (("real-0",), 1501)
    assert await merged({"real-0", "new"}) == (("new", "real-0"), 1500)
    assert (await merged(None))[1] == 0


@pytest.fixture
def monitor(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        yield client


def calls(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_trending_is_read_in_pages(redis_url: str, monitor: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    await store.commit(SHARD, GROUP, None, 0, effects(trend={f"c{n}": float(n) for n in range(9000)}))
    assert list((await store.trend(SHARD, 2)).sums.items()) == [("c8999", 8999.0), ("c8998", 8998.0)]
    assert calls(monitor, "hgetall") == 1  # of the blocks that wait
    assert calls(monitor, "hscan") >= 8
    await store.close()
