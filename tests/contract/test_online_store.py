"""One contract, two stores: what holds for Redis holds for the in-memory store the other tests lean on."""

from __future__ import annotations

import asyncio
import math

import pytest

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.keys import ENGAGEMENT, TREND, Shard, Topology
from recsys.online_store import (
    AllActivity,
    CachedTop,
    Effects,
    Guard,
    Listed,
    ModelPointer,
    OnlineStore,
    Stop,
    Trending,
)
from recsys.online_store.operations import (
    SHARD_ITSELF,
    DeleteFields,
    Drop,
    Operation,
    PutValues,
    Read,
    ReadValues,
    ReadWhole,
    SortedSetUnmark,
)
from recsys.online_store.redis.store import RedisStore
from recsys.record import FOREVER_MS
from tests.doubles.effects import effects, scored, summed

GROUP = "g"
SHARD = Shard(0)


async def test_first_commit_expects_no_fence_and_moves_it(store: OnlineStore) -> None:
    assert await store.fence(Shard(3), GROUP) is None
    assert await store.commit(Shard(3), GROUP, None, 41, effects(engagement={"u": {"c": 1.5}}))
    assert await store.fence(Shard(3), GROUP) == 41
    assert (await store.user_states(Shard(3), ["u"]))[0].engagement == {"c": 1.5}


@pytest.mark.parametrize("expected", [None, 40, 42])
async def test_a_commit_behind_the_fence_changes_nothing(store: OnlineStore, expected: int | None) -> None:
    await store.commit(Shard(3), GROUP, None, 41, effects(engagement={"u": {"c": 1.5}}, trend={"c": 1.0}))
    late = effects(
        engagement={"u": {"c": 9.0}, "v": {"c": 1.0}},
        done={"u": ["c"]},
        trend={"c": 1.0},
        bots={"u": {"state": "bot"}},
        counts={"accepted": 1},
    )
    assert not await store.commit(Shard(3), GROUP, expected, 99, late)
    assert await store.fence(Shard(3), GROUP) == 41
    state, other = await store.user_states(Shard(3), ["u", "v"])
    assert (state.engagement, state.done, other.engagement) == ({"c": 1.5}, {}, {})
    assert (await store.records(Shard(3), "u"), await store.records(Shard(3), "v")) == ({"c": scored(1.5)}, {})
    assert (await store.trend(Shard(3), 5)).sums == {"c": 1.0}
    assert await store.counts(Shard(3)) == {}


async def test_of_two_racing_owners_exactly_one_commits(store: OnlineStore) -> None:
    await store.commit(SHARD, GROUP, None, 0, effects())
    results = await asyncio.gather(*(store.commit(SHARD, GROUP, 0, 1, effects(trend={"c": 1.0})) for _ in range(8)))
    assert sorted(results) == [False] * 7 + [True]
    assert (await store.trend(SHARD, 1)).sums == {"c": 1.0}


@pytest.mark.parametrize("value", [1e-300, 1e300, 0.1, -5.0, math.pi, 5e-324])
async def test_scores_and_sums_are_kept_to_the_last_bit(store: OnlineStore, value: float) -> None:
    await store.commit(SHARD, GROUP, None, 0, effects(engagement={"u": {"a": value, "b": -value}}))
    await store.commit(SHARD, GROUP, 0, 1, effects(trend={"t": value}))
    (state,) = await store.user_states(SHARD, ["u"])
    assert state.engagement == {"a": value, "b": -value}
    assert (await store.trend(SHARD, 5)).sums == {"t": value}


BYTES = [bytes(range(256)), b"", b"\0", "ü".encode()]


