"""What grows is bounded: bulk eviction with slack, made-up courses first, and nothing a script cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from recsys.keys import DONE, ENGAGEMENT, TREND, Shard
from recsys.online_store import Effects, OnlineStore
from recsys.online_store.operations import SHARD_ITSELF, Bound, HashFloats, SetAdd
from recsys.online_store.redis.store import RedisStore
from stream.engagement.trending import merge_trending
from tests.doubles.effects import effects
from tests.doubles.stream import ARRIVAL

GROUP, SHARD = "g", Shard(0)
REAL = [f"real-{n}" for n in range(5)]


async def commit(store: OnlineStore, *operations: HashFloats | SetAdd) -> None:
    fence = await store.fence(SHARD, GROUP)
    assert await store.commit(SHARD, GROUP, fence, (fence or 0) + 1, Effects(operations))


async def courses_of(store: OnlineStore, user: str) -> set[str]:
    (state,) = await store.user_states(SHARD, [user])
    return set(state.engagement)


async def done_of(store: OnlineStore, user: str) -> frozenset[str]:
    (state,) = await store.user_states(SHARD, [user])
    return frozenset(state.done)


@pytest.mark.parametrize(("courses", "kept"), [(100, 100), (125, 125), (126, 100), (9000, 100)])
async def test_a_hash_is_cut_back_in_bulk_once_it_is_a_quarter_too_large(
    store: OnlineStore, courses: int, kept: int
) -> None:
    sums = {f"c{n:04}": float(n) for n in range(courses)}
    await commit(store, HashFloats(ENGAGEMENT, {"u": sums, "v": {"c": 1.0}}, Bound(100), indexed=True))
    assert await courses_of(store, "u") == set(sorted(sums)[-kept:])
    assert await courses_of(store, "v") == {"c"}


async def test_made_up_courses_cannot_push_real_ones_out(store: OnlineStore) -> None:
    bound = Bound(100, spared=REAL.__contains__)
    await commit(store, HashFloats(TREND, {SHARD_ITSELF: dict.fromkeys(REAL, 0.001)}, bound))
    for flood in range(20):
        junk = {f"junk-{flood}-{n}": 1000.0 + n for n in range(50)}
        await commit(store, HashFloats(TREND, {SHARD_ITSELF: junk}, bound))
    kept = (await store.trend(SHARD, 1000)).sums
    assert set(REAL) <= set(kept)
    assert len(kept) <= 125


async def test_trending_shows_what_the_catalogue_knows_and_the_rest_once_it_does(store: OnlineStore) -> None:
    sums = {"real-0": 1.0, **{f"junk-{n}": 50.0 + n for n in range(1500)}, "new": 2.0}
    await commit(store, HashFloats(TREND, {SHARD_ITSELF: sums}))

    async def merged(catalogue: set[str] | None) -> tuple[tuple[str, ...], int]:
        shown = await merge_trending(store, [SHARD], size=3, now_ms=ARRIVAL, catalogue=catalogue)
        assert await store.trending() == shown
        return shown.course_ids, shown.unjoined

    assert await merged({"real-0"}) == (("real-0",), 1501)
    assert await merged({"real-0", "new"}) == (("new", "real-0"), 1500)
    assert (await merged(None))[1] == 0


@pytest.mark.parametrize(("courses", "kept"), [(9_000, 9_000), (20_000, 10_000)])
async def test_thousands_of_done_courses_are_kept_up_to_a_bound(store: OnlineStore, courses: int, kept: int) -> None:
    await commit(store, SetAdd(DONE, {"u": [f"c{n}" for n in range(courses - 1)], "v": ["c"]}, Bound(10_000)))
    await commit(store, SetAdd(DONE, {"u": ["the latest"]}, Bound(10_000)))
    done = await done_of(store, "u")
    assert "the latest" in done
    assert kept <= len(done) <= kept + 1
    assert await done_of(store, "v") == {"c"}


async def test_those_just_added_are_not_the_ones_forgotten(store: OnlineStore) -> None:
    for batch in range(12):
        added = [f"c{batch}-{n}" for n in range(10)]
        await commit(store, SetAdd(DONE, {"u": added}, Bound(20, slack=0)))
        done = await done_of(store, "u")
        assert set(added) <= done
        assert len(done) <= 20


@pytest.fixture
def monitor(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        yield client


def calls(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_a_commit_above_the_bound_reads_no_hash_as_a_whole(redis_url: str, monitor: redis.Redis) -> None:
    """Each commit above 10,000 courses read and sorted them all: 20 ms of Redis instead of 0.2."""
    store = RedisStore.for_stream(redis_url)
    for flood in range(30):
        courses = {f"c{flood}-{n}": float(n) for n in range(10)}
        await commit(store, HashFloats(TREND, {SHARD_ITSELF: courses}, Bound(100)))
    assert calls(monitor, "hgetall") == 0
    assert calls(monitor, "hdel") <= 300 / 25  # once for a quarter of the bound
    assert 100 <= len((await store.trend(SHARD, 1000)).sums) <= 125
    await store.close()


async def test_trending_is_read_in_pages(redis_url: str, monitor: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    await store.commit(SHARD, GROUP, None, 0, effects(trend={f"c{n}": float(n) for n in range(9000)}))
    assert list((await store.trend(SHARD, 2)).sums.items()) == [("c8999", 8999.0), ("c8998", 8998.0)]
    assert calls(monitor, "hgetall") == 0
    assert calls(monitor, "hscan") >= 8
    await store.close()


async def test_a_zombie_cuts_nothing_back_that_its_successor_uses(redis_url: str) -> None:
    """Another owner committed between an oversized commit and its cutting back: the hash is left to that owner."""
    store, zombie = RedisStore.for_stream(redis_url), RedisStore.for_stream(redis_url)

    async def successor_commits() -> None:
        assert await store.commit(SHARD, GROUP, 0, 1, effects(trend={"c0": 1e6}))

    read = zombie._client.hscan

    async def hscan(*arguments: object, **options: object) -> object:
        page = await read(*arguments, **options)  # type: ignore[arg-type]
        await successor_commits()
        return page

    zombie._client.hscan = hscan  # type: ignore[method-assign,assignment]
    sums = {SHARD_ITSELF: {f"c{n}": float(n) for n in range(20)}}
    assert await zombie.commit(SHARD, GROUP, None, 0, Effects([HashFloats(TREND, sums, Bound(10, slack=0))]))
    assert (await store.trend(SHARD, 99)).sums["c0"] == 1e6
    assert len((await store.trend(SHARD, 99)).sums) == 20
    await store.close()
    await zombie.close()
