"""The worker without its fence, to show that the tests notice: `python mutant_worker.py no-fence stream`.

It trusts Kafka's committed offsets alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from recsys.cli import main
from recsys.kafka.records import Chunk, Record
from recsys.keys import Shard
from recsys.online_store import ShardState
from recsys.online_store.operations import Read
from recsys.online_store.redis.commit_script import COMMIT, FENCE_CHECK
from recsys.online_store.redis.shards import RedisShards
from stream.engagement import commit, gaps
from stream.engagement.steps import after

COMMIT_WITHOUT_FENCE = COMMIT.replace(FENCE_CHECK, "")


class AnyFence(int):
    """A fence that is whatever it is compared with."""

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = int.__hash__


def take_the_fence_out() -> None:
    """Every chunk Kafka delivers is applied, whatever was applied before; within a chunk the writer goes on."""
    assert FENCE_CHECK in COMMIT
    RedisShards.commit_script = COMMIT_WITHOUT_FENCE
    apply, read = commit.ShardWriter._apply, RedisShards.read_shard
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

    async def read_shard(self: RedisShards, shard: Shard, group: str, reads: Sequence[Read]) -> ShardState:
        state = await read(self, shard, group, reads)
        return replace(state, fence=AnyFence())

    setattr(commit, "after", all_at_first)  # noqa: B010 - a name that the module imports
    commit.ShardWriter._apply = apply_anew  # type: ignore[method-assign]
    gaps.Gaps.continues = always  # type: ignore[method-assign]
    RedisShards.read_shard = read_shard  # type: ignore[method-assign]


if __name__ == "__main__":
    _, *arguments = sys.argv[1:]
    take_the_fence_out()
    main(arguments)
