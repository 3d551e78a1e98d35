"""What is told of how fresh a cached list is never claims an event that the list does not contain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from recsys.keys import MERGED, KeySpace, Shard
from recsys.online_store import CachedTop, Effects, OnlineStore, Waiting
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import SHARD_ITSELF, PutValues
from recsys.online_store.packing import pack_top
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects

SHARD, GROUP = Shard(0), "g"
USERS = ("u", "v")


async def event(store: OnlineStore, user: str, offset: int) -> None:
    """The event at an offset: a course of the same name in the learner's records."""
    changes = effects(engagement={user: {f"c{offset}": 1.0}})
    assert await store.commit(SHARD, GROUP, await store.fence(SHARD, GROUP), offset, changes)


async def write(store: OnlineStore, user: str, *, mark: int | None, included: int | None) -> None:
    await store.write_tops(SHARD, [(CachedTop(user, "v1", 5, ("a",), (1.0,), included), mark)])


async def test_a_list_that_is_not_out_of_date_is_that_of_the_fence(store: OnlineStore) -> None:
    await event(store, "u", 7)
    await write(store, "u", mark=7, included=7)
    await event(store, "v", 9)
    listed = await store.listed(SHARD, GROUP, "u")
    assert (listed.fence, listed.marked, listed.included_offset) == (9, False, 9)


@pytest.mark.parametrize("included", [7, None])
async def test_a_list_that_is_out_of_date_contains_what_its_writer_said(
    store: OnlineStore, included: int | None
) -> None:
    await event(store, "u", 7)
    await write(store, "u", mark=7, included=included)
    await event(store, "u", 8)
    listed = await store.listed(SHARD, GROUP, "u")
    assert (listed.fence, listed.marked, listed.included_offset) == (8, True, included)


async def test_without_a_list_the_fence_alone_is_known(store: OnlineStore) -> None:
    assert await store.listed(SHARD, GROUP, "u") == await store.listed(SHARD, GROUP, "v")
    await event(store, "u", 7)
    listed = await store.listed(SHARD, GROUP, "u")
    assert (listed.top, listed.fence, listed.marked, listed.included_offset) == (None, 7, True, None)


async def test_the_list_of_a_merged_learner_says_nothing_about_their_events(store: OnlineStore) -> None:
    await event(store, "u", 7)
    await write(store, "u", mark=7, included=7)
    merged = Effects([PutValues(MERGED, {SHARD_ITSELF: {"u": b"1 1 v"}})])
    assert await store.commit(SHARD, GROUP, 7, 8, merged)
    listed = await store.listed(SHARD, GROUP, "u")
    assert (listed.merged, listed.included_offset) == (True, None)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from(USERS)),
        st.tuples(st.just("read"), st.integers(0, 1)),
        st.tuples(st.just("write"), st.integers(0, 1)),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_interleaving_of_commits_and_two_workers_claims_an_event_that_is_not_on_the_list(
    steps: list[tuple[str, str | int]],
) -> None:
    """Two workers as `stream.engagement.refresh` works, one of which may stand still between its read and its write."""

    async def scenario() -> None:
        store, held, offset = MemoryStore(), dict[int, list[tuple[CachedTop, int | None]]](), 0
        happened: dict[str, list[int]] = {user: [] for user in USERS}
        for step, of in steps:
            if step == "event":
                offset += 3
                await event(store, str(of), offset)
                happened[str(of)].append(offset)
            elif step == "read":
                waiting = await store.waiting(SHARD, newest=1, oldest=1)
                held[int(of)] = await ranked(store, waiting)
            else:
                await store.write_tops(SHARD, held.pop(int(of), []))
            for user in USERS:
                listed = await store.listed(SHARD, GROUP, user)
                claimed = {f"c{at}" for at in happened[user] if at <= (listed.included_offset or 0)}
                assert claimed <= set(() if listed.top is None else listed.top.course_ids)

    asyncio.run(scenario())