async def test_values_are_read_as_they_were_written_with_the_size_of_hashes_that_lack_one(store: OnlineStore) -> None:
    values = {"u": {f"f{n}": value for n, value in enumerate(BYTES)}, "v": {"f0": b"v"}}
    await store.commit(SHARD, GROUP, None, 0, Effects([PutValues("own", values), PutValues("own", {"": {"x": b"1"}})]))
    wanted = {"u": ["f3", "f0"], "v": ["f0", "f1"], "w": ["f0"]}
    state = await store.read_shard(SHARD, GROUP, [ReadValues("own", wanted), ReadWhole("own", ["u", "w"])])
    assert state.values["own"] == {
        "u": {"f3": BYTES[3], "f0": BYTES[0]}, "v": {"f0": b"v", "f1": None}, "w": {"f0": None}
    }  # fmt: skip
    assert state.sizes["own"] == {"v": 1, "w": 0}
    assert state.whole["own"] == {"u": values["u"], "w": {}}
    own: list[Read] = [ReadValues("own", {SHARD_ITSELF: ["x", "y"]}), ReadValues("none", {SHARD_ITSELF: ["x"]})]
    shard = await store.read_shard(SHARD, GROUP, own)
    assert shard.values == {"own": {"": {"x": b"1", "y": None}}, "none": {"": {"x": None}}}


async def test_what_was_read_later_is_taken_over(store: OnlineStore) -> None:
    await store.commit(SHARD, GROUP, None, 0, effects(engagement={"u": {"a": 1.0}}, trend={"t": 1.0, "s": 2.0}))
    state = await store.read_shard(SHARD, GROUP, [ReadValues(TREND, {SHARD_ITSELF: ["t"]})])
    later: list[Read] = [ReadValues(TREND, {SHARD_ITSELF: ["s"]}), ReadWhole(ENGAGEMENT, ["u"])]
    state.add(await store.read_shard(SHARD, GROUP, later))
    assert {course for course, found in state.values[TREND][SHARD_ITSELF].items() if found} == {"t", "s"}
    assert set(state.whole[ENGAGEMENT]["u"]) == {"a"}


async def test_fields_keys_and_marks_are_taken_away_again(store: OnlineStore) -> None:
    await store.commit(
        SHARD,
        GROUP,
        None,
        0,
        effects(engagement={user: {"a": 1.0, "b": 2.0} for user in "uvw"}, counts={"accepted": 1}),
    )
    await store.write_tops(SHARD, [(CachedTop("v", "v1", 5, ["a"], [1.0]), None)])
    gone: list[Operation] = [
        DeleteFields(ENGAGEMENT, {"u": ["a", "x"], "w": ["a", "b"]}),
        Drop(ENGAGEMENT, ["v"], indexed=True),
        Drop("top", ["v"]),
        SortedSetUnmark("dirty", ["v", "nobody"]),
    ]
    await store.commit(SHARD, GROUP, 0, 1, Effects(gone))
    states = await store.user_states(SHARD, ["u", "v", "w"])
    assert [state.engagement for state in states] == [{"b": 2.0}, {}, {}]
    assert [user async for user, _ in store.engagement(SHARD)] == ["u"]
    assert [user for user, _ in await store.dirty_users(SHARD, 9)] == ["u", "w"]
    assert (await store.listed(SHARD, "g", "v")).top is None


async def test_thousands_of_fields_are_written_read_and_deleted(store: OnlineStore) -> None:
    values = {f"f{n}": b"%d" % n for n in range(9001)}
    await store.commit(SHARD, GROUP, None, 0, Effects([PutValues("own", {"u": values})]))
    read = await store.read_shard(SHARD, GROUP, [ReadValues("own", {"u": values}), ReadWhole("own", ["u"])])
    assert (read.values["own"]["u"], read.whole["own"]["u"]) == (values, values)
    await store.commit(SHARD, GROUP, 0, 1, Effects([DeleteFields("own", {"u": list(values)[1:]})]))
    assert (await store.read_shard(SHARD, GROUP, [ReadWhole("own", ["u"])])).whole["own"]["u"] == {"f0": b"0"}


async def test_a_chunk_of_thousands_of_users_and_courses_is_applied_whole(store: OnlineStore) -> None:
    engagement = {f"u{u}": {f"c{c}": float(u * 7 + c) for c in range(3)} for u in range(4000)}
    trend = {f"c{c}": 0.5 + c for c in range(5000)}
    await store.commit(SHARD, GROUP, None, 0, effects(engagement=engagement, trend=trend, counts={"accepted": 12000}))
    states = await store.user_states(SHARD, list(engagement))
    assert {user: state.engagement for user, state in zip(engagement, states, strict=True)} == engagement
    assert (await store.trend(SHARD, 10_000)).sums == trend
    assert await store.counts(SHARD) == {"accepted": 12000}
    assert {user: sums async for user, sums in store.engagement(SHARD)} == engagement


