"""What is published, and that no list of another model survives: one contract for Redis and the in-memory store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from recsys.errors import UnreadableState
from recsys.keys import Shard
from recsys.online_store import CachedTop, ModelPointer, OnlineStore
from recsys.online_store.packing import pack_top
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects

GROUP = "g"
SHARDS = [Shard(0), Shard(1)]
OLD, NEW, NEWEST = (ModelPointer(f"v{n}", f"/models/v{n}", n) for n in (1, 2, 3))
USERS = [f"u{n}" for n in range(40)]


async def engage(store: OnlineStore, shard: Shard, users: Sequence[str], offset: int = 10) -> None:
    fence = await store.fence(shard, GROUP)
    assert await store.commit(shard, GROUP, fence, offset, effects(engagement={user: {"c": 1.0} for user in users}))


async def publish(store: OnlineStore, pointer: ModelPointer) -> None:
    """Moves the pointer and every copy, as a publisher does."""
    assert await store.publish_model(pointer, replacing=await store.model())
    assert await store.sync_publication(SHARDS) == pointer


def lists(users: Sequence[str], version: str, mark: int | None = 10) -> list[tuple[CachedTop, int | None]]:
    return [(CachedTop(user, version, 5, ["c"], [1.0]), mark) for user in users]


async def versions(store: OnlineStore, shard: Shard, users: Sequence[str]) -> list[str | None]:
    tops = [(await store.listed(shard, "g", user)).top for user in users]
    return [None if top is None else top.model_version for top in tops]


async def test_the_pointer_moves_from_where_it_was_and_the_one_before_is_the_previous(store: OnlineStore) -> None:
    assert (await store.model(), await store.previous_model()) == (None, None)
    assert await store.publish_model(OLD, replacing=None)
    assert (await store.model(), await store.previous_model()) == (OLD, None)
    assert await store.publish_model(NEW, replacing=OLD)
    assert (await store.model(), await store.previous_model()) == (NEW, OLD)


async def test_a_publisher_that_lost_the_race_changes_nothing(store: OnlineStore) -> None:
    await store.publish_model(OLD, replacing=None)
    await store.publish_model(NEW, replacing=OLD)
    assert not await store.publish_model(NEWEST, replacing=OLD)
    assert not await store.publish_model(NEWEST, replacing=None)
    assert (await store.model(), await store.previous_model()) == (NEW, OLD)


async def test_of_many_publishers_one_wins(store: OnlineStore) -> None:
    await store.publish_model(OLD, replacing=None)
    candidates = [ModelPointer(f"c{n}", f"/models/c{n}", n) for n in range(8)]
    won = await asyncio.gather(*(store.publish_model(candidate, replacing=OLD) for candidate in candidates))
    assert sorted(won) == [False] * 7 + [True]
    assert await store.model() == candidates[won.index(True)]
    assert await store.previous_model() == OLD


class HeldUp(RedisStore):
    """A publisher that is overtaken after it read the pointer."""

    async def _value(self, key: str) -> bytes | None:
        value = await super()._value(key)
        await self._client.set(key, b'{"version":"v2","path":"/models/v2","published_at_ms":2}')
        return value


async def test_a_publisher_overtaken_between_reading_and_writing_changes_nothing(redis: RedisStore) -> None:
    await redis.publish_model(OLD, replacing=None)
    assert not await HeldUp(redis._client).publish_model(NEWEST, replacing=OLD)
    assert (await redis.model(), await redis.previous_model()) == (NEW, None)


async def test_a_pointer_that_was_lost_may_be_replaced_and_is_restored_over_nothing_only(store: OnlineStore) -> None:
    assert await store.publish_model(NEW, replacing=OLD)
    await store.restore_model(OLD)
    assert await store.model() == NEW


async def test_a_worker_with_the_old_model_cannot_overwrite_a_new_list(store: OnlineStore) -> None:
    """The publisher has written its lists; a worker that ranked before the publish writes after it."""
    await engage(store, SHARDS[0], USERS)
    await publish(store, OLD)
    await publish(store, NEW)
    assert await store.write_tops(SHARDS[0], lists(USERS, NEW.version), only_if_marked=True) == 40
    assert await store.write_tops(SHARDS[0], lists(USERS, OLD.version)) == 0
    assert await versions(store, SHARDS[0], USERS) == [NEW.version] * 40


async def test_a_refused_list_leaves_its_learner_marked(store: OnlineStore) -> None:
    await engage(store, SHARDS[0], USERS)
    await publish(store, NEW)
    await store.write_tops(SHARDS[0], [*lists(USERS[:20], OLD.version), *lists(USERS[20:], NEW.version)])
    assert sorted(user for user, _ in await store.dirty_users(SHARDS[0], 99)) == sorted(USERS[:20])
    assert await versions(store, SHARDS[0], [USERS[0], USERS[39]]) == [None, NEW.version]


async def test_before_anything_was_published_any_list_is_taken(store: OnlineStore) -> None:
    assert await store.sync_publication(SHARDS) is None
    assert await store.write_tops(SHARDS[0], lists(["u"], "v0", None)) == 1
    assert await store.drop_outdated_lists(SHARDS[0]) == 0


async def test_lists_of_another_model_are_deleted_and_their_learners_marked(store: OnlineStore) -> None:
    await engage(store, SHARDS[0], USERS)
    await engage(store, SHARDS[1], ["other"])
    await publish(store, OLD)
    for shard, users in ((SHARDS[0], USERS), (SHARDS[1], ["other"])):
        await store.write_tops(shard, lists(users, OLD.version))
    await publish(store, NEW)
    await engage(store, SHARDS[0], USERS[:5], offset=11)
    await store.write_tops(SHARDS[0], lists(USERS[5:10], NEW.version, None))
    assert await store.drop_outdated_lists(SHARDS[0]) == 35
    assert await versions(store, SHARDS[0], USERS) == [None] * 5 + [NEW.version] * 5 + [None] * 30
    marks = dict(await store.dirty_users(SHARDS[0], 99))
    assert marks == dict.fromkeys(USERS[:5], 11) | dict.fromkeys(USERS[10:], 0)  # an event's mark stays that event's
    assert await versions(store, SHARDS[1], ["other"]) == [OLD.version]
    assert await store.drop_outdated_lists(SHARDS[0]) == 0


async def test_after_a_rollback_the_lists_of_the_withdrawn_model_go(store: OnlineStore) -> None:
    back = ModelPointer(OLD.version, OLD.path, 4)
    await engage(store, SHARDS[0], USERS)
    await publish(store, OLD)
    await publish(store, NEW)
    await store.write_tops(SHARDS[0], lists(USERS, NEW.version))
    await publish(store, back)
    assert await store.write_tops(SHARDS[0], lists(USERS, NEW.version, None)) == 0
    assert await store.drop_outdated_lists(SHARDS[0]) == 40
    assert await store.write_tops(SHARDS[0], lists(USERS, OLD.version, 0)) == 40


WRITE_TOPS_OF_D1A576B = """
local tag, ttl, only_if_marked = ARGV[1], ARGV[2], ARGV[3] == '1'
for i = 4, #ARGV, 3 do
  local user, mark = ARGV[i], ARGV[i + 1]
  local stands = mark ~= '' and tonumber(redis.call('ZSCORE', KEYS[1], user) or '-1') == tonumber(mark)
  if stands or not only_if_marked then redis.call('SET', tag .. ':top:' .. user, ARGV[i + 2], 'EX', ttl) end
  if stands then redis.call('ZREM', KEYS[1], user) end
