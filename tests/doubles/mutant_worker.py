"""The worker with a safeguard taken out, to show that the tests notice: `python mutant_worker.py no-fence stream`.

`no-fence` trusts Kafka's committed offsets alone; `no-fence-no-ids` takes the dedupe window out as well, which is the
second line of defence behind the fence.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recsys.cli import main
from recsys.kafka.records import Chunk, Record
from recsys.online_store import ShardState
from recsys.online_store.redis import shards as redis
from stream.engagement import commit, gaps

FENCE_CHECK = "if (fence or '') ~= ARGV[1] then return 0 end"


class AnyFence(int):
    """A fence that is whatever it is compared with."""

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = int.__hash__


def take_the_fence_out() -> None:
    """Every chunk Kafka delivers is applied, whatever was applied before; within a chunk the writer goes on."""
    assert FENCE_CHECK in redis.COMMIT
    redis.COMMIT = redis.COMMIT.replace(FENCE_CHECK, "")
    after, apply, read = commit._after, commit.ShardWriter._apply, redis.RedisShards.read_shard
    fresh: set[int] = set()

    async def apply_anew(self: commit.ShardWriter, chunk: Chunk) -> commit.Applied:
        fresh.add(id(chunk.records))
        return await apply(self, chunk)

    def all_at_first(records: Sequence[Record], fence: int | None) -> Sequence[Record]:
        if id(records) in fresh:
            fresh.discard(id(records))
            return records
        return after(records, fence)

    async def always(*_: object, **__: object) -> int:
        return 0

    async def read_shard(self: redis.RedisShards, partition: int, group: str, request: object) -> ShardState:
        state = await read(self, partition, group, request)  # type: ignore[arg-type]
        return ShardState(AnyFence(), state.seen, state.engagement, state.bots, state.trend)

    commit._after = all_at_first
    commit.ShardWriter._apply = apply_anew  # type: ignore[method-assign]
    gaps.Gaps.continues = always  # type: ignore[method-assign]
    redis.RedisShards.read_shard = read_shard  # type: ignore[method-assign,assignment]


def take_the_ids_out() -> None:
    """No event id is remembered."""
    original = redis.RedisShards.read_shard

    async def read_shard(self: redis.RedisShards, partition: int, group: str, request: object) -> ShardState:
        state = await original(self, partition, group, request)  # type: ignore[arg-type]
        return ShardState(state.fence, [False] * len(state.seen), state.engagement, state.bots, state.trend)

    redis.RedisShards.read_shard = read_shard  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    mutant, *arguments = sys.argv[1:]
    take_the_fence_out()
    if mutant == "no-fence-no-ids":
        take_the_ids_out()
    main(arguments)