@pytest.mark.parametrize(
    "user", ["a:b", "{s1}", "*", "u{", "u}", "}:eng:{", "u\r\nFLUSHALL\r\n", "ü 学习者", "x" * 128]
)
async def test_no_user_id_can_leave_its_key(store: OnlineStore, user: str) -> None:
    changes = effects(engagement={user: {"c:*": 1.0}}, done={user: ["c:*"]}, bots={user: {"features": "f"}})
    await store.commit(Shard(1), GROUP, None, 0, changes)
    await store.write_tops(Shard(1), [(CachedTop(user, "v1", 5, ["c:*"], [1.0]), None)])
    assert {u: dict(sums) async for u, sums in store.engagement(Shard(1))} == {user: {"c:*": 1.0}}
    found = await store.listed(Shard(1), "g", user)
    top, done = found.top, found.done
    assert top is not None
    assert (list(top.course_ids), done) == (["c:*"], {"c:*": FOREVER_MS})
    assert await store.listed(Shard(1), "g", user + "x") == Listed(None, {}, fence=found.fence)


async def test_a_cached_list_clears_the_mark_it_was_computed_for_and_no_later_one(store: OnlineStore) -> None:
    await store.commit(SHARD, GROUP, None, 10, effects(engagement={"u": {"c": 1.0}, "v": {"c": 1.0}}))
    assert list(await store.dirty_users(SHARD, 9)) == [("u", 10), ("v", 10)]
    await store.commit(SHARD, GROUP, 10, 11, effects(engagement={"u": {"c": 2.0}}))
    tops = [(CachedTop(user, "v1", 5, ["a", "b"], [2.0, 1.0]), 10) for user in ("u", "v")]
    await store.write_tops(SHARD, tops)
    assert list(await store.dirty_users(SHARD, 9)) == [("u", 11)]
    found = await store.listed(SHARD, "g", "v")
    top, done = found.top, found.done
    assert top == CachedTop("v", "v1", 5, ("a", "b"), (2.0, 1.0))
    assert done == {}


async def test_a_worker_that_stood_still_never_replaces_the_list_of_the_next_one(store: OnlineStore) -> None:
    """It read the state at mark 10; the next owner of the shard applied an event and answered it meanwhile."""
    await store.commit(SHARD, GROUP, None, 10, effects(engagement={"u": {"c": 1.0}, "v": {"c": 1.0}}))
    await store.commit(SHARD, GROUP, 10, 11, effects(engagement={"u": {"c": 2.0}, "v": {"c": 2.0}}))
    assert await store.write_tops(SHARD, [(CachedTop("u", "v1", 5, ["fresh"], [1.0]), 11)]) == 1
    late = [(CachedTop(user, "v1", 4, ["stale"], [1.0]), 10) for user in ("u", "v")]
    assert await store.write_tops(SHARD, late) == 1
    tops = [(await store.listed(SHARD, "g", user)).top for user in ("u", "v")]
    assert [top and tuple(top.course_ids) for top in tops] == [("fresh",), ("stale",)]
    assert list(await store.dirty_users(SHARD, 9)) == [("v", 11)]  # so v's list is computed again


async def test_a_slow_batch_job_never_replaces_a_fresher_list(store: OnlineStore) -> None:
    await store.commit(SHARD, GROUP, None, 10, effects(engagement={"u": {"c": 1.0}, "v": {"c": 1.0}}))
    await store.write_tops(SHARD, [(CachedTop("u", "v1", 5, ["fresh"], [1.0]), 10)])
    late = [(CachedTop(user, "v0", 4, ["stale"], [1.0]), 10) for user in ("u", "v")]
    await store.write_tops(SHARD, late, only_if_marked=True)
    tops = [(await store.listed(SHARD, "g", user)).top for user in ("u", "v")]
    assert [list(top.course_ids) for top in tops if top] == [["fresh"], ["stale"]]