end
return 1
"""


async def test_what_a_worker_of_the_release_before_writes_is_recognised_and_replaced(redis: RedisStore) -> None:
    """It compares nothing: its list of the old model stands, its mark is gone, until the shard is gone through."""
    await engage(redis, SHARDS[0], USERS)
    await publish(redis, NEW)
    write = redis._client.register_script(WRITE_TOPS_OF_D1A576B)
    for top, mark in lists(USERS, OLD.version):
        await write(keys=["recsys:{s0}:dirty"], args=["recsys:{s0}", 60, 0, top.user_id, str(mark), pack_top(top)])
    assert await versions(redis, SHARDS[0], USERS) == [OLD.version] * 40
    assert await redis.dirty_users(SHARDS[0], 99) == []
    assert await redis.drop_outdated_lists(SHARDS[0]) == 40
    assert await versions(redis, SHARDS[0], USERS) == [None] * 40
    assert len(await redis.dirty_users(SHARDS[0], 99)) == 40


async def test_a_shard_of_a_new_generation_gets_its_copy(store: OnlineStore) -> None:
    await publish(store, NEW)
    later = Shard(10_000)
    assert await store.write_tops(later, lists(["u"], OLD.version, None)) == 1
    assert await store.sync_publication([later]) == NEW
    assert await store.write_tops(later, lists(["u"], OLD.version, None)) == 0


async def test_a_copy_that_moved_on_is_not_set_back_by_one_that_was_held_up(redis: RedisStore) -> None:
    """A worker reads the copy and the pointer, sleeps, and wakes up after two publications."""
    await publish(redis, OLD)
    (copy,) = await redis._copies([SHARDS[0]])
    stale = json.dumps({"version": "v1.5", "path": "", "published_at_ms": 1}).encode()
    await publish(redis, NEW)
    await publish(
        redis, ModelPointer(OLD.version, OLD.path, 4)
    )  # a rollback: the same version, not the same publication
    assert not await redis._copy(SHARDS[0], copy, stale)
    assert await redis._copies([SHARDS[0]]) == [b'{"version":"v1","path":"/models/v1","published_at_ms":4}']


async def test_a_copy_that_is_ahead_of_a_restored_snapshot_follows_the_pointer_back(redis: RedisStore) -> None:
    await publish(redis, NEW)
    await redis._client.set("recsys:model:current", b'{"version":"v1","path":"/models/v1","published_at_ms":1}')
    assert await redis.sync_publication(SHARDS) == OLD
    assert await redis.write_tops(SHARDS[0], lists(["u"], OLD.version, None)) == 1


@pytest.mark.parametrize("junk", [b"", b"not json", b"[1]", b'{"version":7}', b'"v2"'])
async def test_lists_are_refused_while_a_copy_cannot_be_read_and_its_next_synchronization_mends_it(
    redis: RedisStore, junk: bytes
) -> None:
    await publish(redis, NEW)
    await redis._client.set("recsys:{s0}:model", junk)
    assert await redis.write_tops(SHARDS[0], lists(["u"], NEW.version, None)) == 0
    assert await redis.sync_publication(SHARDS) == NEW
    assert await redis.write_tops(SHARDS[0], lists(["u"], NEW.version, None)) == 1


async def test_a_copy_of_another_type_is_mended_too(redis: RedisStore) -> None:
    await publish(redis, NEW)
    await redis._client.delete("recsys:{s0}:model")
    await redis._client.rpush("recsys:{s0}:model", "x")
    assert await redis.write_tops(SHARDS[0], lists(["u"], NEW.version, None)) == 0
    assert await redis.sync_publication(SHARDS) == NEW
    assert await redis.write_tops(SHARDS[0], lists(["u"], NEW.version, None)) == 1


async def test_what_is_no_list_is_deleted_as_an_outdated_one(redis: RedisStore) -> None:
    await engage(redis, SHARDS[0], ["garbage", "hash", "good"])
    await publish(redis, NEW)
    await redis.write_tops(SHARDS[0], lists(["good"], NEW.version))
    await redis._client.set("recsys:{s0}:top:garbage", b"\xc1\xff")
    await redis._client.hset("recsys:{s0}:top:hash", "a", "b")
    assert await redis.drop_outdated_lists(SHARDS[0]) == 2
    assert await versions(redis, SHARDS[0], ["garbage", "hash", "good"]) == [None, None, NEW.version]


@pytest.mark.parametrize("user", ["ü" * 128, "x" * 255, "", "a:b{c}"])
async def test_the_version_is_read_behind_any_user_id(redis: RedisStore, user: str) -> None:
    await engage(redis, SHARDS[0], [user])
    await publish(redis, NEW)
    await redis.write_tops(SHARDS[0], lists([user], NEW.version))
    assert await redis.drop_outdated_lists(SHARDS[0]) == 0
    await publish(redis, NEWEST)
    assert await redis.drop_outdated_lists(SHARDS[0]) == 1


@pytest.mark.parametrize("value", [b"", b"junk", b"\xff\xfe", b"[]", b'{"version":1,"path":"p","published_at_ms":1}'])
async def test_a_pointer_that_cannot_be_read_is_named_and_replaced_only_on_purpose(
    redis: RedisStore, value: bytes
) -> None:
    await redis._client.set("recsys:model:current", value)
    for reading in (redis.model(), redis.sync_publication(SHARDS), redis.publish_model(NEW, replacing=None)):
        with pytest.raises(
            UnreadableState, match=r"'recsys:model:current' holds no model pointer; `recsys models roll"
        ):
            await reading
    assert await redis.publish_model(NEW, replacing=None, over_unreadable=True)
    assert (await redis.model(), await redis.previous_model()) == (NEW, None)


async def test_a_pointer_of_another_type_and_one_of_a_newer_release_are_unreadable_too(redis: RedisStore) -> None:
    await redis._client.rpush("recsys:model:current", "x")
    with pytest.raises(UnreadableState, match="is of another type"):
        await redis.model()
    assert await redis.publish_model(NEW, replacing=None, over_unreadable=True)
    await redis._client.set("recsys:model:current", b'{"version":"v9","path":"p","published_at_ms":9,"format":2}')
    with pytest.raises(UnreadableState, match=r"newer release \(format 2\); upgrade this process"):
        await redis.model()


async def test_the_pointer_is_read_and_written_as_the_release_before_does(redis: RedisStore) -> None:
    await redis._client.set(
        "recsys:model:current", b'{"version":"v1","path":"/models/v1","published_at_ms":1,"more":[]}'
    )
    assert await redis.model() == OLD
    assert await redis.publish_model(NEW, replacing=OLD)
    stored = json.loads(await redis._client.get("recsys:model:current") or b"")
    assert {name: stored[name] for name in ("version", "path", "published_at_ms")} == {
        "version": "v2",
        "path": "/models/v2",
        "published_at_ms": 2,
    }


class Overtaken(RedisStore):
    """Stands still right after it read the pointer, while somebody else publishes."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def _value(self, key: str) -> bytes | None:
        value = await super()._value(key)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return value


async def test_who_was_held_up_with_an_old_pointer_takes_no_copy_back_to_it(redis: RedisStore, redis_url: str) -> None:
    assert await redis.publish_model(OLD, replacing=None)  # and died before the copies
    late = Overtaken.for_stream(redis_url)
    assert isinstance(late, Overtaken)
    late.meanwhile = partial(publish, redis, NEW)
    assert await late.sync_publication(SHARDS) == NEW
    for shard in SHARDS:
        assert await redis.write_tops(shard, lists(["u"], OLD.version, None)) == 0
    await late.close()
