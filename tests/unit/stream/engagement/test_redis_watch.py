"""A running worker notices what Redis does with its keys and its file."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from recsys.errors import (
    ConfigurationError,
    UnreadableState,
)
from recsys.online_store.durability import Durability
from recsys.online_store.memory import MemoryStore
from stream.engagement.redis_watch import RedisWatch


async def test_a_redis_that_begins_to_evict_ends_the_worker_and_evicted_keys_are_told() -> None:
    class Evicting(MemoryStore):
        answers = (
            Durability("noeviction", evicted_keys=0),
            Durability("noeviction", evicted_keys=7),
            Durability("allkeys-lru"),
        )
        asked = 0

        async def durability(self) -> Durability:
            self.asked += 1
            return self.answers[self.asked - 1]

    watch = RedisWatch(Evicting(), allow_eviction=False, every_s=0.001)
    with capture_logs() as said, pytest.raises(ConfigurationError, match="allkeys-lru"):
        await asyncio.wait_for(watch.watch_redis(), 10)
    assert [(line["event"], line["keys"]) for line in said] == [("redis_evicted_keys", 7)]


@pytest.mark.parametrize("refused", [False, True])
async def test_the_log_of_redis_is_rewritten_once_after_each_of_its_starts(refused: bool) -> None:
    class Restarting(MemoryStore):
        answers = ("one", "one", None, "two", "two")
        asked = 0
        rewritten: list[str] = []  # noqa: RUF012 - of this test

        async def durability(self) -> Durability:
            self.asked += 1
            if self.asked > len(self.answers):
                return Durability("allkeys-lru")
            return Durability("noeviction", append_only=True, run_id=self.answers[self.asked - 1])

        async def rewrite_log(self, run_id: str) -> bool:
            self.rewritten.append(run_id)
            if refused:
                raise UnreadableState("BGREWRITEAOF", "is refused: NOPERM")
            return True

    store = Restarting()
    watch = RedisWatch(store, allow_eviction=False, every_s=0.001)
    with capture_logs() as said, pytest.raises(ConfigurationError):
        await asyncio.wait_for(watch.watch_redis(), 10)
    assert store.rewritten == ["one", "two"]
    assert {line["event"] for line in said} == {"redis_log_not_rewritten" if refused else "redis_log_rewritten"}