async def test_dirty_users_come_longest_waiting_or_newest_first(store: OnlineStore) -> None:
    await store.commit(SHARD, GROUP, None, 10, effects(engagement={"old": {"c": 1.0}}))
    await store.commit(SHARD, GROUP, 10, 20, effects(engagement={"new": {"c": 1.0}}))
    assert [list(await store.dirty_users(SHARD, 1, newest=newest)) for newest in (False, True)] == [
        [("old", 10)],
        [("new", 20)],
    ]


async def test_who_waits_is_told_of_once_newest_and_oldest_with_how_many_there_are(store: OnlineStore) -> None:
    nobody = await store.waiting(SHARD, newest=2, oldest=2)
    assert (list(nobody.users), nobody.count, nobody.oldest_mark) == ([], 0, None)
    fence = None
    for mark in range(10, 15):
        await store.commit(SHARD, GROUP, fence, mark, effects(engagement={f"u{mark}": {"c": 1.0}}))
        fence = mark
    some = await store.waiting(SHARD, newest=2, oldest=1)
    assert (dict(some.users), some.count, some.oldest_mark) == ({"u14": 14, "u13": 13, "u10": 10}, 5, 10)
    everybody = await store.waiting(SHARD, newest=4, oldest=4)
    assert (len(everybody.users), everybody.count) == (5, 5)


async def test_a_worker_id_has_one_holder_at_a_time(store: OnlineStore) -> None:
    assert await store.hold_worker_id("w", "first", 60_000)
    assert await store.hold_worker_id("w", "first", 60_000)
    assert not await store.hold_worker_id("w", "second", 60_000)
    await store.release_worker_id("w", "second")
    assert not await store.hold_worker_id("w", "second", 60_000)
    await store.release_worker_id("w", "first")
    assert await store.hold_worker_id("w", "second", 60_000)


async def test_the_activity_of_courses_comes_back_as_written(store: OnlineStore) -> None:
    assert await store.all_activity() is None
    assert await store.activity(SHARD) == {}
    vectors = {f"c{n}": b"%08d" % n for n in range(2500)}
    values = {course: summed(1.0, vector) for course, vector in vectors.items()}
    await store.commit(SHARD, GROUP, None, 0, Effects([PutValues(TREND, {SHARD_ITSELF: values})]))
    merged = AllActivity(7, ("a", "ü"), b"\x00\xff" * 8)
    await store.write_all_activity(merged)
    assert await store.activity(SHARD) == vectors
    assert await store.all_activity() == merged


async def test_pointer_topology_and_trending_come_back_as_written(store: OnlineStore) -> None:
    assert (await store.model(), await store.topology(), await store.trending()) == (None, None, None)
    pointer, trending = ModelPointer("v2", "/models/v2", 7), Trending(9, ("a",), (1.5,))
    await store.publish_model(pointer, replacing=None)
    await store.write_trending(trending)
    assert await store.establish_topology(Topology(6)) == Topology(6)
    assert await store.establish_topology(Topology(4)) == Topology(6)
    assert (await store.model(), await store.topology(), await store.trending()) == (pointer, Topology(6), trending)
    await store.restore_model(ModelPointer("v1", "/models/v1", 6))
    assert await store.model() == pointer


async def test_a_lost_pointer_is_written_again(store: OnlineStore) -> None:
    pointer = ModelPointer("v1", "/models/v1", 6)
    await store.restore_model(pointer)
    assert await store.model() == pointer


async def test_the_topology_moves_only_from_where_it_was(store: OnlineStore) -> None:
    assert not await store.switch_topology(Topology(6), Topology(12, 1))
    assert await store.switch_topology(None, Topology(6))
    assert not await store.switch_topology(Topology(6, 1), Topology(12, 1))
    assert await store.switch_topology(Topology(6), Topology(12, 1))
    assert await store.topology() == Topology(12, 1)


async def test_a_topology_of_before_generations_is_generation_0(redis_url: str) -> None:
    store = RedisStore.for_stream(redis_url)
    await store._client.set("recsys:topology", '{"partitions":6}')
    assert await store.switch_topology(Topology(6, state_format=1), Topology(6, 1))
    await store.close()


