"""The port of what has to outlive a worker."""

from __future__ import annotations

from typing import Protocol

from recsys.keys import Shard
from recsys.online_store.values import (
    Guard,
    Stop,
)


class Guards(Protocol):
    """What is remembered of a shard's partition so that a bad record stops neither the partition nor its workers."""

    async def begin(self, shard: Shard, group: str) -> tuple[int | None, Guard]:
        """The fence and the guard as a writer begins; counts it among the starts at this fence."""
        ...

    async def end(self, shard: Shard, group: str) -> None:
        """A writer ended in order: it is no longer counted among the starts."""
        ...

    async def count_attempt(self, shard: Shard, group: str, offset: int) -> int:
        """Remembers that a record is begun on its own; returns how often it was, this time included."""
        ...

    async def quarantine(self, shard: Shard, group: str, offset: int) -> None:
        """Remembers a poison record, one that ends workers, so that a rebuild leaves it unread too."""
        ...

    async def set_rebuilt_until(self, shard: Shard, group: str, offset: int) -> None:
        """Remembers up to where records of the partition lie as a lower partition count put them."""
        ...

    async def stop_partition(self, shard: Shard, group: str, stop: Stop) -> None:
        """Remembers that the partition is stopped."""
        ...

    async def resume_partition(
        self, shard: Shard, group: str, *, refusals_until: int | None = None, expired_until: int | None = None
    ) -> None:
        """An operator lets the partition go on. None leaves an earlier override.

        Args:
            shard: The shard.
            group: Consumer group.
            refusals_until: Refused records before this offset are passed.
            expired_until: Records before this offset are passed if retention deleted them.
        """
        ...

    async def guard(self, shard: Shard, group: str) -> Guard:
        """The guard as it is."""
        ...
