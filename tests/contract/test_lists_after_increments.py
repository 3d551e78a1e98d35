"""After an increment older lists of its line stay, and are ranked anew in turn: one contract for Redis and memory."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from recsys.errors import UnreadableState
from recsys.keys import Shard
from recsys.online_store import CachedTop, Line, ModelPointer, OnlineStore
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects

SHARD = Shard(0)
RETRAIN = ModelPointer("r", "/models/r", 1)
USERS = [f"u{n}" for n in range(40)]
BEHIND = 3


async def publish(store: OnlineStore, pointer: ModelPointer) -> ModelPointer:
    assert await store.publish_model(pointer, replacing=await store.model())
    assert await store.sync_publication([SHARD]) == pointer
    return pointer


async def increment(store: OnlineStore, most: int = BEHIND) -> ModelPointer:
    """Publishes an increment of what is published."""
    before = await store.model()
    assert before is not None
    at_ms = before.published_at_ms + 1
    return await publish(store, ModelPointer(f"v{at_ms}", "/models/v", at_ms, before.line_after(most)))


async def rank(store: OnlineStore, users: Sequence[str], version: str) -> int:
    return await store.write_tops(SHARD, [(CachedTop(user, version, 5, ["c"], [1.0]), None) for user in users])


async def with_lists(store: OnlineStore, users: Sequence[str], *, mark: int = 10) -> None:
    """Learners with a list of the retrain, and no marks."""
    await publish(store, RETRAIN)
    assert await store.commit(SHARD, "g", None, mark, effects(engagement={user: {"c": 1.0} for user in users}))
    tops = [(CachedTop(user, RETRAIN.version, 5, ["c"], [1.0]), mark) for user in users]
    assert await store.write_tops(SHARD, tops) == len(users)
    assert await marks(store) == {}


async def versions(store: OnlineStore, users: Sequence[str]) -> list[str | None]:
    tops = [(await store.listed(SHARD, "g", user)).top for user in users]
    return [None if top is None else top.model_version for top in tops]


async def marks(store: OnlineStore) -> dict[str, int]:
    return dict(await store.dirty_users(SHARD, 10_000))


async def mark_due(store: OnlineStore, line: Line | None) -> int:
    assert line is not None
    return sum([marked async for marked in store.mark_due_lists(SHARD, line)])


async def test_after_an_increment_the_lists_before_it_stay_and_nobody_is_marked(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    for _ in range(BEHIND):
        await increment(store)
        assert await store.drop_outdated_lists(SHARD) == 0
    assert (await versions(store, USERS), await marks(store)) == (["r"] * 40, {})


async def test_no_list_of_a_model_before_is_written_though_lists_of_it_are_served(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    newest = await increment(store)
    assert await rank(store, USERS, RETRAIN.version) == 0
    assert await rank(store, USERS, newest.version) == 40


async def test_lists_too_far_behind_go_as_after_any_publication(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    await increment(store)
    await rank(store, USERS[:10], "v2")
    for _ in range(BEHIND):
        await increment(store)
    assert await store.drop_outdated_lists(SHARD) == 30
    assert await versions(store, USERS) == ["v2"] * 10 + [None] * 30
    assert await marks(store) == dict.fromkeys(USERS[10:], 0)


@pytest.mark.parametrize(
    "back_to", [RETRAIN, ModelPointer("v2", "/models/v", 2), ModelPointer("new", "/models/new", 9)]
)
async def test_what_is_taken_back_and_what_a_retrain_replaces_survives_nowhere(
    store: OnlineStore, back_to: ModelPointer
) -> None:
    """Neither right after it nor after the increments that follow."""
    await with_lists(store, USERS)
    for at, version in enumerate(("v2", "v3"), start=1):
        await increment(store)
        await rank(store, USERS[10 * at : 10 * at + 10], version)
    await publish(store, ModelPointer(back_to.version, back_to.path, 10))
    await store.drop_outdated_lists(SHARD)
    expected = [version if version == back_to.version else None for version in ["r"] * 10 + ["v2"] * 10 + ["v3"] * 10]
    assert (await versions(store, USERS))[:30] == expected
    assert len(await marks(store)) == (await versions(store, USERS)).count(None)
    assert (await increment(store)).line == Line((back_to.version,), 1, BEHIND)
    assert await store.drop_outdated_lists(SHARD) == 0
    assert await rank(store, USERS, "v3") == 0


async def test_each_learner_who_does_nothing_is_due_once_in_so_many_increments(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    due = []
    for _ in range(3 * BEHIND):
        published = await increment(store)
        assert await store.drop_outdated_lists(SHARD) == 0
        assert await mark_due(store, published.line) == len(await marks(store))
        assert None not in await versions(store, USERS)  # what is due is served until it is replaced
        due.append(await marks(store))
        tops = [(CachedTop(user, published.version, 5, ["c"], [1.0]), mark) for user, mark in due[-1].items()]
        assert await store.write_tops(SHARD, tops) == len(tops)
    assert sorted(user for each in due for user in each) == sorted(3 * USERS)
    assert all(4 <= len(each) <= 24 for each in due)


async def test_what_was_not_marked_in_turn_is_due_with_the_last_increment_that_serves_it(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    for _ in range(BEHIND):
        published = await increment(store)
    assert await mark_due(store, published.line) == 40


async def test_the_mark_of_an_event_stays_that_events(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    await store.commit(SHARD, "g", 10, 11, effects(engagement={user: {"c": 2.0} for user in USERS}))
    published = await increment(store, most=1)
    assert await mark_due(store, published.line) == 0
    assert set((await marks(store)).values()) == {11}


async def test_after_a_rollback_nobody_is_due_for_the_increment_of_before(store: OnlineStore) -> None:
    await with_lists(store, USERS)
    published = await increment(store, most=1)
    await publish(store, ModelPointer("r", "/models/r", 9))
    assert await mark_due(store, published.line) == 0


async def test_of_5000_learners_an_increment_has_one_in_twelve_ranked_instead_of_all(redis: RedisStore) -> None:
    users = [f"user-{n}" for n in range(5000)]
    await with_lists(redis, users)
    published = await increment(redis, most=12)
    await redis.drop_outdated_lists(SHARD)
    assert await mark_due(redis, published.line) == 407  # before: every one of them
    assert len(await marks(redis)) == 407
    await publish(redis, ModelPointer("as before", "/models", 9))
    assert await redis.drop_outdated_lists(SHARD) == 5000


async def test_what_is_no_list_is_never_due(redis: RedisStore) -> None:
    await with_lists(redis, ["garbage", "hash", "good"])
    published = await increment(redis, most=1)
    await redis._client.set("recsys:{s0}:top:garbage", b"\xc1\xff")
    await redis._client.delete("recsys:{s0}:top:hash")
    await redis._client.hset("recsys:{s0}:top:hash", "a", "b")
    assert await mark_due(redis, published.line) == 1
    assert set(await marks(redis)) == {"good"}


async def test_the_release_before_reads_the_pointer_of_an_increment(redis: RedisStore) -> None:
    """It passes over what it does not know, and replaces every list; so does what it publishes."""
    await publish(redis, RETRAIN)
    assert json.loads(await redis._client.get("recsys:model:current") or b"") == {
        "version": "r",
        "path": "/models/r",
        "published_at_ms": 1,
    }
    published = await increment(redis)
    stored = json.loads(await redis._client.get("recsys:model:current") or b"")
    assert stored.pop("line") == {"versions": ["r"], "number": 1, "most": BEHIND}
    assert stored == {"version": "v2", "path": "/models/v", "published_at_ms": 2}
    assert await redis.model() == published


@pytest.mark.parametrize("line", ['{"versions":["r"],"number":1,"most":0}', '{"versions":"r"}', "[]", "7"])
async def test_a_pointer_with_a_line_that_is_none_is_unreadable(redis: RedisStore, line: str) -> None:
    value = f'{{"version":"v","path":"p","published_at_ms":1,"line":{line}}}'
    await redis._client.set("recsys:model:current", value)
    with pytest.raises(UnreadableState, match="holds no model pointer"):
        await redis.model()