async def test_a_dropped_shard_leaves_the_others(store: OnlineStore) -> None:
    for shard in (3, 33, 10_003):
        await store.commit(Shard(shard), GROUP, None, 1, effects(engagement={"u": {"c": 1.0}}, counts={"accepted": 1}))
    await store.drop_shards([Shard(3)])
    assert [await store.fence(Shard(shard), GROUP) for shard in (3, 33, 10_003)] == [None, 1, 1]
    assert (await store.user_states(Shard(3), ["u"]))[0].engagement == {}
    assert await store.counts(Shard(33)) == {"accepted": 1}


async def test_starts_are_counted_at_one_fence_and_an_orderly_end_is_none(store: OnlineStore) -> None:
    assert await store.begin(SHARD, GROUP) == (None, Guard(starts=1))
    assert await store.begin(SHARD, GROUP) == (None, Guard(starts=2))
    assert await store.begin(SHARD, "other") == (None, Guard(starts=1))
    await store.commit(SHARD, GROUP, None, 7, effects())
    assert await store.begin(SHARD, GROUP) == (7, Guard(starts=1))
    assert (await store.begin(SHARD, GROUP))[1].starts == 2
    await store.end(SHARD, GROUP)
    assert (await store.begin(SHARD, GROUP))[1].starts == 1


async def test_the_attempts_of_a_record_are_counted_until_another_is_begun(store: OnlineStore) -> None:
    tries = [await store.count_attempt(SHARD, GROUP, offset) for offset in (5, 5, 5, 6, 5)]
    assert tries == [1, 2, 3, 1, 1]
    assert (await store.guard(SHARD, GROUP)).attempted == 5


async def test_what_a_rebuild_leaves_behind_is_remembered(store: OnlineStore) -> None:
    for offset in (9, 7, 9):
        await store.quarantine(SHARD, GROUP, offset)
    await store.set_rebuilt_until(SHARD, GROUP, 12)
    assert await store.guard(SHARD, GROUP) == Guard(quarantined=(7, 9), rebuilt_until=12)


async def test_a_stop_stands_until_an_operator_says_otherwise(store: OnlineStore) -> None:
    stop = Stop(41, "too many", 9)
    await store.stop_partition(Shard(2), GROUP, stop)
    assert await store.begin(Shard(2), GROUP) == (None, Guard(starts=1, stop=stop))
    await store.resume_partition(Shard(2), GROUP, refusals_until=99)
    assert await store.guard(Shard(2), GROUP) == Guard(starts=1, refusals_until=99)
    gone = Stop(120, "deleted", 10, log_start=130)
    await store.stop_partition(Shard(2), GROUP, gone)
    assert await store.guard(Shard(2), GROUP) == Guard(starts=1, refusals_until=99, stop=gone)
    await store.resume_partition(Shard(2), GROUP, expired_until=130)
    assert await store.guard(Shard(2), GROUP) == Guard(starts=1, refusals_until=99, expired_until=130)


async def test_a_list_stored_under_another_users_key_is_not_handed_out(redis_url: str) -> None:
    store = RedisStore.for_stream(redis_url)
    await store.write_tops(SHARD, [(CachedTop("victim", "v1", 5, ["secret"], [1.0]), None)])
    await store._client.rename("recsys:{s0}:top:victim", "recsys:{s0}:top:other")
    assert await store.listed(SHARD, "g", "other") == Listed(None, {})
    await store._client.set("recsys:{s0}:top:other", b"\xc1garbage")
    assert await store.listed(SHARD, "g", "other") == Listed(None, {})
    await store.close()


async def test_a_dead_redis_is_named_and_not_waited_for() -> None:
    store = RedisStore.for_serving("redis://127.0.0.1:1/0", timeout_ms=50)
    with pytest.raises(ServiceUnavailable, match="no answer from Redis"):
        await store.ping()
    await store.close()


@pytest.mark.parametrize("url", ["foo", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_an_address_that_is_none_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_URL: expected redis://.*host"):
        RedisStore.for_stream(url)
