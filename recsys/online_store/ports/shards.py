"""The port of a shard's state and its fence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from recsys.keys import Shard
from recsys.online_store.operations import Read
from recsys.online_store.values import (
    Effects,
    ShardState,
)


class ShardStore(Protocol):
    """The state of one Kafka partition, guarded by its fence."""

    async def read_shard(self, shard: Shard, group: str, reads: Sequence[Read]) -> ShardState:
        """The fence and all state a fold needs, in one round trip.

        Raises:
            ShardDamaged: An earlier commit was applied in part.
        """
        ...

    async def fence(self, shard: Shard, group: str) -> int | None:
        """The last applied offset of the shard's partition."""
        ...

    async def commit(
        self, shard: Shard, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        """Applies the effects and moves the fence in one atomic step.

        Returns:
            False, with nothing changed, if the fence is not `expected_fence` any more.

        Raises:
            UnreadableState: The state cannot be written; nothing was.
            ShardDamaged: The effects were applied in part. Nothing but a rebuild heals the shard.
        """
        ...

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        """Records accepted, unchanged, refused, rerouted and expired so far, moved with the fence."""
        ...

    def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        """Every user of a shard with the stored engagement sums."""
        ...

    async def records(self, shard: Shard, user_id: str) -> Mapping[str, bytes]:
        """A learner's records: course → what `recsys.record.unpack` reads. Rankings read their scores alone."""
        ...

    async def drop_shards(self, shards: Sequence[Shard]) -> None:
        """Deletes every key of shards that are not in use any more."""
        ...

    async def self_test(self, shard: Shard) -> None:
        """Runs every script with every operation on scratch keys of the shard, which are deleted again.

        Raises:
            UnreadableState: A command is refused or unknown, so that a commit would fail; names it.
        """
        ...
