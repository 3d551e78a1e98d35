"""The rights that docs/services.md lists are enough for everything that is asked of Redis."""

from __future__ import annotations

import re
from pathlib import Path

import redis

from recsys.keys import DIRTY, DONE, ENGAGEMENT, TOP, Shard, Topology
from recsys.online_store import CachedTop, Effects, ModelPointer, Stop, Trending
from recsys.online_store.operations import DeleteFields, Drop, Operation, ReadWhole, SortedSetUnmark
from recsys.online_store.redis.store import RedisStore
from tests.doubles.effects import effects

SHARD, GROUP = Shard(0), "g"
PAGE = Path("docs/services.md").read_text(encoding="utf-8").partition("## Rights in Redis")[2]


def listed() -> tuple[list[str], list[str]]:
    """Key patterns and commands of the page."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    patterns = re.findall(r"`([^`]+)`", PAGE.partition(", on the keys ")[2].partition(":\n")[0])
    commands = [
        command.replace("\\|", "|")
        for row in rows
        for part in re.findall(r"`([^`]+)`", row)
        for command in part.split()
    ]
    return patterns, [command for command in commands if command.isupper()]


async def test_they_are_enough(redis_url: str) -> None:
    patterns, commands = listed()
    assert {"HSET", "SCRIPT|LOAD"} <= set(commands)
    with redis.Redis.from_url(redis_url) as admin:
        admin.acl_setuser(
            "by-the-page",
            enabled=True,
            passwords=["+secret"],
            commands=[f"+{command.lower()}" for command in commands],
            keys=patterns,
        )
        store = RedisStore.for_stream(redis_url.replace("redis://", "redis://by-the-page:secret@"))
        try:
            await everything(store)
        finally:
            await store.close()
            admin.acl_deluser("by-the-page")


async def everything(store: RedisStore) -> None:
    await store.ping()
    await store.self_test(SHARD)
    assert await store.establish_topology(Topology(1)) == Topology(1)
    assert await store.hold_worker_id("w", "token", 1000)
    await store.begin(SHARD, GROUP)
    changes = effects(
        engagement={"u": {f"c{n}": 1.0 for n in range(20)}},
        done={"u": ["c"]},
        trend={"c": 1.0},
        bots={"u": {"features": "f"}},
        counts={"accepted": 1},
    )
    assert await store.commit(SHARD, GROUP, None, 0, changes)
    gone: list[Operation] = [
        DeleteFields(DONE, {"u": ["c"]}),
        Drop(ENGAGEMENT, ["v"], indexed=True),
        Drop(TOP, ["v"]),
        SortedSetUnmark(DIRTY, ["v"]),
    ]
    assert await store.commit(SHARD, GROUP, 0, 1, Effects(gone))
    await store.read_shard(SHARD, GROUP, [ReadWhole(ENGAGEMENT, ["u"])])
    assert await store.fence(SHARD, GROUP) == 1
    assert await store.counts(SHARD) == {"accepted": 1}
    assert [user async for user, _ in store.engagement(SHARD)] == ["u"]
    assert await store.publish_model(ModelPointer("v", "/v", 1), replacing=None)
    await store.restore_model(ModelPointer("v", "/v", 1))
    await store.sync_publication([SHARD])
    assert await store.model() is not None
    await store.waiting(SHARD, newest=9, oldest=9)
    await store.user_states(SHARD, ["u"])
    await store.write_tops(SHARD, [(CachedTop("u", "v", 1, ["c"], [1.0]), 0)])
    await store.listed(SHARD, GROUP, "u")
    await store.drop_outdated_lists(SHARD)
    await store.trend(SHARD, 9)
    await store.write_trending(Trending(1, ("c",), (1.0,)))
    assert await store.trending() is not None
    await store.count_attempt(SHARD, GROUP, 2)
    await store.quarantine(SHARD, GROUP, 2)
    await store.stop_partition(SHARD, GROUP, Stop(2, "why", 1))
    await store.resume_partition(SHARD, GROUP, refusals_until=3)
    await store.guard(SHARD, GROUP)
    await store.set_rebuilt_until(SHARD, GROUP, 1)
    await store.end(SHARD, GROUP)
    assert (await store.holdings(SHARD, "u")).records == 20
    assert await store.erased_until(Topology(1), ["u"]) == {}
    assert await store.generations() == [0]
    assert await store.switch_topology(Topology(1), Topology(1, 1))
    await store.drop_shards([SHARD])
    await store.release_worker_id("w", "token")