async def ranked(store: MemoryStore, waiting: Waiting) -> list[tuple[CachedTop, int | None]]:
    users = [user for user, _ in waiting.users]
    states = await store.user_states(SHARD, users)
    included = max((mark for _, mark in waiting.users), default=None)
    return [
        (CachedTop(user, "v1", 5, tuple(state.engagement), (1.0,) * len(state.engagement), included), mark)
        for (user, mark), state in zip(waiting.users, states, strict=True)
    ]


class EarlierForm(msgspec.Struct, array_like=True, frozen=True):
    """A cached list as releases without `included_offset` pack it and read it."""

    user_id: str
    model_version: str
    computed_at_ms: int
    course_ids: tuple[str, ...]
    scores: bytes


async def test_lists_of_an_earlier_release_are_read_and_an_earlier_release_reads_new_ones(redis_url: str) -> None:
    store = RedisStore.for_stream(redis_url)
    new = msgspec.msgpack.decode(pack_top(CachedTop("u", "v1", 5, ("a",), (1.0,), 7)), type=EarlierForm)
    assert (new.user_id, new.course_ids) == ("u", ("a",))
    await event(store, "u", 7)
    with redis.Redis.from_url(redis_url) as client:
        client.set(KeySpace().top(SHARD, "u"), msgspec.msgpack.encode(new))
        listed = await store.listed(SHARD, GROUP, "u")
        assert listed.top == CachedTop("u", "v1", 5, ("a",), (1.0,), None)
        assert listed.included_offset is None
        client.zrem(KeySpace().dirty(SHARD), "u")
    assert (await store.listed(SHARD, GROUP, "u")).included_offset == 7
    await store.close()


@pytest.mark.parametrize("broken", ["fence", "dirty", "merged"])
async def test_a_list_is_handed_out_though_its_freshness_cannot_be_read(redis_url: str, broken: str) -> None:
    store, keys = RedisStore.for_stream(redis_url), KeySpace()
    await event(store, "u", 7)
    await write(store, "u", mark=7, included=5)
    spoilt: Mapping[str, str] = {
        "fence": keys.fence(SHARD, GROUP),
        "dirty": keys.dirty(SHARD),
        "merged": keys.merged(SHARD),
    }
    with redis.Redis.from_url(redis_url) as client:
        client.delete(spoilt[broken])
        client.lpush(spoilt[broken], "x")
    listed = await store.listed(SHARD, GROUP, "u")
    assert listed.top is not None
    assert (listed.fence, listed.included_offset) == (None, 5)
    await store.close()


async def test_a_fence_that_is_none_is_as_if_there_was_none(redis_url: str) -> None:
    store = RedisStore.for_stream(redis_url)
    await event(store, "u", 7)
    with redis.Redis.from_url(redis_url) as client:
        client.set(KeySpace().fence(SHARD, GROUP), "seven")
    listed = await store.listed(SHARD, GROUP, "u")
    assert (listed.fence, listed.included_offset) == (None, None)
    await store.close()


async def test_a_user_without_the_newer_rights_is_served_lists_all_the_same(redis_url: str) -> None:
    """As an API of before `after_offset` was given them: it says less, and works."""
    store = RedisStore.for_stream(redis_url)
    await event(store, "u", 7)
    await write(store, "u", mark=None, included=5)
    await store.close()
    with redis.Redis.from_url(redis_url) as admin:
        rights = [f"+{command}" for command in ("get", "hgetall", "select", "ping", "multi", "exec")]
        admin.acl_setuser("of-before", enabled=True, passwords=["+secret"], commands=rights, keys=["recsys:*"])
        limited = RedisStore.for_stream(redis_url.replace("redis://", "redis://of-before:secret@"))
        try:
            listed = await limited.listed(SHARD, GROUP, "u")
        finally:
            await limited.close()
            admin.acl_deluser("of-before")
    assert listed.top is not None
    assert (listed.fence, listed.included_offset) == (None, 5)
